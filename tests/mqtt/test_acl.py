"""The access file, line by line, and names that try to be more than a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_mqtt.acl import allow_everything, parse_acl

POLICY = parse_acl(
    """
# those without a name
topic read public/#

user anna
topic write own/anna/#
topic readwrite both/anna
topic all/anna
topic deny own/anna/secret

user bob
topic read own/#

pattern write up/%u/x
pattern read down/%u/#
pattern read by/%c
pattern deny never/%u
""".splitlines()
)


@pytest.mark.parametrize(
    ("user", "action", "topic", "expected"),
    [
        ("anna", "write", "own/anna/a", True),
        ("anna", "read", "own/anna/a", False),
        ("anna", "write", "own/anna/secret", False),
        ("anna", "write", "own/bob/a", False),
        ("anna", "read", "both/anna", True),
        ("anna", "write", "both/anna", True),
        ("anna", "write", "all/anna", True),
        ("anna", "read", "public/x", False),
        (None, "read", "public/x", True),
        (None, "write", "public/x", False),
        ("bob", "read", "own/anna/a", True),
        ("bob", "write", "up/bob/x", True),
        ("bob", "write", "up/anna/x", False),
        ("bob", "read", "down/bob/x/y", True),
        ("bob", "read", "down/anna/x", False),
        ("bob", "read", "by/client", True),
        ("bob", "read", "by/other", False),
        ("carl", "write", "up/carl/x", True),
    ],
)
def test_decisions(user: str | None, action: str, topic: str, expected: bool) -> None:
    assert POLICY.allows(user, "client", action, topic) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["+", "#", "a/b", "a+", ""])
def test_names_with_wildcards_or_levels_fit_no_pattern(name: str) -> None:
    for topic in ("up/+/x", "up/anna/x", "up/a/b/x", f"up/{name}/x"):
        assert not POLICY.allows(name, "c", "write", topic)
    assert not POLICY.allows("bob", name, "read", "by/anything")


def test_a_name_that_looks_like_a_placeholder_is_only_a_name() -> None:
    assert not POLICY.allows("%c", "anna", "write", "up/anna/x")
    assert POLICY.allows("%c", "anna", "write", "up/%c/x")


def test_a_deny_beats_every_other_line() -> None:
    policy = parse_acl(["user a", "topic #", "topic deny x/#", "pattern readwrite x/%u", "pattern deny y/%u"])
    assert policy.allows("a", "c", "read", "z")
    assert not policy.allows("a", "c", "read", "x/a")
    assert not policy.allows("a", "c", "write", "y/a")


def test_subscriptions_that_could_never_deliver_are_refused() -> None:
    assert POLICY.allows_subscription("bob", "c", "own/+/a")
    assert POLICY.allows_subscription("bob", "c", "#")
    assert POLICY.allows_subscription("anna", "c", "down/anna/x")
    assert not POLICY.allows_subscription("anna", "c", "own/anna/a")
    assert not POLICY.allows_subscription("anna", "c", "down/bob/x")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("topic read", "line 1"),
        ("topic a/#/b", "line 1"),
        ("usr x", "line 1"),
        ("user", "line 1"),
        ("pattern read a%u/b", "alone"),
    ],
)
def test_a_mistake_refuses_the_whole_file(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_acl([line])


@given(st.text(max_size=5), st.text(max_size=5), st.text(min_size=1, max_size=8))
def test_nobody_gets_what_no_line_gives(user: str, client: str, topic: str) -> None:
    assert not parse_acl([]).allows(user, client, "read", topic)
    assert allow_everything().allows(user, client, "write", topic) == (not topic.startswith("$"))
