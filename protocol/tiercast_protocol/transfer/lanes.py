"""One child's lane at the sender: what it wants, what was sent and is not settled, when to ask for a mark.

Rules
- A want is queued once.  It is ignored while the chunk is queued or under way (sent at a position that the
  child's report had not reached); it is heard when that position is settled: then the chunk was lost.
- Ranges to repair replace what was left to send of their chunk: the child knows best.
- No progress with bytes under way means a mark; none for `PARK_AFTER` seconds parks the lane: nothing is sent
  until the child is heard again, and its wants stay.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.events import Child, Digest
from tiercast_protocol.transfer.pacing import TokenBucket
from tiercast_protocol.transfer.ranges import Span

if TYPE_CHECKING:
    from tiercast_protocol.transfer.groups import Group

#: Seconds without progress, with bytes under way, after which a child is parked.
PARK_AFTER = 10.0
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


@dataclass(slots=True)
class LaneBytes:
    """Payload bytes charged to one child, by reason: what the ledger stands on."""

    first: int = 0
    lost: int = 0
    repair: int = 0
    failed: int = 0
    frames: int = 0
    group_frames: int = 0
    marks: int = 0


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane as status shows it.  `rate` is the measured bytes per second, `cap` the configured one."""

    child: Child
    state: str
    suspended: bool
    in_flight: int
    wanted: int
    charged: int
    received: int
    window: int
    rate: float | None
    cap: float | None
    rtt: float | None
    group: int | None
    sent: LaneBytes


@dataclass(slots=True)
class Want:
    """What is left to send of one chunk; `spans` None is all of it.  `reason` is a field of `LaneBytes`."""

    spans: list[Span] | None = None
    reason: str = "first"


@dataclass(slots=True, eq=False)
class Lane:
    """The state of one child in one session."""

    child: Child
    session: int
    flow: Flow
    bucket: TokenBucket
    #: The newest mark published, and the newest answered.
    mark: int
    answered: int
    heard_at: float
    wanted: dict[Digest, Want] = field(default_factory=dict)
    #: What may be sent now, in order: chunks lost or holed first, then the rest.
    urgent: OrderedDict[Digest, None] = field(default_factory=OrderedDict)
    sendable: OrderedDict[Digest, None] = field(default_factory=OrderedDict)
    #: Position after the last piece of each chunk sent; oldest first.
    sent: OrderedDict[Digest, int] = field(default_factory=OrderedDict)
    #: The child's count when it dropped a chunk: a report from before that came late does not bring it back.
    dropped: OrderedDict[Digest, int] = field(default_factory=OrderedDict)
    state: str = "active"
    state_at: float = float("-inf")
    suspended: bool = False
    group: Group | None = None
    ready: bool = False
    due: float = float("inf")
    mark_at: float = float("-inf")
    mark_tries: int = 0
    #: A frame of this lane failed: its charge is settled by a mark at once.
    mark_forced: bool = False
    alive: bool = True
    bytes: LaneBytes = field(default_factory=LaneBytes)

    # -- wants ------------------------------------------------------------------------------------

    def under_way(self, digest: Digest, received: int) -> bool:
        """Whether a piece of the chunk was sent after the report that says `received`."""
        return self.sent.get(digest, -1) > received

    def put(self, digest: Digest, spans: list[Span] | None, reason: str) -> None:
        """Queue the chunk, or replace what was left to send of it."""
        self.wanted[digest] = Want(spans, reason)

    def enqueue(self, digest: Digest) -> None:
        """The chunk is at hand: it may be sent."""
        want = self.wanted[digest]
        if want.reason == "first":
            self.sendable[digest] = None
        else:
            self.urgent[digest] = None

    def dequeue(self, digest: Digest) -> None:
        """The chunk may not be sent from this lane's own queues any more."""
        self.sendable.pop(digest, 0)
        self.urgent.pop(digest, 0)

    def note_sent(self, digest: Digest, position: int) -> None:
        """A piece of the chunk was charged up to `position`."""
        self.sent[digest] = position
        self.sent.move_to_end(digest)
        received = self.flow.received
        while len(self.sent) > _REMEMBERED:
            oldest = next(iter(self.sent.items()))
            if oldest[1] > received:
                break
            del self.sent[oldest[0]]

    def note_dropped(self, digest: Digest, received: int) -> None:
        """The child does not want the chunk any more."""
        self.dropped[digest] = received
        if len(self.dropped) > _REMEMBERED:
            self.dropped.popitem(last=False)

    # -- marks ------------------------------------------------------------------------------------

    def mark_due(self, *, more: bool) -> float:
        """When a mark is due if nothing changes; `more`: there is something else to send."""
        flow = self.flow
        if not flow.in_flight or self.state == "parked":
            return float("inf")
        if self.mark_forced:
            return float("-inf")
        trip = min(flow.rtt, _TRIP_LONGEST) if flow.rtt is not None else _TRIP_GUESS
        wait = max(MARK_BUSY, 4 * trip) if more else max(MARK_LAST, 2 * trip)
        since = max(flow.progress_at, flow.waiting_since if more else flow.sent_at)
        if self.mark_tries:
            return max(since, self.mark_at) + min(wait * 2.0 ** min(self.mark_tries, 10), _MARK_LONGEST)
        return since + wait

    def park_due(self) -> float:
        """When the lane is parked if nothing changes."""
        if not self.flow.in_flight or self.state == "parked":
            return float("inf")
        return max(self.flow.progress_at, self.flow.waiting_since, self.heard_at) + PARK_AFTER

    def view(self) -> LaneView:
        """For status."""
        flow = self.flow
        return LaneView(
            child=self.child,
            state=self.state,
            suspended=self.suspended,
            in_flight=flow.in_flight,
            wanted=len(self.wanted),
            charged=flow.charged,
            received=flow.received,
            window=flow.window,
            rate=flow.rate,
            cap=self.bucket.rate,
            rtt=flow.rtt,
            group=self.group.number if self.group is not None else None,
            sent=self.bytes,
        )
