"""What a report does to its lane, stale and odd ones included."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer import reports
from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.lanes import Lane, Want
from tiercast_protocol.transfer.pacing import TokenBucket
from tiercast_protocol.transfer.supply import Supply
from tiercast_protocol.wire.frame import MAX_CHUNK
from tiercast_protocol.wire.messages import Report

A, B = b"a" * 32, b"b" * 32


def lane() -> Lane:
    flow = Flow(0, 1 << 20, 0.0)
    return Lane(child="a", session=1, flow=flow, bucket=TokenBucket(), mark=0, answered=0, heard_at=0.0)


def said(received: int = 0, wants: bytes = b"", drops: bytes = b"", repairs: object = ()) -> Report:
    return Report(session=1, received=received, window=0, wants=wants, drops=drops, repairs=list(repairs))  # type: ignore[call-overload]


def test_wants_queue_once_in_their_order() -> None:
    one, supply = lane(), Supply()
    reports.take_wants(one, said(wants=B + A + B), supply)
    reports.take_wants(one, said(wants=A), supply)
    assert list(one.wanted) == [B, A]
    assert len(supply) == 2


def test_an_older_report_that_comes_late_does_not_bring_back_what_was_dropped() -> None:
    one, supply = lane(), Supply()
    reports.take_wants(one, said(100, wants=A), supply)
    reports.take_wants(one, said(200, drops=A), supply)
    reports.take_wants(one, said(150, wants=A), supply)
    assert not one.wanted
    reports.take_wants(one, said(200, wants=A), supply)
    assert list(one.wanted) == [A]


def test_repairs_replace_what_was_left_unless_some_of_it_is_under_way() -> None:
    one, supply = lane(), Supply()
    one.wanted[A] = Want([(50, 100)])
    supply.want(A, "a")
    one.note_sent(A, 500)
    reports.take_wants(one, said(400, repairs=[(A, 0, 10)]), supply)
    assert one.wanted[A].spans == [(50, 100)]
    reports.take_wants(one, said(500, repairs=[(A, 0, 10), (A, 40, 60)]), supply)
    assert one.wanted[A] == Want([(0, 10), (40, 100)], "repair")
    reports.take_wants(one, said(500, wants=A), supply)
    assert one.wanted[A] == Want(None, "lost")


@given(
    st.binary(max_size=200),
    st.binary(max_size=200),
    st.lists(st.tuples(st.sampled_from([A, b"short", b""]), st.integers(-10, 1 << 40), st.integers(-10, 1 << 40))),
)
def test_whatever_a_peer_says_stays_inside_bounds(
    wants: bytes, drops: bytes, repairs: list[tuple[bytes, int, int]]
) -> None:
    one, supply = lane(), Supply()
    reports.take_wants(one, said(0, wants, drops, repairs), supply)
    assert all(len(digest) == 32 for digest in one.wanted)
    for want in one.wanted.values():
        assert all(0 <= start < end <= MAX_CHUNK for start, end in want.spans or ())


def test_a_child_may_not_queue_without_end() -> None:
    one, supply = lane(), Supply()
    reports.take_wants(one, said(wants=b"".join(n.to_bytes(32) for n in range(20_000))), supply)
    assert len(one.wanted) == len(supply) == reports.MOST_WANTED
