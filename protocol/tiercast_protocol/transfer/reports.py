"""What a child's report does to its lane (docs/protocol.md, section 6).

Rules
- A report is the child's view at its own `received`: only what was sent before that position counts as lost.
- A report is from a peer: lengths, ranges and counts are bounded before they cost anything.
"""

from __future__ import annotations

from tiercast_protocol.transfer.credit import LARGEST_COUNT, LARGEST_MARK
from tiercast_protocol.transfer.events import Digest
from tiercast_protocol.transfer.lanes import Lane
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


def take_wants(lane: Lane, report: Report, supply: Supply) -> None:
    """Queue what the report asks for and is not under way; take out what it drops."""
    received = report.received
    for digest in _digests(report.drops):
        lane.note_dropped(digest, received)
        if digest in lane.wanted:
            _take_out(lane, digest)
            del lane.wanted[digest]
            supply.unwant(digest, lane.child)
    for digest, spans in _repairs(report).items():
        if not _dropped(lane, digest, received) and not lane.under_way(digest, received):
            _queue(lane, digest, spans, "repair", supply)
    for digest in _digests(report.wants):
        want = lane.wanted.get(digest)
        if want is None:
            if not _dropped(lane, digest, received) and not lane.under_way(digest, received):
                _queue(lane, digest, None, "lost" if digest in lane.sent else "first", supply)
        elif want.spans is not None and not lane.under_way(digest, received):
            # Begun, and what was sent of it is lost: all of it again.
            _queue(lane, digest, None, "lost", supply)


def _queue(lane: Lane, digest: Digest, spans: list[Span] | None, reason: str, supply: Supply) -> None:
    if digest not in lane.wanted:
        if len(lane.wanted) >= MOST_WANTED:
            return
    else:
        _take_out(lane, digest)
    lane.put(digest, spans, reason)
    if supply.want(digest, lane.child) is not None:
        lane.enqueue(digest)
        if lane.group is not None:
            lane.group.share(digest, supply)


def _dropped(lane: Lane, digest: Digest, received: int) -> bool:
    """Whether the child dropped the chunk after it said this; a later word makes the chunk wanted again."""
    at = lane.dropped.get(digest)
    if at is None:
        return False
    if at > received:
        return True
    del lane.dropped[digest]
    return False


def _take_out(lane: Lane, digest: Digest) -> None:
    if lane.group is not None:
        lane.group.unshare(digest)
    lane.dequeue(digest)


def _digests(run: bytes) -> list[Digest]:
    return [run[at : at + DIGEST] for at in range(0, len(run) - DIGEST + 1, DIGEST)]


def _repairs(report: Report) -> dict[Digest, list[Span]]:
    """The ranges by chunk, merged and inside the largest chunk."""
    ranges: dict[Digest, RangeSet] = {}
    for digest, offset, length in report.repairs:
        if len(digest) == DIGEST and 0 <= offset < MAX_CHUNK and 0 < length <= MAX_CHUNK - offset:
            ranges.setdefault(digest, RangeSet()).add(offset, offset + length)
    return {digest: list(spans) for digest, spans in ranges.items()}
