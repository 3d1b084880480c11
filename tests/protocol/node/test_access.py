"""The policy as a table, and the text made of it, say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_mqtt.acl import parse_acl
from tiercast_mqtt.password import hash_password
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.access import may, render_acl, render_users, valid_user
from tiercast_protocol.wire.topics import Topics

T = Topics("r")


@pytest.mark.parametrize(
    ("user", "direction", "topic", "allowed"),
    [
        ("server", "read", T.up("n"), True),
        ("server", "write", T.bulk("server", "n"), True),
        ("server", "write", "tiercast/1/other/n/up", False),
        ("n", "write", T.up("n"), True),
        ("n", "write", T.will("n"), True),
        ("n", "write", T.up("m"), False),
        ("n", "write", T.down("server", "n"), False),
        ("n", "read", T.down("server", "n"), True),
        ("n", "read", T.bulk("g", "n"), True),
        ("n", "read", T.group("server", 7), True),
        ("n", "read", T.down("server", "m"), False),
        ("n", "read", T.up("m"), False),
        ("n", "read", "$SYS/broker/clients", False),
        ("join-ab12", "write", T.up("join-ab12"), True),
        ("join-ab12", "write", T.up("n"), False),
        ("join-ab12", "read", T.down("server", "join-ab12"), True),
        ("join-ab12", "read", T.down("server", "n"), False),
        ("+", "write", "tiercast/1/r/+/up", False),
        ("a/b", "write", "tiercast/1/r/a/b", False),
    ],
)
def test_who_may_what(user: str, direction: str, topic: str, allowed: bool) -> None:
    acl = parse_acl(render_acl("r", "server").splitlines())
    assert may(user, direction, topic, region="r", owner="server") is allowed  # type: ignore[arg-type]
    assert acl.allows(user, user, direction, topic) is allowed  # type: ignore[arg-type]


LEVELS = st.sampled_from(["tiercast", "1", "r", "n", "m", "server", "to", "group", "up", "x", "", "$SYS"])


@given(
    st.sampled_from(["server", "n", "m", "join-1", "to", "group"]),
    st.sampled_from(["read", "write"]),
    st.lists(LEVELS, min_size=1, max_size=8),
    st.booleans(),
)
def test_table_and_text_agree_everywhere(user: str, direction: str, levels: list[str], inside: bool) -> None:
    topic = "/".join(["tiercast", "1", "r", *levels] if inside else levels)
    acl = parse_acl(render_acl("r", "server").splitlines())
    expected = may(user, direction, topic, region="r", owner="server")  # type: ignore[arg-type]
    assert acl.allows(user, user, direction, topic) is expected  # type: ignore[arg-type]


def test_users_are_a_line_each() -> None:
    hash_ = hash_password("x")
    assert render_users({"b": hash_, "join-a": hash_}) == f"b:{hash_}\njoin-a:{hash_}\n"


@pytest.mark.parametrize(
    ("name", "hash_"),
    [
        ("+", "$7$101$a$b"),
        ("a/b", "$7$101$a$b"),
        ("a\nb", "$7$1$a$b"),
        ("", "$7$1$a$b"),
        ("a", "plain"),
        ("a", "$7$1$a$b\nc:d"),
    ],
)
def test_a_user_that_could_reach_further_is_refused(name: str, hash_: str) -> None:
    with pytest.raises(UsageError):
        render_users({name: hash_})


def test_names() -> None:
    assert valid_user("n-1.example")
    assert valid_user("join-0aF")
    assert not valid_user("%u")
    assert not valid_user("#")
