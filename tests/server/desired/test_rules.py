"""Which version does for several assignments, and which contradict each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs.assigned import Rule, wants
from tiercast_server.desired.rules import choice, contradictions, latest

LIBRARY = ["1", "1.5", "2", "3"]


def has(name: str, text: str) -> Rule:
    return Rule(name, wants(text))


def lacks(name: str, text: str) -> Rule:
    return Rule(name, wants(text), lacks=True)


def test_the_latest_that_does_for_all_is_chosen() -> None:
    assert choice([has("a", "app >= 1"), has("b", "app < 3")], LIBRARY) == "2"
    assert choice([lacks("a", "app")], LIBRARY) == ""
    assert choice([has("a", "app"), lacks("b", "app < 2")], LIBRARY) == "3"
    assert choice([has("a", "app"), lacks("b", "app")], LIBRARY) is None
    assert choice([has("a", "app > 3")], LIBRARY) is None


def test_those_that_no_version_does_for_are_named_with_a_machine() -> None:
    rules = {"a": has("a", "app >= 2"), "b": has("b", "app < 2"), "c": lacks("c", "app = 2"), "d": lacks("d", "app")}
    found = contradictions(rules, {"pc2": frozenset("ab"), "pc1": frozenset("ac"), "pc3": frozenset("abd")}, LIBRARY)
    assert [(one.name, other.name, node) for one, other, node in found] == [
        ("a", "b", "pc2"),
        ("a", "d", "pc3"),
        ("b", "d", "pc3"),
    ]


def test_three_may_have_nothing_together_though_two_have() -> None:
    rules = {"a": has("a", "app != 1"), "b": has("b", "app != 2"), "c": has("c", "app != 3")}
    (found,) = contradictions(rules, {"pc": frozenset("abc")}, ["1", "2", "3"])
    assert (found[0].name, found[1].name) == ("a", "b")


RULES = st.builds(
    lambda sign, version, lacks: Rule("r", wants(f"app {sign} {version}"), lacks),
    st.sampled_from([">=", "<", "=", "!="]),
    st.sampled_from(LIBRARY),
    st.booleans(),
)


@given(st.lists(RULES, min_size=1, max_size=4))
def test_what_is_chosen_meets_every_rule(rules: list[Rule]) -> None:
    found = choice(rules, LIBRARY)
    if found is None:
        assert not any(all(rule.met_by(one) for rule in rules) for one in LIBRARY)
    else:
        assert all(rule.met_by(found) for rule in rules)


def test_the_latest() -> None:
    assert latest(["1.9", "1.10", "1.2"]) == "1.10"
    assert latest([]) == ""
