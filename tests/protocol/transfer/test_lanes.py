"""One lane: when a mark is due, when it is parked, what counts as under way."""

from __future__ import annotations

import pytest

from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.jobs import Job
from tiercast_protocol.transfer.lanes import MARK_BUSY, MARK_LAST, Lane, usual
from tiercast_protocol.transfer.lanestates import PARK_AFTER
from tiercast_protocol.transfer.links import Link
from tiercast_protocol.transfer.queues import Queue
from tiercast_protocol.wire.messages import Piece

A = b"a" * 32


def lane() -> Lane:
    flow = Flow(0, 1 << 20, 0.0)
    return Lane(child="a", session=1, flow=flow, link=Link("a"), mark=0, answered=0, heard_at=0.0)


def test_nothing_under_way_needs_no_mark() -> None:
    one = lane()
    assert one.mark_due(more=True) == one.park_due() == float("inf")


def test_a_mark_comes_sooner_at_the_end_and_later_each_time() -> None:
    one = lane()
    one.flow.charge(100, 5.0)
    one.flow.rtt = 0.01
    assert one.mark_due(more=True) == 5.0 + MARK_BUSY
    assert one.mark_due(more=False) == 5.0 + MARK_LAST
    pauses = []
    for tries in range(1, 12):
        one.mark_at, one.mark_tries = 10.0, tries
        pauses.append(one.mark_due(more=True) - 10.0)
    assert pauses == sorted(pauses)
    assert pauses[0] == 2 * MARK_BUSY
    assert pauses[-1] <= 5.0
    one.mark_forced = True
    assert one.mark_due(more=True) == float("-inf")


def test_a_long_round_trip_waits_longer_but_not_for_ever() -> None:
    one = lane()
    one.flow.charge(100, 0.0)
    one.flow.rtt = 0.6
    assert one.mark_due(more=True) == pytest.approx(2.4)
    one.flow.rtt = 100.0
    assert one.mark_due(more=True) <= 8.0


def test_parked_when_neither_progress_nor_word() -> None:
    one = lane()
    one.flow.charge(100, 1.0)
    assert one.park_due() == 1.0 + PARK_AFTER
    one.heard_at = 4.0
    assert one.park_due() == 4.0 + PARK_AFTER
    one.state = "parked"
    assert one.park_due() == one.mark_due(more=True) == float("inf")


def piece(digest: bytes) -> Piece:
    return Piece(digest, 1, 0, 1)


def test_what_was_sent_whole_is_forgotten_at_once() -> None:
    one = lane()
    queue = one.queues[""] = Queue(Job(""))
    names = [bytes([n]) * 32 for n in range(4)]
    for n, digest in enumerate(names):
        one.put(digest, None, "lost" if n % 2 else "first", queue)
        one.enqueue(digest)
    one.sent_whole(queue, names[:1])
    one.sent_whole(queue, names[1:2])
    assert (list(one.wanted), list(queue.sendable), list(queue.urgent)) == (names[2:], names[2:3], names[3:])
    assert queue.wanted == 2


def test_under_way_is_what_was_sent_after_the_report() -> None:
    one = lane()
    one.note_sent([piece(A)], 500)
    assert one.under_way(A, 499)
    assert not one.under_way(A, 500)
    assert not one.under_way(b"b" * 32, 0)


def test_what_is_remembered_is_bounded() -> None:
    one = lane()
    one.flow.received = 1 << 30
    for n in range(10_000):
        one.note_sent([piece(n.to_bytes(32))], n)
        one.note_dropped(n.to_bytes(32), n)
    assert len(one.sent) == len(one.dropped) == 2048


def test_what_is_not_settled_is_always_remembered() -> None:
    one = lane()
    for n in range(5000):
        one.note_sent([piece(n.to_bytes(32))], n + 1)
    assert one.under_way((0).to_bytes(32), 0)


def test_what_is_usual_is_twice_what_a_quarter_of_the_others_had_of_late() -> None:
    lanes = [lane() for _ in range(8)]
    assert usual(lanes) == 0.0
    for n, one in enumerate(lanes):
        one.flow.charge(100, 0.0)
        one.flow.settle(100, 0.1 * (n + 1))
    assert usual(lanes, lanes[7]) == pytest.approx(1.0)
    for one in lanes[4:7]:
        one.state = "demoted"
    assert usual(lanes, lanes[7]) == pytest.approx(0.6)
    lanes[2].flow.longest = lanes[3].flow.longest = 60.0
    assert usual(lanes, lanes[7]) == 2.0


def test_a_long_trip_is_forgotten() -> None:
    one = lane().flow
    for n, trip in enumerate([0.8, *[0.01] * 300], 1):
        one.charge(100, float(n))
        one.settle(100 * n, n + trip)
        assert one.longest <= 0.8
    assert one.longest < 0.02
