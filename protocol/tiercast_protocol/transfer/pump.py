"""Turns, frames, marks and timers of a sender: when which bytes go (docs/protocol.md, section 6).

Rules
- A turn gives one frame or none; who got none waits for the event that changes that, not for a scan.
- Whatever leaves is charged to every child it goes to, before it leaves.
- After failures in a row nothing is sent for a while: a broker that is down must not spin the node.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from tiercast_protocol.transfer.cutting import FRAME_COST, PIECE_COST, cut, frame_size
from tiercast_protocol.transfer.events import (
    Child,
    Digest,
    LaneChanged,
    PublishFrame,
    PublishMark,
    SenderCommand,
    WakeAt,
)
from tiercast_protocol.transfer.groups import PAIR, Group
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.membership import Membership
from tiercast_protocol.transfer.pacing import TokenBucket
from tiercast_protocol.transfer.ranges import Span
from tiercast_protocol.transfer.schedule import Schedule
from tiercast_protocol.transfer.supply import Supply
from tiercast_protocol.wire.messages import Piece

#: Frames handed to the adapter and not yet published.
MOST_UNPUBLISHED = 4
#: Pause after frames failed one after the other, in seconds, doubling up to the longest.
_HOLD_FIRST = 0.2
_HOLD_LONGEST = 5.0


@dataclass(frozen=True, slots=True)
class Unpublished:
    """A frame in the adapter's hands."""

    lanes: tuple[Lane, ...]
    pieces: tuple[Piece, ...]


class Pump:
    """What drives the lanes of one sender."""

    def __init__(self, supply: Supply, lanes: dict[Child, Lane], *, groups: bool) -> None:
        self._supply = supply
        self._lanes = lanes
        self._schedule: Schedule[Lane | Group] = Schedule()
        self.membership = Membership(supply, self._schedule, enabled=groups)
        self.bucket = TokenBucket()
        self._unpublished: dict[int, Unpublished] = {}
        self._frame = 0
        self._failures = 0
        self._hold_until = float("-inf")
        self._armed: float | None = None

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

    def fired(self) -> None:
        """The timer came."""
        self._armed = None

    def change(self, lane: Lane, state: str, reason: str, now: float, out: list[SenderCommand]) -> None:
        """Put the lane into a state and say so."""
        lane.state = state
        lane.state_at = now
        if state != "active":
            self.membership.leave(lane, now, out)
        out.append(LaneChanged(lane.child, state, reason))

    def wake(self, lane: Lane, now: float) -> None:
        """Something changed for the lane: let it take a turn, and look at its deadlines."""
        self._schedule.ready(lane)
        if lane.group is not None:
            self._schedule.ready(lane.group)
        self._watch(lane, now)

    def _watch(self, lane: Lane, now: float) -> None:
        if lane.flow.in_flight:
            due = min(self._mark_due(lane), lane.park_due())
            if due < lane.due:
                self._schedule.look_at(lane, max(now, due))

    @staticmethod
    def _mark_due(lane: Lane) -> float:
        more = bool(lane.sendable or lane.urgent or (lane.group is not None and lane.group.shared))
        return lane.mark_due(more=more and not lane.suspended)

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
        if now >= self._hold_until:
            while len(self._unpublished) < MOST_UNPUBLISHED:
                turn = self._schedule.next_turn()
                if turn is None:
                    break
                sent = self._group_turn(turn, now, out) if isinstance(turn, Group) else self._lane_turn(turn, now, out)
                if sent:
                    self._schedule.ready(turn)
        self._arm(now, out)

    def _arm(self, now: float, out: list[SenderCommand]) -> None:
        due = min(self._schedule.next_deadline(), self.membership.due)
        if now < self._hold_until:
            due = min(due, self._hold_until)
        if due != float("inf") and (self._armed is None or due < self._armed - 1e-6 or self._armed < now):
            self._armed = max(due, now)
            out.append(WakeAt(self._armed))

    def _look_at_lane(self, lane: Lane, now: float, out: list[SenderCommand]) -> None:
        self._schedule.ready(lane)
        if now >= lane.park_due():
            self.change(lane, "parked", "no progress", now, out)
        elif now >= self._mark_due(lane):
            lane.mark += 1
            lane.mark_at = now
            lane.mark_tries += 1
            lane.mark_forced = False
            lane.bytes.marks += 1
            out.append(PublishMark(lane.child, lane.session, lane.mark, lane.flow.charged))
        self._watch(lane, now)

    def _look_at_group(self, group: Group, now: float, out: list[SenderCommand]) -> None:
        for child in self.membership.look_at(group, now, out):
            self.change(self._lanes[child], "demoted", "lags behind its group", now, out)
        if group.alive:
            self._schedule.ready(group)

    # -- turns ------------------------------------------------------------------------------------

    def _frame_size(self, lane: Lane) -> int:
        cap, all_links = lane.bucket.rate, self.bucket.rate
        if all_links is not None and (cap is None or all_links < cap):
            cap = all_links
        return frame_size(cap, lane.flow.rate)

    def _tokens(self, buckets: list[TokenBucket], one: Lane | Group, now: float) -> bool:
        ready_at = max(bucket.ready_at(now) for bucket in buckets)
        if ready_at > now:
            self._schedule.look_at(one, ready_at)
            return False
        return True

    def _lane_turn(self, lane: Lane, now: float, out: list[SenderCommand]) -> bool:
        if lane.suspended or lane.state == "parked":
            return False
        queue = self._queue(lane)
        if not queue:
            return False
        room = lane.flow.room(size := self._frame_size(lane))
        if not room or not self._tokens([lane.bucket, self.bucket], lane, now):
            return False
        wanted, supply = lane.wanted, self._supply

        def look(digest: Digest) -> tuple[int, list[Span] | None]:
            return supply.size(digest), wanted[digest].spans

        pieces, done, begun = cut(queue, look, min(room, size))
        for piece in pieces:
            reason = wanted[piece.digest].reason
            setattr(lane.bytes, reason, getattr(lane.bytes, reason) + piece.length)
        for digest in done:
            self._finish(lane, digest)
        if begun is not None:
            wanted[begun[0]].spans = begun[1]
        if not pieces:
            return bool(done)  # ranges outside their chunk: nothing to send for them
        self._publish(None, (lane,), tuple(pieces), now, out)
        return True

    def _queue(self, lane: Lane) -> OrderedDict[Digest, None]:
        if lane.urgent:
            return lane.urgent
        if lane.group is not None and lane.group.shared:
            return lane.urgent  # what is shared goes first; it is empty
        return lane.sendable

    def _finish(self, lane: Lane, digest: Digest) -> None:
        lane.dequeue(digest)
        del lane.wanted[digest]
        self._supply.unwant(digest, lane.child)

    def _group_turn(self, group: Group, now: float, out: list[SenderCommand]) -> bool:
        lanes = tuple(group.members.values())
        if not group.shared or len(lanes) < PAIR:
            return False
        size = min(map(self._frame_size, lanes))
        rooms = [lane.flow.room(size) for lane in lanes]
        if not all(rooms):
            self.membership.lag(group, [lane for lane, room in zip(lanes, rooms, strict=True) if not room], now)
            return False
        group.lagging.clear()
        if not self._tokens([self.bucket, *(lane.bucket for lane in lanes)], group, now):
            return False
        shared, supply = group.shared, self._supply

        def look(digest: Digest) -> tuple[int, list[Span] | None]:
            return supply.size(digest), shared[digest]

        pieces, done, begun = cut(shared, look, min(size, *rooms))
        self._account(group, lanes, done, sum(piece.length for piece in pieces))
        if begun is not None:
            shared[begun[0]] = begun[1]
        group.used_at = now
        self._publish(group.number, lanes, tuple(pieces), now, out)
        return True

    def _account(self, group: Group, lanes: tuple[Lane, ...], done: list[Digest], length: int) -> None:
        for digest in done:
            del group.shared[digest]
            for lane in lanes:
                self._finish(lane, digest)
        for lane in lanes:
            lane.bytes.first += length
            lane.bytes.group_frames += 1
            if not group.shared:
                # Nothing is shared any more: what only some want may go on their own lanes.
                self._schedule.ready(lane)

    def _publish(
        self,
        group: int | None,
        lanes: tuple[Lane, ...],
        pieces: tuple[Piece, ...],
        now: float,
        out: list[SenderCommand],
    ) -> None:
        length = sum(piece.length for piece in pieces)
        cost = length + FRAME_COST + PIECE_COST * len(pieces)
        self.bucket.take(cost * len(lanes), now)
        for lane in lanes:
            lane.bucket.take(cost, now)
            position = lane.flow.charge(length, now)
            for piece in pieces:
                lane.note_sent(piece.digest, position)
            lane.bytes.frames += 1
            self._watch(lane, now)
        self._frame += 1
        self._unpublished[self._frame] = Unpublished(lanes, pieces)
        out.append(PublishFrame(self._frame, group, tuple(lane.child for lane in lanes), pieces))
