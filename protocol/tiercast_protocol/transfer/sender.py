"""The parent's side of one hop: all its children's lanes (docs/protocol.md, section 6).

Rules
- Nothing is sent that was not wanted, and nothing twice while it is under way.
- A frame goes when its lane has credit, tokens and something to send, and at most `MOST_UNPUBLISHED` frames wait
  in the adapter: the queue stands here, where it can still be changed, not in a socket.
- Lanes take turns, a frame each.  A group takes its turn like a lane.
- Credit that drops took is settled by marks, never by guessing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tiercast_protocol.transfer import lanestates, reports
from tiercast_protocol.transfer.books import Account
from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.events import (
    Child,
    ChildJoinedGroup,
    ChildLost,
    ChunkAvailable,
    ChunkUnavailable,
    FindChunks,
    ForgetChunks,
    FrameFailed,
    FramePublished,
    JobPolicySet,
    JobResumed,
    JobSuspended,
    LaneResumed,
    LaneSlowed,
    LaneSuspended,
    LinkPolicySet,
    ReportReceived,
    SenderCommand,
    SenderEvent,
    TellAbsent,
    TimerFired,
)
from tiercast_protocol.transfer.groups import Group
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.policy import Pace
from tiercast_protocol.transfer.pump import Pump
from tiercast_protocol.transfer.queues import JobBytes, Queue
from tiercast_protocol.transfer.ranges import RangeSet
from tiercast_protocol.transfer.supply import Supply
from tiercast_protocol.transfer.views import LaneView, lane_view
from tiercast_protocol.wire.messages import Piece, Report

NO_WISH = Pace()
#: Sessions of earlier lives of a child whose late reports are ignored.
_RETIRED = 8


class Sender:
    """One machine per parent node.

    Args:
        groups: whether children that want the same may share frames.
    """

    def __init__(self, *, groups: bool = True) -> None:
        self.supply = Supply()
        self._lanes: dict[Child, Lane] = {}
        self._pump = Pump(self.supply, self._lanes, groups=groups)
        self._membership = self._pump.membership
        self._settings = self._pump.settings
        self._now = 0.0
        self._retired: dict[Child, deque[int]] = {}
        self._handlers: dict[type, Callable[[Any, float, list[SenderCommand]], None]] = {
            ReportReceived: self._report,
            ChunkAvailable: self._available,
            ChunkUnavailable: self._unavailable,
            FramePublished: self._published,
            FrameFailed: self._failed,
            ChildLost: self._child_lost,
            ChildJoinedGroup: self._joined,
            LinkPolicySet: self._settings.link_policy_set,
            JobPolicySet: self._settings.job_policy_set,
            JobSuspended: self._settings.job_suspended,
            JobResumed: self._settings.job_resumed,
            LaneSuspended: self._settings.lane_suspended,
            LaneResumed: self._settings.lane_resumed,
            TimerFired: lambda _event, now, _out: self._pump.fired(now),
        }

    def lanes(self) -> list[LaneView]:
        """A snapshot of every lane, for status."""
        return [lane_view(lane, self._pump.output, self._now) for lane in self._lanes.values()]

    def sent(self) -> Iterator[tuple[Child, str, JobBytes]]:
        """What every lane sent of every job, for the books: nothing else of the lanes is looked at."""
        for lane in self._lanes.values():
            for queue in lane.queues.values():
                yield lane.child, queue.job.name, queue.bytes

    def account(self, child: Child) -> Account | None:
        """The child's lane as the books see it; None when it has none."""
        lane = self._lanes.get(child)
        return Account(lane.session, lane.flow.charged, lane.flow.received) if lane is not None else None

    def handle(self, event: SenderEvent, *, now: float) -> list[SenderCommand]:
        """Take an event; returns what to do, in this order.  `now` is seconds of a clock that never steps back."""
        return self.handle_all((event,), now=now)

    def handle_all(self, events: Sequence[SenderEvent], *, now: float) -> list[SenderCommand]:
        """Take what happened at one moment: frames are cut when all of it is known."""
        out: list[SenderCommand] = []
        self._now = now
        for event in events:
            self._handlers[type(event)](event, now, out)
        find, forget = self.supply.take_questions()
        if forget:
            out.append(ForgetChunks(forget))
        for job, digests in find.items():
            out.append(FindChunks(tuple(digests), job.name))
        self._pump.run(now, out)
        return out

    # -- what children say ------------------------------------------------------------------------

    def _report(self, event: ReportReceived, now: float, out: list[SenderCommand]) -> None:
        report = event.report
        lane = self._lane_of(event.child, report, now, out) if reports.plausible(report) else None
        if lane is None:
            return
        lane.heard_at = now
        flow = lane.flow
        exact = lane.answered < report.mark == lane.mark
        if exact:
            lane.answered = report.mark
            lane.dropped.clear()  # by counts that may have been too high
        if exact or report.received >= flow.received:
            flow.window = min(report.window, reports.LARGEST_WINDOW)
        if flow.settle(report.received, now, exact=exact, measure=not (exact or lane.mark_tries)):
            lane.mark_tries = 0
            self._yield(lane, now, out)
        if lane.state == lanestates.PARKED:
            # Heard again; what is still under way is settled by a mark at once.
            lane.mark_tries = 0
            self._pump.change(lane, lanestates.HEARD, now, out)
        elif lane.state == lanestates.DEMOTED and lane.keeps_up(now):
            self._pump.change(lane, lanestates.CAUGHT_UP, now, out)
        if report.segment or report.rate or lane.link.wish != NO_WISH:
            self._settings.wish(lane, report, now, out)
        reports.take_wants(lane, report, self.supply, lambda name: self._settings.queue(lane, name, now))
        if report.wants:
            self._membership.propose(lane, now)
        self._pump.wake(lane, now)

    def _yield(self, lane: Lane, now: float, out: list[SenderCommand]) -> None:
        adaptive = lane.link.adaptive
        if adaptive is not None and (reason := adaptive.heard(lane.flow, now)):
            out.append(LaneSlowed(lane.child, adaptive.rate, reason))

    def _lane_of(self, child: Child, report: Report, now: float, out: list[SenderCommand]) -> Lane | None:
        """The lane of the report's session, begun anew for a new one; None for a session that is over."""
        lane = self._lanes.get(child)
        if lane is not None and lane.session == report.session:
            return lane
        if report.session in self._retired.get(child, ()):
            return None
        if lane is not None:
            self._retired.setdefault(child, deque(maxlen=_RETIRED)).append(lane.session)
            self._drop_lane(lane, now, out)
        link = self._settings.link(child)
        lane = self._lanes[child] = Lane(
            child=child,
            session=report.session,
            flow=Flow(report.received, report.window, now, link.known),
            link=link,
            mark=report.mark,
            answered=report.mark,
            heard_at=now,
        )
        return lane

    def _child_lost(self, event: ChildLost, now: float, out: list[SenderCommand]) -> None:
        lane = self._lanes.pop(event.child, None)
        self._retired.pop(event.child, None)
        if lane is not None:
            self._drop_lane(lane, now, out)

    def _drop_lane(self, lane: Lane, now: float, out: list[SenderCommand]) -> None:
        self._membership.leave(lane, now, out, lost=True)
        for digest in lane.wanted:
            self.supply.unwant(digest, lane.child)
        lane.wanted.clear()
        lane.alive = False
        lane.link.known = lane.flow.known(now)
        self._settings.prune()

    def _joined(self, event: ChildJoinedGroup, now: float, out: list[SenderCommand]) -> None:
        lane = self._lanes.get(event.child)
        if lane is not None:
            self._membership.joined(lane, event.group, now, out)

    # -- what the depot says ----------------------------------------------------------------------

    def _available(self, event: ChunkAvailable, _now: float, _out: list[SenderCommand]) -> None:
        if event.size <= 0:
            raise ValueError(f"a stored chunk of {event.size} bytes")
        chunk = self.supply.found(event.digest, event.size)
        if chunk is None:
            return
        groups: dict[Group, None] = {}
        for child in chunk.wanters:
            lane = self._lanes[child]
            lane.enqueue(event.digest)
            if lane.group is not None:
                groups[lane.group] = None
            self._pump.offer(lane)
        for group in groups:
            group.share(event.digest, self.supply)

    def _unavailable(self, event: ChunkUnavailable, _now: float, out: list[SenderCommand]) -> None:
        for child in self.supply.absent(event.digest):
            lane = self._lanes[child]
            if lane.group is not None:
                lane.group.unshare(event.digest)
            lane.forget(event.digest)
            lane.note_dropped(event.digest, 0)
            out.append(TellAbsent(child, (event.digest,), event.reason))

    # -- what the broker connection says ----------------------------------------------------------

    def _published(self, event: FramePublished, _now: float, _out: list[SenderCommand]) -> None:
        self._pump.published(event.frame)

    def _failed(self, event: FrameFailed, now: float, _out: list[SenderCommand]) -> None:
        frame = self._pump.failed(event.frame, now)
        if frame is None:
            return
        for piece in frame.pieces:
            chunk = self.supply.doubt(piece.digest)
            if chunk is not None:
                for child in chunk.wanters:
                    lane = self._lanes[child]
                    if lane.group is not None:
                        lane.group.unshare(piece.digest)
                    lane.dequeue(piece.digest)
            for lane, queue in zip(frame.lanes, frame.queues, strict=True):
                if lane.alive:
                    self._give_back(lane, self._settings.queue(lane, queue.job.name, now), piece)
        for lane in frame.lanes:
            if lane.alive:
                # The charge stays (positions never go back); a mark settles it soon.
                lane.mark_forced = True
                self._pump.wake(lane, now)

    def _give_back(self, lane: Lane, queue: Queue, piece: Piece) -> None:
        queue.bytes.failed += piece.length
        if piece.digest in lane.dropped:
            return
        want = lane.wanted.get(piece.digest)
        if want is not None and want.spans is None:
            return
        left = RangeSet()
        for start, end in want.spans or () if want is not None else ():
            left.add(start, end)
        left.add(piece.offset, piece.offset + piece.length)
        if want is not None:
            queue = want.queue
        lane.put(piece.digest, list(left), "failed", queue)
        if self.supply.want(piece.digest, lane.child, queue.job) is not None:
            lane.enqueue(piece.digest)
