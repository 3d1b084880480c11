"""What a child's report does to its lane (docs/protocol.md, section 6).

Rules
- A report is the child's view at its own `received`: only what was sent before that position counts as lost.
- A report is from a peer: lengths, ranges and counts are bounded before they cost anything.
"""

from __future__ import annotations

from collections.abc import Callable

from tiercast_protocol.transfer import further
from tiercast_protocol.transfer.credit import LARGEST_COUNT, LARGEST_MARK
from tiercast_protocol.transfer.events import Digest
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.queues import Queue
from tiercast_protocol.transfer.ranges import RangeSet, Span
from tiercast_protocol.transfer.supply import Supply
from tiercast_protocol.wire.frame import MAX_CHUNK
from tiercast_protocol.wire.messages import Report

DIGEST = 32
#: Most chunks queued for one child; a child of ours asks for a quarter at a time.
MOST_WANTED = 16_384
#: Largest window that a child is believed.
LARGEST_WINDOW = 64 << 20


def plausible(report: Report) -> bool:
    """Whether the numbers can be meant: they go back to the child in marks of fixed width."""
    return (
        0 <= report.session < 1 << 64
        and 0 <= report.received < LARGEST_COUNT
        and report.window >= 0
        and 0 <= report.mark < LARGEST_MARK
    )


def take_wants(lane: Lane, report: Report, supply: Supply, queue_of: Callable[[str], Queue]) -> None:
    """Queue what the report asks for and is not under way, each for its job; take out what it drops."""
    received = report.received
    for digest in _digests(report.drops):
        lane.note_dropped(digest, received)
        if digest in lane.wanted:
            further.take_out(lane, digest)
            lane.forget(digest)
            supply.unwant(digest, lane.child)
    runs = _Runs(report, queue_of)
    digests = _digests(report.wants)
    if report.repairs:
        _take_repairs(lane, report, supply, runs, len(digests))
    for n, digest in enumerate(digests):
        queue = runs.at(n)
        want = lane.wanted.get(digest)
        if want is None:
            if not _dropped(lane, digest, received) and not lane.under_way(digest, received):
                _queue(lane, digest, None, "lost" if digest in lane.sent else "first", queue, supply)
        elif want.spans is not None and not lane.under_way(digest, received):
            # Begun, and what was sent of it is lost: all of it again.
            _queue(lane, digest, None, "lost", want.queue, supply)
        elif want.queue is not queue:
            further.wanted_for(lane, digest, queue, supply)


def _take_repairs(lane: Lane, report: Report, supply: Supply, runs: _Runs, after: int) -> None:
    received = report.received
    queues: dict[Digest, dict[Queue, None]] = {}
    for n, (digest, _, _) in enumerate(report.repairs, after):
        queues.setdefault(digest, {})[runs.at(n)] = None
    for digest, spans in _repairs(report).items():
        if not _dropped(lane, digest, received) and not lane.under_way(digest, received):
            _queue(lane, digest, spans, "repair", further.best(lane, digest, queues[digest]), supply)
        if digest in lane.wanted:
            for queue in queues[digest]:
                further.wanted_for(lane, digest, queue, supply)
    runs.rewind()


class _Runs:
    """For which job is the nth digest of a report: its `jobs` count through the wants, and the repairs after them."""

    __slots__ = ("_end", "_jobs", "_next", "_queue", "_queue_of")

    def __init__(self, report: Report, queue_of: Callable[[str], Queue]) -> None:
        self._jobs = report.jobs
        self._queue_of = queue_of
        self.rewind()

    def rewind(self) -> None:
        """Begin again."""
        self._next = 0
        #: The first digest after the present run, and that one's queue.
        self._end = 0
        self._queue: Queue | None = None

    def at(self, n: int) -> Queue:
        """The queue of digest `n`; these rise."""
        while n >= self._end or self._queue is None:
            if self._next >= len(self._jobs):
                name, count = "", LARGEST_COUNT
            else:
                name, count = self._jobs[self._next]
                self._next += 1
            if count > 0:
                self._end += count
                self._queue = self._queue_of(name)
        return self._queue


def _queue(lane: Lane, digest: Digest, spans: list[Span] | None, reason: str, queue: Queue, supply: Supply) -> None:
    if digest not in lane.wanted:
        if len(lane.wanted) >= MOST_WANTED:
            return
    else:
        further.take_out(lane, digest)
    lane.put(digest, spans, reason, queue)
    further.offer(lane, digest, queue, supply)


def _dropped(lane: Lane, digest: Digest, received: int) -> bool:
    """Whether the child dropped the chunk after it said this; a later word makes the chunk wanted again."""
    at = lane.dropped.get(digest)
    if at is None:
        return False
    if at > received:
        return True
    del lane.dropped[digest]
    return False


def _digests(run: bytes) -> list[Digest]:
    return [run[at : at + DIGEST] for at in range(0, len(run) - DIGEST + 1, DIGEST)]


def _repairs(report: Report) -> dict[Digest, list[Span]]:
    """The ranges by chunk, merged and inside the largest chunk."""
    ranges: dict[Digest, RangeSet] = {}
    for digest, offset, length in report.repairs:
        if len(digest) == DIGEST and 0 <= offset < MAX_CHUNK and 0 < length <= MAX_CHUNK - offset:
            ranges.setdefault(digest, RangeSet()).add(offset, offset + length)
    return {digest: list(spans) for digest, spans in ranges.items()}
