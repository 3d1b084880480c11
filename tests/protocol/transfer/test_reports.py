"""What a report does to its lane, stale and odd ones included."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer import reports
from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.jobs import Job
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.links import Link
from tiercast_protocol.transfer.policy import JobPolicy
from tiercast_protocol.transfer.queues import Queue, Want
from tiercast_protocol.transfer.supply import Supply
from tiercast_protocol.wire.frame import MAX_CHUNK
from tiercast_protocol.wire.messages import Piece, Report

A, B = b"a" * 32, b"b" * 32


def lane() -> Lane:
    flow = Flow(0, 1 << 20, 0.0)
    return Lane(child="a", session=1, flow=flow, link=Link("a"), mark=0, answered=0, heard_at=0.0)


def take(one: Lane, report: Report, supply: Supply) -> None:
    """Every job has its queue; "urgent" goes first."""

    def queue_of(name: str) -> Queue:
        if name not in one.queues:
            one.queues[name] = Queue(Job(name))
            if name == "urgent":
                one.queues[name].job.follow(JobPolicy(priority=9), 0.0)
        return one.queues[name]

    reports.take_wants(one, report, supply, queue_of)


def said(received: int = 0, wants: bytes = b"", drops: bytes = b"", repairs: object = (), jobs: object = ()) -> Report:
    return Report(
        session=1,
        received=received,
        window=0,
        wants=wants,
        drops=drops,
        repairs=list(repairs),  # type: ignore[call-overload]
        jobs=list(jobs),  # type: ignore[call-overload]
    )


def test_wants_queue_once_in_their_order() -> None:
    one, supply = lane(), Supply()
    take(one, said(wants=B + A + B), supply)
    take(one, said(wants=A), supply)
    assert list(one.wanted) == [B, A]
    assert len(supply) == 2


def test_an_older_report_that_comes_late_does_not_bring_back_what_was_dropped() -> None:
    one, supply = lane(), Supply()
    take(one, said(100, wants=A), supply)
    take(one, said(200, drops=A), supply)
    take(one, said(150, wants=A), supply)
    assert not one.wanted
    take(one, said(200, wants=A), supply)
    assert list(one.wanted) == [A]


def test_repairs_replace_what_was_left_unless_some_of_it_is_under_way() -> None:
    one, supply = lane(), Supply()
    queue = one.queues[""] = Queue(Job(""))
    one.put(A, [(50, 100)], "first", queue)
    supply.want(A, "a", queue.job)
    one.note_sent([Piece(A, 100, 0, 100)], 500)
    take(one, said(400, repairs=[(A, 0, 10)]), supply)
    assert one.wanted[A].spans == [(50, 100)]
    take(one, said(500, repairs=[(A, 0, 10), (A, 40, 60)]), supply)
    assert one.wanted[A] == Want(queue, [(0, 10), (40, 100)], "repair")
    take(one, said(500, wants=A), supply)
    assert one.wanted[A] == Want(queue, None, "lost")


@given(
    st.binary(max_size=200),
    st.binary(max_size=200),
    st.lists(st.tuples(st.sampled_from([A, b"short", b""]), st.integers(-10, 1 << 40), st.integers(-10, 1 << 40))),
)
def test_whatever_a_peer_says_stays_inside_bounds(
    wants: bytes, drops: bytes, repairs: list[tuple[bytes, int, int]]
) -> None:
    one, supply = lane(), Supply()
    take(one, said(0, wants, drops, repairs), supply)
    assert all(len(digest) == 32 for digest in one.wanted)
    for want in one.wanted.values():
        assert all(0 <= start < end <= MAX_CHUNK for start, end in want.spans or ())


def test_a_child_may_not_queue_without_end() -> None:
    one, supply = lane(), Supply()
    take(one, said(wants=b"".join(n.to_bytes(32) for n in range(20_000))), supply)
    assert len(one.wanted) == len(supply) == reports.MOST_WANTED


def job_of(one: Lane, digest: bytes) -> str:
    return one.wanted[digest].queue.job.name


def test_wants_and_the_repairs_after_them_say_for_which_job() -> None:
    one, supply = lane(), Supply()
    jobs = [("one", 0), ("one", 1), ("two", 2)]
    take(one, said(wants=A + B, repairs=[(b"c" * 32, 0, 5), (b"d" * 32, 0, 5)], jobs=jobs), supply)
    assert [job_of(one, digest) for digest in (A, B, b"c" * 32, b"d" * 32)] == ["one", "two", "two", ""]
    assert [queue.wanted for queue in one.queues.values()] == [1, 2, 1]


def test_a_want_moves_to_the_more_urgent_job_and_never_back() -> None:
    one, supply = lane(), Supply()
    take(one, said(wants=A, jobs=[("one", 1)]), supply)
    supply.take_questions()
    take(one, said(wants=A, jobs=[("urgent", 1)]), supply)
    assert job_of(one, A) == "urgent"
    assert {job.name: found for job, found in supply.take_questions()[0].items()} == {"urgent": [A]}
    take(one, said(wants=A, jobs=[("one", 1)]), supply)
    assert job_of(one, A) == "urgent"
    assert [queue.wanted for queue in one.queues.values()] == [0, 1]
