"""Which job's frame goes next (docs/protocol-transfer.md, section 6.7).

Rules
- Of what may go, the highest priority goes first, between frames; what has a floor that is not used up goes before all.
- Whoever stands behind gets `SHARE` of the bytes, so that nothing starves; equals take turns.
- Who may not go is looked at again when his gates open, or when the event comes that changes it; nobody is scanned.
- A chunk that a group shares is not sent by its members' lanes; another job of a lane goes on beside the group by the
  same priorities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiercast_protocol.transfer.cutting import DEFAULT_FRAME, frame_size
from tiercast_protocol.transfer.gates import NEVER, Gate, most, ready_at
from tiercast_protocol.transfer.groups import PAIR, Group
from tiercast_protocol.transfer.jobs import Job, Jobs
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.lanestates import PARKED
from tiercast_protocol.transfer.links import Link
from tiercast_protocol.transfer.membership import Membership
from tiercast_protocol.transfer.policy import HIGHEST_PRIORITY
from tiercast_protocol.transfer.queues import Queue
from tiercast_protocol.transfer.schedule import Schedule

#: Share of the bytes that is left to whoever stands behind a higher priority.
SHARE = 0.05
#: Share of a frame that must be saved up for them; the rest of it is owed.
ENOUGH = 0.25
#: What a floor that is not used up is worth above any priority: of a job, and of a link.
_FLOOR = HIGHEST_PRIORITY + 1


@dataclass(slots=True)  # not frozen: that costs a microsecond, and there is one per frame
class Turn:
    """One frame of `one`: for `queues` (one per lane), at most `room` bytes.

    `rank` is what it goes by; `behind`: it goes though something of higher rank waits; `passed`: something of lower
    rank waits.
    """

    one: Lane | Group
    lanes: tuple[Lane, ...]
    queues: tuple[Queue, ...]
    room: int
    rank: int
    behind: bool
    passed: bool


class Turns:
    """Chooses among the lanes and groups of one sender."""

    def __init__(self, schedule: Schedule[Lane | Group], jobs: Jobs, output: Link, membership: Membership) -> None:
        self._schedule = schedule
        self._jobs = jobs
        self._output = output
        self._membership = membership
        self._spare = 0.0
        #: Links that have a floor.
        self.floors = 0

    def next(self, now: float) -> tuple[Turn, bool, bool] | None:
        """The next turn, and whether it goes before its betters or past others; None if nobody may send."""
        schedule = self._schedule
        if self._jobs.flat and not self.floors:
            while (one := schedule.next_turn()) is not None:
                turn = self._of(one, now)
                if turn is not None:
                    return turn, False, False
            return None
        found = [turn for one in schedule.take_all() if (turn := self._of(one, now)) is not None]
        if not found:
            return None
        at, behind, passed = choose([self._rank(turn, now) for turn in found], self._spare, DEFAULT_FRAME)
        for n, turn in enumerate(found):
            if n != at:
                schedule.ready(turn.one)
        return found[at], behind, passed

    def sent(self, length: int, *, behind: bool, passed: bool) -> None:
        """A turn between lanes was used."""
        self._spare = spare_after(self._spare, length, behind=behind, passed=passed)

    @staticmethod
    def _rank(turn: Turn, now: float) -> int:
        rank = turn.rank
        for lane in turn.lanes:
            floor = lane.link.gates.floor
            if floor is not None and floor.ready_at(now) <= now:
                return rank + 2 * _FLOOR
        return rank

    def _of(self, one: Lane | Group, now: float) -> Turn | None:
        return self._of_group(one, now) if isinstance(one, Group) else self._of_lane(one, now)

    def size(self, lane: Lane, job: Job | None = None, many: int = 1) -> int:
        """Payload bytes of a frame for the lane and others like it, `many` in all."""
        cap = lane.link.cap
        all_links = self._output.rate
        if all_links is not None and (cap is None or all_links < cap):
            cap = all_links
        if job is not None and (rate := job.gates.pace.rate) is not None and (cap is None or rate < cap):
            cap = rate
        return frame_size(cap, lane.flow.rate, many)

    # -- one lane ---------------------------------------------------------------------------------

    def _of_lane(self, lane: Lane, now: float) -> Turn | None:
        if lane.state == PARKED:
            return None
        size = self.size(lane)
        room = lane.flow.room(size)
        if not room or not self._open(lane.link.chain, lane, now):
            return None
        lane.held = False
        holds = lane.holds(now)
        found: list[Queue] = []
        for queue in lane.queues.values():
            if (queue.sendable or queue.urgent) and not queue.closed:
                if (holds and self._membership.holds(queue)) or self._gives_way(lane, queue, size):
                    continue
                if not queue.chain or self._open(queue.chain, lane, now):
                    found.append(queue)
        if not found:
            return None
        if len(found) == 1:
            queue, rank, behind, passed = found[0], _job_rank(found[0].job, now), False, False
        else:
            ranks = [_job_rank(queue.job, now) for queue in found]
            at, behind, passed = choose(ranks, lane.spare, size)
            queue, rank = found[at], max(ranks)
        if lane.group is not None and lane.group.leading and lane.group.leading != queue.job.priority:
            behind |= queue.job.priority < lane.group.leading
            passed |= queue.job.priority > lane.group.leading
        lanes, queues = (lane,), (queue,)
        return Turn(lane, lanes, queues, self._room(lanes, queues, min(room, size), now), rank, behind, passed)

    @staticmethod
    def _gives_way(lane: Lane, queue: Queue, size: int) -> bool:
        """Whether the queue gives way to what the lane's group sends."""
        group = lane.group
        if group is None or not group.jobs or queue.urgent:
            return False
        priority = queue.job.priority
        if priority > group.leading or (priority == group.leading and queue.job.name not in group.jobs):
            return False
        if priority < group.leading:
            lane.held = True
            return lane.spare < size * ENOUGH
        return True

    def _open(self, chain: Sequence[Gate], one: Lane | Group, now: float) -> bool:
        if not chain:
            return True
        at = ready_at(chain, now)
        if at <= now:
            return True
        if at < NEVER:
            self._schedule.look_at(one, at)
        return False

    # -- a group ----------------------------------------------------------------------------------

    def _of_group(self, group: Group, now: float) -> Turn | None:
        lanes = tuple(group.members.values())
        was = group.leading
        group.leading = 0
        if not group.jobs or len(lanes) < PAIR or group.invited:
            return None
        opens = NEVER
        found: list[tuple[Queue, ...]] = []
        links = max(ready_at(lane.link.chain, now) if lane.link.chain else now for lane in lanes)
        for name in group.jobs:
            queues = tuple(lane.queues[name] for lane in lanes)
            at = max([links, *(ready_at(queue.chain, now) for queue in queues if queue.chain)])
            if at <= now:
                found.append(queues)
            else:
                opens = min(opens, at)
        if opens < NEVER:
            self._schedule.look_at(group, opens)
        if not found:
            if was:
                # What only some want need not wait for this.
                for lane in lanes:
                    self._schedule.ready(lane)
            return None
        ranks = [_job_rank(queues[0].job, now) for queues in found]
        place, behind, passed = choose(ranks, group.spare, DEFAULT_FRAME) if len(found) > 1 else (0, False, False)
        queues = found[place]
        job = queues[0].job
        group.leading = job.priority
        size = min([self.size(lane, job, len(lanes)) for lane in lanes])
        rooms = [
            lane.flow.room(size) if len(lane.queues) == 1 or not self._busy(lane, job, size, now) else 0
            for lane in lanes
        ]
        if not all(rooms):
            lagging = [lane for lane, room in zip(lanes, rooms, strict=True) if not room]
            waiting = sum(1 for lane, room in zip(lanes, rooms, strict=True) if room and lane.flow.dry(size))
            self._membership.lag(group, lagging, waiting, now)
            return None
        if group.lagging:
            self._membership.kept_up(group, now)
        room = self._room(lanes, queues, min(size, *rooms), now)
        return Turn(group, lanes, queues, room, max(ranks), behind, passed)

    def _busy(self, lane: Lane, job: Job, size: int, now: float) -> bool:
        """Whether the lane has something of its own that goes before the job."""
        if lane.spare >= size * ENOUGH:
            return False
        for queue in lane.queues.values():
            more = queue.job.priority > job.priority and queue.head() and not queue.closed
            if more and ready_at(queue.chain, now) <= now:
                return True
        return False

    # -- either -----------------------------------------------------------------------------------

    def _room(self, lanes: tuple[Lane, ...], queues: tuple[Queue, ...], room: int, now: float) -> int:
        """How much of `room` all gates let go."""
        job = queues[0].job
        if job.gates.all:
            room = min(room, self.size(lanes[0], job))
        for lane, queue in zip(lanes, queues, strict=True):
            if queue.chain or lane.link.chain:
                room = most((*queue.chain, *lane.link.chain), now, room)
        if self._output.chain:
            room = min(room, max(1, most(self._output.chain, now, room * len(lanes)) // len(lanes)))
        return room


def _job_rank(job: Job, now: float) -> int:
    floor = job.gates.floor
    if floor is not None and floor.ready_at(now) <= now:
        return job.priority + _FLOOR
    return job.priority


def choose(ranks: list[int], spare: float, size: int) -> tuple[int, bool, bool]:
    """Which of these goes: the first of the highest rank, or of those behind while they have bytes to `spare`.

    Returns:
        (its place, whether it goes before its betters, whether it passes others)
    """
    top = max(ranks)
    lower = [n for n, rank in enumerate(ranks) if rank < top]
    if lower and spare >= size * ENOUGH:
        return lower[0], True, False
    return ranks.index(top), False, bool(lower)


def spare_after(spare: float, length: int, *, behind: bool, passed: bool) -> float:
    """What those behind may send after a frame of `length` bytes."""
    if behind:
        return spare - length
    if passed:
        return min(spare + length * SHARE / (1 - SHARE), 2.0 * DEFAULT_FRAME)
    return spare
