"""Kept, replaced, forgotten, bounded."""

from __future__ import annotations

from tiercast_mqtt.limits import Limits
from tiercast_mqtt.message import Message
from tiercast_mqtt.retained import Retained


def found(store: Retained, filter_: str) -> list[str]:
    return [message.topic for message in store.match(filter_)]


def test_the_last_message_of_a_topic_is_kept_and_an_empty_one_forgets_it() -> None:
    store = Retained(Limits())
    assert store.keep(Message("a/b", b"1"))
    assert store.keep(Message("a/b", b"2"))
    assert store.keep(Message("$SYS/x", b"3"))
    assert found(store, "#") == ["a/b"]
    assert found(store, "$SYS/x") == ["$SYS/x"]
    assert [bytes(message.payload) for message in store.match("a/+")] == [b"2"]
    assert store.keep(Message("a/b", b""))
    assert found(store, "a/b") == []
    assert store.keep(Message("$SYS/x", b""))
    assert store.bytes == 0
    assert len(store) == 0


def test_it_is_bounded_in_number_and_bytes() -> None:
    store = Retained(Limits(retained_messages=2, retained_bytes=3000))
    assert store.keep(Message("a", b"1"))
    assert store.keep(Message("b", b"1"))
    assert not store.keep(Message("c", b"1"))
    assert store.keep(Message("b", b"2"))
    assert not store.keep(Message("b", b"2" * 3000))
    assert store.bytes <= 3000
