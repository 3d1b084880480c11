"""The session machine: order, sending again, bounds; any story keeps them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_mqtt import codec
from tiercast_mqtt.limits import Limits
from tiercast_mqtt.message import Message
from tiercast_mqtt.packets import Publish
from tiercast_mqtt.session import Acknowledged, Attached, Detached, Drop, Event, Routed, Session

LIMITS = Limits(queue_bytes=8000, offline_bytes=4000, packet_bytes=4000, in_flight=3)
MOST = 8000 * 5 // 4


def written(session: Session) -> list[Publish]:
    packets = []
    while (pieces := session.take()) is not None:
        data = b"".join(pieces)
        sizes = codec.peek(data, 0, len(data), len(data))
        assert sizes is not None
        packet = codec.decode(data[0], memoryview(data)[sizes[0] :])
        assert isinstance(packet, Publish)
        packets.append(packet)
    return packets


def one(payload: bytes, qos: int = 1) -> Routed:
    return Routed(Message("t", payload, qos=qos), qos)


def test_what_was_not_acknowledged_is_sent_again_in_order_with_its_identifier() -> None:
    session = Session("c", None, LIMITS)
    session.handle(Attached(clean=False))
    for payload in (b"1", b"2", b"3", b"4", b"5"):
        session.handle(one(payload))
    first = written(session)
    assert [bytes(packet.payload) for packet in first] == [b"1", b"2", b"3"]
    session.handle(Acknowledged(first[1].packet_id))
    session.handle(Detached())
    session.handle(one(b"6"))
    session.handle(Attached(clean=False))
    again = written(session)
    assert [(bytes(packet.payload), packet.dup) for packet in again] == [(b"1", True), (b"3", True), (b"4", False)]
    assert [packet.packet_id for packet in again[:2]] == [first[0].packet_id, first[2].packet_id]
    for packet in again:
        session.handle(Acknowledged(packet.packet_id))
    assert [bytes(packet.payload) for packet in written(session)] == [b"5", b"6"]


def test_the_newest_is_dropped_when_it_is_full() -> None:
    session = Session("c", None, LIMITS)
    session.handle(Attached(clean=True))
    kept = [not isinstance(session.handle(one(b"%d" % n * 1000, qos=0))[0], Drop) for n in range(9)]
    assert kept == [True] * 5 + [False] * 4
    assert not isinstance(session.handle(one(b"control"))[0], Drop)
    packets = written(session)
    assert packets[0].qos == 1
    assert [bytes(packet.payload[:1]) for packet in packets[1:]] == [b"0", b"1", b"2", b"3", b"4"]
    assert session.bytes == Message("t", b"control").cost


def test_a_clean_session_keeps_nothing() -> None:
    session = Session("c", None, LIMITS)
    session.handle(Attached(clean=True))
    session.handle(one(b"1"))
    session.handle(one(b"2", qos=0))
    session.handle(Detached())
    assert session.bytes == 0
    session.handle(Attached(clean=True))
    assert written(session) == []


EVENTS = st.one_of(
    st.booleans().map(lambda clean: Attached(clean=clean)),
    st.just(Detached()),
    st.tuples(st.integers(0, 3000), st.integers(0, 1)).map(lambda pair: one(b"x" * pair[0], pair[1])),
    st.integers(1, 12).map(Acknowledged),
    st.none(),
)


@given(st.lists(EVENTS, max_size=80))
def test_any_story_keeps_the_bounds(story: list[Event | None]) -> None:
    session = Session("c", None, LIMITS)
    for event in story:
        if event is None:
            pieces = session.take() if session.attached else None
            assert pieces is None or sum(map(len, pieces))
        else:
            session.handle(event)
        waiting = [message.cost for message, _ in session._plain]
        waiting += [entry.message.cost for entry in session._sure]
        waiting += [entry.message.cost for entry in session._in_flight.values()]
        assert session.bytes == sum(waiting) <= MOST
        assert len(session._in_flight) <= LIMITS.in_flight
        assert all(key == entry.packet_id > 0 for key, entry in session._in_flight.items())
        again = [entry.packet_id for entry in session._sure if entry.packet_id]
        assert len(set(again) | set(session._in_flight)) == len(again) + len(session._in_flight)
        assert session.attached or not session._plain
