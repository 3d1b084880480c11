"""One job's part of a lane: what was lost goes first, and sums add up."""

from __future__ import annotations

from tiercast_protocol.transfer.jobs import Job
from tiercast_protocol.transfer.queues import JobBytes, Queue


def test_what_was_lost_goes_first() -> None:
    queue = Queue(Job("a"))
    assert not queue.head()
    queue.sendable[b"new"] = None
    assert list(queue.head()) == [b"new"]
    queue.urgent[b"lost"] = None
    assert list(queue.head()) == [b"lost"]


def test_sums_add_up() -> None:
    one, other = JobBytes(first=5, lost=1, frames=2), JobBytes(first=7, repair=3, failed=2, frames=1)
    one.add(other)
    assert one == JobBytes(first=12, lost=1, repair=3, failed=2, frames=3)
