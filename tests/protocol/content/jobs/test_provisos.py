"""What an order leaves to the machine and its owner is read, or refused with what it must be."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.facts.versions import Requirement
from tiercast_protocol.content.jobs import provisos
from tiercast_protocol.content.jobs.provisos import Provisos, check, read
from tiercast_protocol.errors import UsageError


def test_what_is_said() -> None:
    found = check(
        {
            "condition": "cpus > 1",
            "package_condition": 'os == "linux"',
            "condition_false": "skip",
            "package_requires": "editor >= 2, word",
            "package_conflicts": "rival",
            "defer_max": 3,
            "defer_until": 1_800_000_000_000,
            "rejectable": True,
            "priority": 9,
        }
    )
    assert found == Provisos(
        conditions=("cpus > 1", 'os == "linux"'),
        skip=True,
        requires=(Requirement("editor", ">=", "2"), Requirement("word")),
        conflicts=(Requirement("rival"),),
        defer_max=3,
        defer_until=1_800_000_000_000,
        rejectable=True,
    )
    assert found.limited
    assert provisos.requirements_text(found.requires) == "editor >= 2, word"


def test_nothing_said_is_no_condition_and_no_limit() -> None:
    assert read({}) == Provisos()
    assert not read({}).limited
    assert read({"defer_max": 0}).limited
    assert read({"condition": "cpus > 1", "package_condition": " cpus > 1"}).conditions == ("cpus > 1",)


@pytest.mark.parametrize(
    ("word", "value", "code"),
    [
        ("condition", 7, "provisos.condition"),
        ("condition", "speed > 1", "fact.unknown"),
        ("package_condition", "cpus >", "condition.syntax"),
        ("condition", "packages.all(p, true)", "condition.macro"),
        ("condition_false", "maybe", "provisos.condition-false"),
        ("package_requires", "editor => 2", "requirement.invalid"),
        ("package_requires", ", ".join(f"p{n}" for n in range(101)), "provisos.package-requires"),
        ("defer_max", -1, "provisos.defer-max"),
        ("defer_max", True, "provisos.defer-max"),
        ("defer_until", "tomorrow", "provisos.defer-until"),
        ("rejectable", 1, "provisos.rejectable"),
    ],
)
def test_what_can_not_be_meant_is_refused(word: str, value: object, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        check({word: value})
    assert caught.value.code == code
    assert caught.value.todo
