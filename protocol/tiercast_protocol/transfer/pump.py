"""Frames, marks and timers of a sender: what a turn sends, and what is charged for it (docs/protocol.md, section 6).

Rules
- A turn gives one frame or none; who got none waits for the event that changes that, not for a scan.
- Whatever leaves is charged to every child it goes to, before it leaves.
- Who was away himself finds nobody late before he has read what came meanwhile.
- After failures in a row nothing is sent for a while: a broker that is down must not spin the node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tiercast_protocol.transfer import lanestates
from tiercast_protocol.transfer.company import Company
from tiercast_protocol.transfer.cutting import FRAME_COST, PIECE_COST, cut
from tiercast_protocol.transfer.events import (
    Child,
    Digest,
    LaneChanged,
    PublishFrame,
    PublishMark,
    SenderCommand,
    WakeAt,
)
from tiercast_protocol.transfer.gates import NEVER, ready_at
from tiercast_protocol.transfer.groups import Group
from tiercast_protocol.transfer.jobs import Job, Jobs
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.lanestates import LAG_AFTER
from tiercast_protocol.transfer.links import Link
from tiercast_protocol.transfer.membership import Membership
from tiercast_protocol.transfer.pacing import TokenBucket
from tiercast_protocol.transfer.queues import Queue
from tiercast_protocol.transfer.ranges import Span
from tiercast_protocol.transfer.schedule import Schedule
from tiercast_protocol.transfer.settings import Settings
from tiercast_protocol.transfer.supply import Supply
from tiercast_protocol.transfer.turns import Turn, Turns, spare_after
from tiercast_protocol.wire.messages import Piece

#: Frames handed to the adapter and not yet published.
MOST_UNPUBLISHED = 4
#: Pause after frames failed one after the other, in seconds, doubling up to the longest.
_HOLD_FIRST = 0.2
_HOLD_LONGEST = 5.0
#: A timer that comes so late says that we were not running: what others said meanwhile is not read yet.
_AWAY = 0.03


@dataclass(slots=True)
class Unpublished:
    """A frame in the adapter's hands."""

    lanes: tuple[Lane, ...]
    queues: tuple[Queue, ...]
    pieces: tuple[Piece, ...]


class Pump:
    """What drives the lanes of one sender."""

    def __init__(self, supply: Supply, lanes: dict[Child, Lane], *, groups: bool) -> None:
        self.supply = supply
        self._lanes = lanes
        self._schedule: Schedule[Lane | Group] = Schedule()
        self._company = Company(lanes)
        self.membership = Membership(supply, self._schedule, self._company, enabled=groups)
        #: All links together.
        self.output = Link("")
        jobs = Jobs()
        self.turns = Turns(self._schedule, jobs, self.output, self.membership)
        self.settings = Settings(lanes, jobs, self.output, self)
        self._output_at = NEVER
        self._unpublished: dict[int, Unpublished] = {}
        self._frame = 0
        self._failures = 0
        self._hold_until = float("-inf")
        self._armed: float | None = None
        #: Nobody is found late before.
        self._judge_from = float("-inf")

    # -- events -----------------------------------------------------------------------------------

    def published(self, frame: int) -> None:
        """The adapter is done with the frame."""
        if self._unpublished.pop(frame, None) is not None:
            self._failures = 0

    def failed(self, frame: int, now: float) -> Unpublished | None:
        """The frame did not leave; its lanes and pieces, or None if it is not known."""
        known = self._unpublished.pop(frame, None)
        if known is not None:
            self._failures += 1
            if self._failures > 1:
                pause = min(_HOLD_FIRST * 2 ** min(self._failures - 2, 10), _HOLD_LONGEST)
                self._hold_until = max(self._hold_until, now + pause)
        return known

    def fired(self, now: float) -> None:
        """The timer came."""
        if self._armed is not None and now > self._armed + _AWAY:
            self._judge_from = now + LAG_AFTER / 2
        self._armed = None

    def change(self, lane: Lane, change: lanestates.Change, now: float, out: list[SenderCommand]) -> None:
        """Put the lane into a state and say so."""
        lane.state = change.state
        lane.state_at = now
        if change.state != lanestates.ACTIVE:
            self.membership.leave(lane, now, out)
        out.append(LaneChanged(lane.child, change.state, change.reason))

    def wake(self, lane: Lane, now: float) -> None:
        """Something changed for the lane: let it take a turn, and look at its deadlines."""
        self.offer(lane)
        self._watch(lane, now)

    def offer(self, lane: Lane) -> None:
        """There is more to send: let the lane take a turn (no deadline comes sooner for that)."""
        self._schedule.ready(lane)
        if lane.group is not None:
            self._schedule.ready(lane.group)

    def _watch(self, lane: Lane, now: float) -> None:
        if lane.flow.in_flight:
            due = min(self._mark_due(lane), lane.park_due(), self._lag_due(lane))
            if due < lane.due:
                self._schedule.look_at(lane, max(now, due))

    @staticmethod
    def _mark_due(lane: Lane) -> float:
        return lane.mark_due(more=lane.has_more())

    def _lag_due(self, lane: Lane) -> float:
        return lane.lag_due() if len(self._lanes) > 1 else NEVER

    # -- running ----------------------------------------------------------------------------------

    def run(self, now: float, out: list[SenderCommand]) -> None:
        """Look at who is due, send what may be sent, ask for the next waking."""
        for one in self._schedule.overdue(now):
            if isinstance(one, Group):
                self._look_at_group(one, now, out)
            else:
                self._look_at_lane(one, now, out)
        if self.membership.due <= now:
            self.membership.consider(self._lanes, now, out)
        self._output_at = NEVER
        while now >= self._hold_until and len(self._unpublished) < MOST_UNPUBLISHED:
            if self.output.chain and (ready := ready_at(self.output.chain, now)) > now:
                self._output_at = ready
                break
            found = self.turns.next(now)
            if found is None:
                break
            turn, behind, passed = found
            length = self._send(turn, now, out)
            if length:
                self.turns.sent(length, behind=behind, passed=passed)
                self._schedule.ready(turn.one)
        self._arm(now, out)

    def _arm(self, now: float, out: list[SenderCommand]) -> None:
        due = min(self._schedule.next_deadline(), self.membership.due, self._output_at)
        if now < self._hold_until:
            due = min(due, self._hold_until)
        if due != float("inf") and (self._armed is None or due < self._armed - 1e-6 or self._armed < now):
            self._armed = max(due, now)
            out.append(WakeAt(self._armed))

    def _look_at_lane(self, lane: Lane, now: float, out: list[SenderCommand]) -> None:
        self._schedule.ready(lane)
        if lane.holds(now):
            self._schedule.look_at(lane, lane.hold_until)
        if now >= lane.park_due():
            self.change(lane, lanestates.SILENT, now, out)
        elif now >= self._lag_due(lane):
            lane.lag_from = now + LAG_AFTER / 4
            until = max(lane.flow.oldest + self._company.usual(now, lane), self._judge_from)
            if until > now:
                lane.lag_from = until
            elif self._company.waits_for(lane, now):
                self.change(lane, lanestates.BEHIND, now, out)
        if lane.state != lanestates.PARKED and now >= self._mark_due(lane):
            lane.mark += 1
            lane.mark_at = now
            lane.mark_tries += 1
            lane.mark_forced = False
            lane.marks += 1
            out.append(PublishMark(lane.child, lane.session, lane.mark, lane.flow.charged))
        self._watch(lane, now)

    def _look_at_group(self, group: Group, now: float, out: list[SenderCommand]) -> None:
        if now < self._judge_from:
            self._schedule.look_at(group, self._judge_from)
            return
        for child in self.membership.look_at(group, now, out):
            self.change(self._lanes[child], lanestates.HELD_BACK, now, out)
        if group.alive:
            self._schedule.ready(group)

    # -- turns ------------------------------------------------------------------------------------

    def _send(self, turn: Turn, now: float, out: list[SenderCommand]) -> int:
        """Use the turn; the bytes that went."""
        if isinstance(turn.one, Group):
            length = self._send_shared(turn.one, turn, now, out)
        else:
            length = self._send_own(turn.one, turn, now, out)
        if length:
            for lane, queue in zip(turn.lanes, turn.queues, strict=True):
                if queue.chain or lane.link.chain:
                    self.settings.spent(lane, queue, now, out)
        return length

    def _send_own(self, lane: Lane, turn: Turn, now: float, out: list[SenderCommand]) -> int:
        queue = turn.queues[0]
        wanted, supply = lane.wanted, self.supply

        def look(digest: Digest) -> tuple[int, list[Span] | None]:
            return supply.size(digest), wanted[digest].spans

        pieces, done, begun = cut(queue.head(), look, turn.room)
        self._count(queue, lane, pieces)
        if done:
            lane.sent_whole(queue, done)
            supply.sent_whole(done, lane.child)
        if begun is not None:
            wanted[begun[0]].spans = begun[1]
        if not pieces:
            # Ranges outside their chunk: nothing to send for them.
            if done:
                self._schedule.ready(lane)
            return 0
        length = self._publish(None, turn, tuple(pieces), now, out)
        lane.spare = spare_after(lane.spare, length, behind=turn.behind, passed=turn.passed)
        if len(lane.queues) > 1:
            lane.queues.move_to_end(queue.job.name)
        return length

    @staticmethod
    def _count(queue: Queue, lane: Lane, pieces: Iterable[Piece]) -> None:
        counts, wanted, first = queue.bytes, lane.wanted, 0
        for piece in pieces:
            reason = wanted[piece.digest].reason
            if reason == "first":
                first += piece.length
            else:
                setattr(counts, reason, getattr(counts, reason) + piece.length)
        counts.first += first

    def _send_shared(self, group: Group, turn: Turn, now: float, out: list[SenderCommand]) -> int:
        job = turn.queues[0].job
        shared, supply = group.jobs[job.name], self.supply

        def look(digest: Digest) -> tuple[int, list[Span] | None]:
            return supply.size(digest), shared[digest]

        pieces, done, begun = cut(shared, look, turn.room)
        if begun is not None:
            shared[begun[0]] = begun[1]
        length = sum(piece.length for piece in pieces)
        for lane, queue in zip(turn.lanes, turn.queues, strict=True):
            self._count(queue, lane, pieces)
            lane.group_frames += 1
        for digest in done:
            group.take(digest, job.name)
        for lane, queue in zip(turn.lanes, turn.queues, strict=True):
            lane.sent_whole(queue, done)
            supply.sent_whole(done, lane.child)
        group.used_at = now
        group.spare = spare_after(group.spare, length, behind=turn.behind, passed=turn.passed)
        if len(group.jobs) > 1 and job.name in group.jobs:
            group.jobs.move_to_end(job.name)
        for lane in turn.lanes:
            self._account(lane, group, job, length)
        return self._publish(group.number, turn, tuple(pieces), now, out)

    def _account(self, lane: Lane, group: Group, job: Job, length: int) -> None:
        """What a frame of the group leaves to the lane's own jobs."""
        if job.name not in group.jobs:
            # Nothing of it is shared any more: what only some want may go on their own lanes.
            self._schedule.ready(lane)
        if lane.held:
            lane.spare = spare_after(lane.spare, length, behind=False, passed=True)
            self._schedule.ready(lane)
        elif lane.spare > 0 and any(
            queue.job.priority > job.priority and queue.head() for queue in lane.queues.values()
        ):
            lane.spare -= length

    def _publish(
        self, group: int | None, turn: Turn, pieces: tuple[Piece, ...], now: float, out: list[SenderCommand]
    ) -> int:
        length = sum(piece.length for piece in pieces)
        cost = length + FRAME_COST + PIECE_COST * len(pieces)
        lanes, queues = turn.lanes, turn.queues
        together = queues[0].job.gates
        for gate in self.output.chain:
            gate.take(length * len(lanes), cost * len(lanes), now)
        for gate in together.all:
            gate.take(length * len(lanes), cost * len(lanes), now)
        self._use_floor(together.floor, cost * len(lanes), now)
        for lane, queue in zip(lanes, queues, strict=True):
            link = lane.link
            for gate in link.chain:
                gate.take(length, cost, now)
            if queue.gates is not None:
                for gate in queue.gates.all:
                    gate.take(length, cost, now)
            self._use_floor(link.gates.floor, cost, now)
            lane.note_sent(pieces, lane.flow.charge(length, now))
            queue.bytes.frames += 1
            self._watch(lane, now)
        self._frame += 1
        self._unpublished[self._frame] = Unpublished(lanes, queues, pieces)
        out.append(PublishFrame(self._frame, group, tuple([lane.child for lane in lanes]), pieces))
        return length

    @staticmethod
    def _use_floor(floor: TokenBucket | None, cost: int, now: float) -> None:
        # What goes beyond the floor is not held against it.
        if floor is not None and floor.ready_at(now) <= now:
            floor.take(cost, now)
