"""The rule of replacing: every rule against older, equal, newer and nothing."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.package.replacing import RULES, refusal

OLDER, SAME, NEWER = ("1.9", 1), ("1.10", 1), ("1.11", 1)


@pytest.mark.parametrize(
    ("rule", "over_older", "over_same", "over_newer"),
    [("newer", True, False, False), ("equal", True, True, False), ("any", True, True, True), ("never", *[False] * 3)],
)
def test_rules(rule: str, over_older: bool, over_same: bool, over_newer: bool) -> None:
    for standing, may in ((OLDER, over_older), (SAME, over_same), (NEWER, over_newer)):
        assert (refusal(rule, "plain", ("1.10", 1), standing) == "") == may, standing
    assert refusal(rule, "plain", ("1.10", 1), None) == ""


def test_revision_of_one_version_counts() -> None:
    assert refusal("newer", "plain", ("1", 2), ("1", 1)) == ""
    assert refusal("newer", "plain", ("1", 1), ("1", 2))
    assert refusal("newer", "plain", ("1", 5), ("1", 0)), "not known which stands there"


def test_order_counts() -> None:
    assert refusal("newer", "packaging", ("1.0", 1), ("1.0rc1", 1)) == ""
    assert refusal("newer", "plain", ("1.0", 1), ("1.0rc1", 1))


def test_sentence_names_both_and_the_rule() -> None:
    assert refusal("newer", "", ("1.0", 1), ("2.0", 1)) == (
        "2.0 stands there, and 1.0 is to replace only older ones (replace = newer)."
    )


def test_unknown_rule_is_any() -> None:
    assert "any" in RULES
    assert refusal("of a later version", "", ("1", 1), ("2", 1)) == ""
