"""What a human may say of a parent's address, and what is made of it."""

from __future__ import annotations

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.hop import Parent
from tiercast_protocol.node.pointing import lines_of, parent_at, what_to_do
from tiercast_protocol.node.standing import Choice, Standing

HOME, ROME = Parent("berlin", "mqtt://berlin:1883"), Parent("rome", "mqtts://rome:8883")
STANDING = Standing(Choice(HOME), (Choice(ROME),), HOME)


def test_home_is_meant_unless_another_is_named_and_the_scheme_is_the_one_it_is_known_by() -> None:
    assert parent_at("10.0.0.7:1900", "", STANDING) == Parent("berlin", "mqtt://10.0.0.7:1900")
    assert parent_at("10.0.0.7", "rome", STANDING) == Parent("rome", "mqtts://10.0.0.7:8883")
    assert parent_at("mqtts://b:1", "", STANDING) == Parent("berlin", "mqtts://b:1")
    assert parent_at("10.0.0.8", "oslo", STANDING) == Parent("oslo", "mqtt://10.0.0.8:1883")


def test_no_password_goes_in_the_clear_where_it_did_not() -> None:
    with pytest.raises(UsageError, match="known at mqtts://rome:8883, with TLS"):
        parent_at("mqtt://10.0.0.7", "rome", STANDING)


@pytest.mark.parametrize("text", ["", "http://x", "a b:c", "mqtt://u:p@h"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a broker"):
        parent_at(text, "", STANDING)


def test_a_node_without_a_parent_says_what_was_tried_and_what_to_do() -> None:
    todo = what_to_do(STANDING, "gateway")
    assert "tiercast-gateway parent set HOST:PORT" in todo
    found = {
        "home": "berlin",
        "parent": "berlin",
        "url": HOME.url,
        "connected": False,
        "reason": "joined",
        "waiting": "berlin is away",
        "tried": [{"name": "rome", "url": ROME.url, "said": "no answer within 5 s"}],
        "todo": todo,
        "candidates": [{"name": "rome", "url": ROME.url, "cost": 0}],
    }
    lines = lines_of(found)
    assert "tried       rome at mqtts://rome:8883: no answer within 5 s" in lines
    assert lines[-1].endswith(todo)
    proved = {"proved": {"name": "rome", "url": "mqtts://r:1"}}
    assert lines_of(found | proved)[0] == "rome proved itself at mqtts://r:1."
