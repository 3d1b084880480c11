"""One child's lane at the sender: what it wants, what was sent and is not settled, when to ask for a mark.

Rules
- A want is queued once.  It is ignored while the chunk is queued or under way (sent at a position that the
  child's report had not reached); it is heard when that position is settled: then the chunk was lost.
- Ranges to repair replace what was left to send of their chunk: the child knows best.
- A lane that holds the others of its group back (membership.py), or takes far longer than it used to while the others
  wait for more, is demoted: it shares with nobody.
- No progress with bytes under way means a mark; none for `PARK_AFTER` seconds parks the lane: nothing is sent
  until the child is heard again, and its wants stay.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.events import Child, Digest, Job
from tiercast_protocol.transfer.lanestates import (
    ACTIVE,
    BACK_AFTER,
    BACK_PROGRESS,
    LAG_AFTER,
    LAG_TRIPS,
    PARK_AFTER,
    PARKED,
    USUAL_MOST,
    USUAL_TIMES,
)
from tiercast_protocol.transfer.links import Link
from tiercast_protocol.transfer.queues import JobBytes, Queue, Want
from tiercast_protocol.transfer.ranges import Span
from tiercast_protocol.wire.messages import Piece

if TYPE_CHECKING:
    from tiercast_protocol.transfer.groups import Group

#: Least seconds without progress before a mark: while there is more to send, and at the end.
MARK_BUSY = 0.5
MARK_LAST = 0.2
#: Before the first round trip was measured.
_TRIP_GUESS = 0.25
#: No link of ours is slower; a child that was stopped for a while looks as if.
_TRIP_LONGEST = 2.0
#: Longest pause between two marks.
_MARK_LONGEST = 5.0
#: Settled chunks remembered per lane, to tell a chunk sent again from one sent first.
_REMEMBERED = 2048


@dataclass(slots=True, eq=False)
class Lane:
    """The state of one child in one session."""

    child: Child
    session: int
    flow: Flow
    link: Link
    #: The newest mark published, and the newest answered.
    mark: int
    answered: int
    heard_at: float
    wanted: dict[Digest, Want] = field(default_factory=dict)
    #: Whether any of them was wanted for several jobs.
    several: bool = False
    #: By job, in the order of their turns.
    queues: OrderedDict[Job, Queue] = field(default_factory=OrderedDict)
    #: Position after the last piece of each chunk sent, oldest first.
    sent: OrderedDict[Digest, int] = field(default_factory=OrderedDict)
    #: The child's count when it dropped a chunk: a report from before that came late does not bring it back.
    dropped: OrderedDict[Digest, int] = field(default_factory=OrderedDict)
    state: str = ACTIVE
    state_at: float = float("-inf")
    group: Group | None = None
    #: Bytes that jobs of lower priority may send before the higher ones go on.
    spare: float = 0.0
    #: A job here gave way to what its group shares.
    held: bool = False
    ready: bool = False
    due: float = float("inf")
    mark_at: float = float("-inf")
    #: Not to be asked before whether it lags.
    lag_from: float = float("-inf")
    #: What others want too is not sent here before: the group that will share it is being founded.
    hold_until: float = float("-inf")
    mark_tries: int = 0
    #: A frame of this lane failed: its charge is settled by a mark at once.
    mark_forced: bool = False
    alive: bool = True
    group_frames: int = 0
    #: Of jobs that are forgotten here.
    past: JobBytes = field(default_factory=JobBytes)
    marks: int = 0

    # -- wants ------------------------------------------------------------------------------------

    def under_way(self, digest: Digest, received: int) -> bool:
        """Whether a piece of the chunk was sent after the report that says `received`."""
        last = self.sent.get(digest)
        return last is not None and last > received

    def put(self, digest: Digest, spans: list[Span] | None, reason: str, queue: Queue) -> None:
        """Want the chunk, or replace what was left to send of it; it stands in no queue then."""
        before = self.wanted.get(digest)
        if before is not None:
            self.forget(digest)
        queue.wanted += 1
        self.wanted[digest] = Want(queue, spans, reason, before.others if before is not None else ())

    def forget(self, digest: Digest) -> None:
        """The chunk is not wanted any more, or all of it was sent."""
        want = self.wanted.pop(digest, None)
        if want is not None:
            queue = want.queue
            queue.wanted -= 1
            queue.sendable.pop(digest, 0)
            queue.urgent.pop(digest, 0)

    def enqueue(self, digest: Digest) -> None:
        """The chunk is at hand: it may be sent."""
        want = self.wanted[digest]
        if want.reason == "first":
            want.queue.sendable[digest] = None
        else:
            want.queue.urgent[digest] = None

    def in_order(self) -> None:
        """What came back goes in the order in which it was asked, what is begun first: then children stay abreast."""
        for queue in self.queues.values():
            back = queue.sendable
            begun = [digest for digest in back if self.wanted[digest].spans is not None]
            rest = [digest for digest, want in self.wanted.items() if digest in back and want.spans is None]
            queue.sendable = OrderedDict.fromkeys([*begun, *rest])

    def dequeue(self, digest: Digest) -> None:
        """The chunk may not be sent from this lane's own queues any more."""
        want = self.wanted.get(digest)
        if want is not None:
            want.queue.sendable.pop(digest, 0)
            want.queue.urgent.pop(digest, 0)

    def sent_whole(self, queue: Queue, digests: list[Digest]) -> None:
        """All of these, of one queue, was sent: `forget` for many at once."""
        urgent, sendable, wanted = queue.urgent, queue.sendable, self.wanted
        for digest in digests:
            del wanted[digest]
            if digest in sendable:
                del sendable[digest]
            elif urgent:
                urgent.pop(digest, 0)
        queue.wanted -= len(digests)

    def note_sent(self, pieces: Iterable[Piece], position: int) -> None:
        """These pieces were charged up to `position`."""
        sent = self.sent
        for piece in pieces:
            digest = piece.digest
            if digest in sent:
                sent.move_to_end(digest)
            sent[digest] = position
        if len(sent) > _REMEMBERED:
            received = self.flow.received
            while len(self.sent) > _REMEMBERED:
                oldest = next(iter(self.sent))
                if sent[oldest] > received:
                    break
                del self.sent[oldest]

    def note_dropped(self, digest: Digest, received: int) -> None:
        """The child does not want the chunk any more."""
        self.dropped[digest] = received
        if len(self.dropped) > _REMEMBERED:
            self.dropped.popitem(last=False)

    def has_more(self) -> bool:
        """Whether there is something to send that may go one day."""
        for queue in self.queues.values():
            if (queue.sendable or queue.urgent) and not queue.closed:
                return True
        return self.group is not None and bool(self.group.jobs)

    # -- marks ------------------------------------------------------------------------------------

    def mark_due(self, *, more: bool) -> float:
        """When a mark is due if nothing changes; `more`: there is something else to send."""
        flow = self.flow
        if not flow.in_flight or self.state == PARKED:
            return float("inf")
        if self.mark_forced:
            return float("-inf")
        trip = min(flow.rtt, _TRIP_LONGEST) if flow.rtt is not None else _TRIP_GUESS
        wait = max(MARK_BUSY, 4 * trip) if more else max(MARK_LAST, 2 * trip)
        since = max(flow.progress_at, flow.waiting_since if more else flow.sent_at)
        if self.mark_tries:
            return max(since, self.mark_at) + min(wait * 2.0 ** min(self.mark_tries, 10), _MARK_LONGEST)
        return since + wait

    def lag_due(self) -> float:
        """When the child counts as straggling if nothing changes: what it was sent takes far longer than usual."""
        if self.state != ACTIVE or not self.flow.in_flight:
            return float("inf")
        trip = self.flow.rtt if self.flow.rtt is not None else _TRIP_GUESS
        return max(self.flow.oldest + max(LAG_AFTER, LAG_TRIPS * trip), self.lag_from)

    def keeps_up(self, now: float) -> bool:
        """Whether a demoted lane may take part again."""
        return now - self.state_at >= BACK_AFTER and now - self.flow.progress_at < BACK_PROGRESS

    def holds(self, now: float) -> bool:
        """Whether what others want too waits for the group that is being founded."""
        return self.hold_until > now

    def park_due(self) -> float:
        """When the lane is parked if nothing changes."""
        if not self.flow.in_flight or self.state == PARKED:
            return float("inf")
        return max(self.flow.progress_at, self.flow.waiting_since, self.heard_at) + PARK_AFTER


def usual(lanes: Iterable[Lane], but: Lane | None = None) -> float:
    """Seconds without news that mean nothing, by how regularly others are heard; 0 while nothing is known.

    On a machine that is busy all are heard irregularly, and to be late is no sign of a slow child.
    """
    trips = sorted(lane.flow.longest for lane in lanes if lane is not but and lane.state == ACTIVE)
    return min(USUAL_TIMES * trips[3 * (len(trips) - 1) // 4], USUAL_MOST) if trips else 0.0
