"""Presence: whoever comes first, both sides end up knowing of each other."""

from __future__ import annotations

from tiercast_gateway.children.children import Children
from tiercast_protocol.wire.messages import Hello

FIRST, SECOND = Hello(boot=b"1", role="gateway", free=7, quota=9), Hello(boot=b"2", role="gateway")


def test_the_first_hello_is_news_and_the_second_is_not() -> None:
    children = Children()
    assert children.hello("a", FIRST) == (True, False)
    lane = children.get("a").lane
    assert children.hello("a", FIRST) == (False, False)
    assert children.online("a")
    assert (children.get("a").role, children.get("a").free, children.get("a").lane) == ("gateway", 7, lane)
    assert (children.get("a").quota, Hello(boot=b"1").quota) == (9, -1), "who says nothing of it has said nothing"


def test_another_boot_is_another_process_with_a_new_lane() -> None:
    children = Children()
    children.hello("a", FIRST)
    lane = children.get("a").lane
    assert children.hello("a", SECOND) == (True, True)
    assert children.get("a").lane != lane


def test_a_will_of_a_process_that_was_replaced_is_ignored() -> None:
    children = Children()
    children.hello("a", FIRST)
    children.hello("a", SECOND)
    assert not children.gone("a", b"1")
    assert children.online("a")
    assert children.gone("a", b"2")
    assert not children.online("a")
    assert not children.gone("a", b"2")
    assert not children.gone("nobody", b"2")


def test_any_message_proves_that_its_sender_is_there() -> None:
    children = Children()
    assert children.heard("join-x")
    assert not children.heard("join-x")
    assert children.hello("join-x", FIRST) == (True, False)


def test_the_will_of_a_process_that_never_said_hello_counts() -> None:
    children = Children()
    children.hello("a", FIRST)
    children.gone("a", b"1")
    assert children.heard("a")  # another process, which ends before its greeting
    assert children.gone("a", b"2")
    assert not children.online("a")


def test_when_our_broker_is_gone_nobody_is_known_to_be_there_and_lanes_are_new() -> None:
    children = Children()
    children.hello("a", FIRST)
    children.get("b")
    lane = children.get("a").lane
    assert children.all_gone() == ["a"]
    assert children.get("a").lane != lane
    assert children.hello("a", FIRST) == (True, False)
    assert [child.name for child in children.all()] == ["a", "b"]
    children.remove("a")
    assert [child.name for child in children.all()] == ["b"]
