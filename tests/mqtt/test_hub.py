"""The broker's mind: whose session it is, who gets what, and what is refused."""

from __future__ import annotations

import pytest

from tiercast_mqtt.acl import Acl, allow_everything, parse_acl
from tiercast_mqtt.errors import MalformedPacket
from tiercast_mqtt.hub import BAD_ID, NOT_AUTHORISED, UNAVAILABLE, Hub
from tiercast_mqtt.limits import Limits
from tiercast_mqtt.message import Message
from tiercast_mqtt.packets import Connect, Will
from tiercast_mqtt.session import Session


def hub(acl: Acl | None = None, limits: Limits | None = None, *, strict: bool = False) -> Hub:
    return Hub(limits or Limits(), acl or allow_everything(), client_id_is_username=strict)


def join(one: Hub, client_id: str, user: str | None = None, *, clean: bool = True, now: float = 0) -> Session:
    packet = Connect(client_id, clean)
    assert one.judge(packet, user) == 0
    session = one.admit(packet, user, now=now).session
    assert session is not None
    return session


@pytest.mark.parametrize("client_id", ["+", "#", "a+b", "a/#", "a\x01", "x" * 200])
def test_ids_that_are_wildcards_unprintable_or_long_are_refused(client_id: str) -> None:
    assert hub().judge(Connect(client_id), None) == BAD_ID


def test_a_nameless_client_is_named_only_when_clean() -> None:
    one = hub()
    assert one.judge(Connect("", clean=False), None) == BAD_ID
    assert join(one, "", "anna").client_id != join(one, "", "anna").client_id


@pytest.mark.parametrize(
    ("client_id", "code"), [("anna", 0), ("anna/bulk", 0), ("anna:x", 0), ("annax", BAD_ID), ("bob", BAD_ID), ("", 0)]
)
def test_a_client_id_is_its_username_where_that_is_the_rule(client_id: str, code: int) -> None:
    assert hub(strict=True).judge(Connect(client_id), "anna") == code


def test_nobody_gets_another_users_session_even_without_that_rule() -> None:
    one = hub()
    session = join(one, "c", "anna", clean=False)
    one.leave(session, now=1)
    assert one.judge(Connect("c", clean=True), "bob") == BAD_ID
    assert one.judge(Connect("c", clean=False), None) == BAD_ID
    assert one.sessions["c"] is session
    assert one.admit(Connect("c", clean=False), "anna", now=2).present


def test_a_will_that_may_not_be_written_refuses_connect() -> None:
    one = hub(parse_acl(["pattern write up/%u"]))
    assert one.judge(Connect("c", will=Will("up/anna", b"")), "anna") == 0
    assert one.judge(Connect("c", will=Will("up/bob", b"")), "anna") == NOT_AUTHORISED
    assert hub().judge(Connect("c", will=Will("$SYS/x", b"")), "anna") == NOT_AUTHORISED


def test_sessions_are_limited_and_the_one_gone_longest_makes_room() -> None:
    one = hub(limits=Limits(sessions=2))
    first, second = join(one, "1", clean=False), join(one, "2", clean=False)
    assert one.admit(Connect("3"), None, now=1).code == UNAVAILABLE
    one.leave(second, now=2)
    one.leave(first, now=3)
    join(one, "3", now=4)
    assert set(one.sessions) == {"1", "3"}


def test_one_user_cannot_take_all_the_sessions() -> None:
    one = hub(limits=Limits(sessions_per_user=2))
    bob = join(one, "bob", "bob", clean=False)
    one.leave(bob, now=0)
    first, _ = join(one, "1", "anna", clean=False), join(one, "2", "anna")
    assert one.admit(Connect("3"), "anna", now=1).code == UNAVAILABLE
    one.leave(first, now=2)
    join(one, "3", "anna", now=3)
    assert set(one.sessions) == {"bob", "2", "3"}


def test_sessions_expire_and_clean_ones_vanish() -> None:
    one = hub(limits=Limits(session_expiry_s=10))
    kept, clean = join(one, "1", clean=False), join(one, "2")
    one.subscribe(kept, (("a", 1),))
    one.leave(kept, now=5)
    one.leave(clean, now=5)
    assert set(one.sessions) == {"1"}
    one.expire(now=14)
    assert set(one.sessions) == {"1"}
    one.expire(now=16)
    assert not one.sessions
    assert one.publish(Message("a", b"x", qos=1)) == []


def test_filters_are_limited_in_number_length_and_depth() -> None:
    one = hub(limits=Limits(filters=2, topic_bytes=20, topic_levels=3))
    session = join(one, "c")
    wanted = (("a", 2), ("a/b/c/d", 0), ("x" * 21, 0), ("b", 0), ("c", 0), ("a", 0))
    assert one.subscribe(session, wanted) == (1, 0x80, 0x80, 0, 0x80, 0)
    one.unsubscribe(session, ("a", "unknown"))
    assert one.subscribe(session, (("c", 0),)) == (0,)
    with pytest.raises(MalformedPacket):
        one.may_write(session, "a/b/c/d")


def test_delivery_asks_the_policy_and_a_new_policy_holds_at_once() -> None:
    one = hub(parse_acl(["pattern read all/#"]))
    session = join(one, "c", "anna")
    assert one.subscribe(session, (("#", 0),)) == (0,)
    assert one.publish(Message("all/x", b"1")) == [session]
    assert one.publish(Message("other/x", b"1")) == []
    one.set_acl(parse_acl(["pattern read other/#"]))
    assert one.publish(Message("all/x", b"1")) == []
    assert one.publish(Message("other/x", b"1")) == [session]


def test_retained_messages_ask_it_too() -> None:
    one = hub(parse_acl(["pattern read all/#"]))
    one.publish(Message("all/x", b"1", retain=True))
    one.publish(Message("secret/x", b"2", retain=True))
    session = join(one, "c", "anna")
    assert session.take() is None
    one.subscribe(session, (("#", 0),))
    assert session.take() is not None
    assert session.take() is None


def test_dollar_topics_are_the_brokers_own() -> None:
    one = hub()
    assert not one.may_write(join(one, "c"), "$SYS/broker/x")


def test_overlapping_filters_deliver_once_with_the_greatest_qos() -> None:
    one = hub()
    session = join(one, "c")
    one.subscribe(session, (("a/#", 0), ("a/+", 1), ("a/b", 0)))
    assert one.publish(Message("a/b", b"x", qos=1)) == [session]
    pieces = session.take()
    assert pieces is not None
    assert pieces[0][0] == 0x32
    assert session.take() is None


def test_drops_are_counted() -> None:
    one = hub(limits=Limits(queue_bytes=4000, packet_bytes=3000))
    session = join(one, "c")
    one.subscribe(session, (("a", 0),))
    for _ in range(5):
        one.publish(Message("a", b"x" * 1000))
    assert one.counters.messages_dropped == 3
    assert one.counters.bytes_dropped == 3000
