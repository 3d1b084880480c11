"""What an assignment requires of a package, and how machines stand to it."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.jobs.assigned import Rule, stands, wants
from tiercast_protocol.errors import UsageError


def has(name: str, text: str) -> Rule:
    return Rule(name, wants(text))


def lacks(name: str, text: str) -> Rule:
    return Rule(name, wants(text), lacks=True)


def test_rules_are_met() -> None:
    assert has("a", "app >= 2").met_by("2")
    assert not has("a", "app >= 2").met_by("1")
    assert not has("a", "app").met_by("")
    assert lacks("a", "app").met_by("")
    assert not lacks("a", "app < 2").met_by("1")
    assert lacks("a", "app < 2").met_by("2")
    assert str(lacks("a", "app<2, !=1")) == "lacks app < 2, != 1"
    assert str(has("a", "app")) == "has app"


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("editor", ["1", "0~"], [""]),
        ("editor>=2.1,<3", ["2.1", "2.10", "3~rc1"], ["2", "3", ""]),
        ("editor = 2.0", ["2.0", "2.00"], ["2.1", ""]),
        ("editor=2.0", ["2.0"], ["2.0.1"]),
        ("editor != 2", ["1", "3"], ["2", ""]),
    ],
)
def test_requirements(text: str, yes: list[str], no: list[str]) -> None:
    rule = has("a", text)
    assert [version for version in yes if not rule.met_by(version)] == []
    assert [version for version in no if rule.met_by(version)] == []
    assert wants(rule.text) == rule.wants


@pytest.mark.parametrize("text", ["", " ", ">= 2", "a 2", "a => 2", "a >= 2,", "a, >= 2", "a >= /", "a" * 501])
def test_what_is_no_requirement_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        wants(text)
    assert caught.value.code == "requirement.invalid"


def test_too_many_conditions_are_refused() -> None:
    with pytest.raises(UsageError):
        wants("app " + ", ".join(["> 1"] * 17))


@pytest.mark.parametrize(
    ("rule", "packages", "state"),
    [
        (has("a", "app >= 2"), None, ("unknown", "")),
        (has("a", "app >= 2"), {}, ("missing", "")),
        (has("a", "app >= 2"), {"app": "1"}, ("wrong", "1")),
        (has("a", "app >= 2"), {"app": "2"}, ("holds", "2")),
        (lacks("a", "app"), {"app": "2"}, ("wrong", "2")),
        (lacks("a", "app"), {"other": "2"}, ("holds", "")),
    ],
)
def test_how_a_machine_stands(rule: Rule, packages: dict[str, str] | None, state: tuple[str, str]) -> None:
    assert stands(rule, packages) == state
