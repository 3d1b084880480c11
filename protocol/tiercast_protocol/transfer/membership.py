"""Who is in which group: invitations, lagging members, the end of a group.

Rules
- An invitation is an offer: until the child says that it joined, its own lane goes on; a child that does not
  answer is left alone for a while, and the others found another group without it.
- A group never gains and never loses a member while it shares: a child that is subscribed before we know it, or
  still is after it left, would get frames twice.  Who comes late founds a new group with those who are there;
  when one leaves, the group ends and the others found another.
- One candidate is compared per look, so that many children that want different things cost little.
"""

from __future__ import annotations

from tiercast_protocol.transfer.events import (
    Child,
    Digest,
    DismissFromGroup,
    InviteToGroup,
    SenderCommand,
)
from tiercast_protocol.transfer.groups import (
    IDLE,
    IDLE_END,
    JOIN_PATIENCE,
    LAG_PATIENCE,
    LAG_REPORT,
    MOST_GROUPS,
    NOT_AGAIN,
    PAIR,
    Group,
    Lag,
    alike,
    far_slower,
    head,
    sharable,
    wants_alike,
)
from tiercast_protocol.transfer.lanes import Lane, usual
from tiercast_protocol.transfer.queues import Queue
from tiercast_protocol.transfer.schedule import Schedule
from tiercast_protocol.transfer.supply import Supply

#: Seconds between two looks for candidates.
LOOK = 0.1
#: Seconds for which what others want too waits for them to join; and the round trip from which nobody is waited for.
JOIN_HOLD = 0.025
NEAR = 0.05


class Membership:
    """The groups of one sender."""

    def __init__(self, supply: Supply, schedule: Schedule[Lane | Group], *, enabled: bool) -> None:
        self._supply = supply
        self._schedule = schedule
        self._enabled = enabled
        self._number = 0
        self.groups: dict[int, Group] = {}
        self._candidates: dict[Child, None] = {}
        self._invited: dict[Child, Group] = {}
        self._not_before: dict[Child, float] = {}
        #: When to look for candidates again.
        self.due = float("inf")

    def propose(self, lane: Lane, now: float) -> None:
        """The lane got more to send: it may be worth a group."""
        if self._enabled and lane.group is None and lane.child not in self._candidates:
            self._candidates[lane.child] = None
            self.due = min(self.due, now + LOOK)

    def consider(self, lanes: dict[Child, Lane], now: float, out: list[SenderCommand]) -> None:
        """Compare one candidate with the groups and the other candidates; invite those that fit."""
        self.due = float("inf")
        while self._candidates:
            child = next(iter(self._candidates))
            del self._candidates[child]
            lane = lanes.get(child)
            if lane is None or lane.group is not None or not self._free(lane, now):
                continue
            for fanout in ("multicast", "auto"):
                want = head(sharable(lane, fanout), self._supply)
                if want and self._gather(lane, want, lanes, now, out, even=fanout == "auto"):
                    break
            break
        if self._candidates:
            self.due = now + LOOK

    def _gather(
        self,
        lane: Lane,
        want: list[Digest],
        lanes: dict[Child, Lane],
        now: float,
        out: list[SenderCommand],
        *,
        even: bool,
    ) -> bool:
        """Found a group of `lane` and all that want the like, be they in a group already or not; whether it did."""
        fits = [
            other
            for other in lanes.values()
            if other is not lane and lane.link.like(other.link) and (not even or alike(lane, other))
        ]
        others = [other for other in fits if self._free(other, now) and self._share_much(lane, want, other)]
        if not others:
            if any(other.child in self._invited for other in fits):
                self._candidates[lane.child] = None  # once they have answered
            return False
        for group in {id(other.group): other.group for other in others if other.group is not None}.values():
            self._end(group, now, out)
        if len(self.groups) >= MOST_GROUPS:
            return False
        members = [lane, *others]
        self._found(members, now, out, even=all(alike(lane, other) for other in others))
        return True

    def _free(self, lane: Lane, now: float) -> bool:
        return (
            lane.state == "active"
            and not lane.link.suspended
            and not (lane.link.chain and lane.link.shut(now))
            and (lane.group is None or not lane.group.invited)
            and lane.child not in self._invited
            and self._not_before.get(lane.child, now) <= now
        )

    def _share_much(self, lane: Lane, want: list[Digest], other: Lane) -> bool:
        """Whether one of the two wants what the other wants next: whoever is a few frames behind wants it all."""
        if wants_alike(other, want):
            return True
        theirs = head(other.wanted, self._supply)
        return bool(theirs) and wants_alike(lane, theirs)

    def _found(self, lanes: list[Lane], now: float, out: list[SenderCommand], *, even: bool) -> None:
        self._number += 1
        group = self.groups[self._number] = Group(self._number, even=even, used_at=now)
        for lane in lanes:
            self._invite(lane, group, now, out)

    def _invite(self, lane: Lane, group: Group, now: float, out: list[SenderCommand]) -> None:
        group.invited[lane.child] = now
        self._invited[lane.child] = group
        self._hold(lane, now)
        out.append(InviteToGroup(lane.child, group.number))
        self._schedule.look_at(group, now + JOIN_PATIENCE)

    def _hold(self, lane: Lane, now: float) -> None:
        """What others want too is not worth sending to this one alone; a far child is not waited for."""
        if (lane.flow.least_rtt or 0.0) < NEAR:
            lane.hold_until = now + JOIN_HOLD
            self._schedule.look_at(lane, lane.hold_until)

    def holds(self, queue: Queue) -> bool:
        """Whether what the queue would send next is wanted by others too, who may share it."""
        digest = next(iter(queue.sendable), None)
        if digest is None or queue.urgent or queue.job.policy.fanout == "unicast":
            return False
        chunk = self._supply.get(digest)
        return chunk is not None and len(chunk.wanters) >= PAIR

    def joined(self, lane: Lane, number: int, now: float, out: list[SenderCommand]) -> None:
        """The child is subscribed to the group's topic."""
        group = self._invited.get(lane.child)
        if group is None or group.number != number:
            if lane.group is None or lane.group.number != number:
                # Late: the group is over, or went on without it.  It lives, so it may come to the next.
                out.append(DismissFromGroup(lane.child, number))
                if self._not_before.pop(lane.child, now) > now and lane.wanted:
                    self.propose(lane, now)
            return
        del self._invited[lane.child]
        group.add(lane, self._supply)
        if not group.invited:
            for member in group.members.values():
                member.hold_until = now
        group.used_at = now
        self._schedule.look_at(group, now + IDLE)
        self._schedule.ready(group)

    def leave(self, lane: Lane, now: float, out: list[SenderCommand]) -> None:
        """The lane takes part in no group any more."""
        self._candidates.pop(lane.child, 0)
        group = self._invited.pop(lane.child, None)
        if group is not None:
            group.remove(lane, self._supply)
            out.append(DismissFromGroup(lane.child, group.number))
            group.open(self._supply)
            self._schedule.ready(group)
        elif (group := lane.group) is not None:
            group.remove(lane, self._supply)
            out.append(DismissFromGroup(lane.child, group.number))
            self._schedule.ready(lane)
            self._end(group, now, out)
        if group is not None and group.alive and len(group.members) + len(group.invited) < PAIR:
            self._end(group, now, out)

    def _end(self, group: Group, now: float, out: list[SenderCommand]) -> None:
        group.alive = False
        self.groups.pop(group.number, None)
        for child in [*group.members, *group.invited]:
            out.append(DismissFromGroup(child, group.number))
            self._invited.pop(child, 0)
        for lane in list(group.members.values()):
            group.remove(lane, self._supply)
            self._schedule.ready(lane)
            if lane.wanted:
                self.propose(lane, now)
        group.invited.clear()

    def lag(self, group: Group, lagging: list[Lane], now: float) -> None:
        """These members have no credit; whether they are to blame shows in time."""
        if 2 * len(lagging) > len(group.members):
            self.kept_up(group, now)
            return
        names = {lane.child for lane in lagging}
        for child, lag in group.lagging.items():
            if child not in names and lag.lacking:
                lag.move(now, lacking=False)
        for lane in lagging:
            known = group.lagging.get(lane.child)
            if known is None:
                # A child that stopped is silent before its credit is used up.
                flow = lane.flow
                silent = max(flow.progress_at, flow.waiting_since) + max(LAG_REPORT, 1.5 * (flow.rtt or LAG_PATIENCE))
                known = group.lagging[lane.child] = Lag(max(0.0, now - silent), now, lacking=True)
            elif not known.lacking:
                known.move(now, lacking=True)
            self._schedule.look_at(group, max(now, now + _patience(group) - known.at_time(now)))

    @staticmethod
    def kept_up(group: Group, now: float) -> None:
        """All members have credit again, or so few that the others are no measure."""
        for child, lag in list(group.lagging.items()):
            if lag.lacking:
                lag.move(now, lacking=False)
            elif not lag.at_time(now):
                del group.lagging[child]

    def look_at(self, group: Group, now: float, out: list[SenderCommand]) -> list[Child]:
        """A deadline of the group came; returns the members that lagged for too long."""
        silent = [child for child, since in group.invited.items() if now - since >= JOIN_PATIENCE]
        if silent:
            # It may be subscribed all the same, and would get all that goes to this number: the others found another.
            self._not_before.update(dict.fromkeys(silent, now + NOT_AGAIN))
            self._end(group, now, out)
            return []
        late = self._late(group, now)
        for child in late:
            del group.lagging[child]
        if group.jobs:
            group.used_at = now
        elif now - group.used_at >= IDLE:
            for lane in [lane for lane in group.members.values() if not lane.wanted]:
                if group.alive:
                    self.leave(lane, now, out)
        if len(group.members) + len(group.invited) < PAIR or now - group.used_at >= IDLE_END:
            if group.alive:
                self._end(group, now, out)
            return []
        waits = [_patience(group) - lag.at_time(now) for lag in group.lagging.values() if lag.lacking]
        self._schedule.look_at(group, now + max(1e-3, min([IDLE / 3, *waits])))
        return late

    @staticmethod
    def _late(group: Group, now: float) -> list[Child]:
        """The members that held the others back for too long."""
        if not group.lagging:
            return []
        patience = _patience(group)
        late = [c for c, lag in group.lagging.items() if lag.lacking and lag.at_time(now) >= patience - 1e-9]
        if group.even:
            return late
        # They share whatever their speed: who is merely slow may stay, who stopped may not.
        members = group.members
        return [
            child
            for child in late
            if now - members[child].flow.progress_at >= LAG_PATIENCE or far_slower(members[child], members.values())
        ]


def _patience(group: Group) -> float:
    """Seconds that a member may hold the others back."""
    return max(LAG_PATIENCE, usual(group.members.values()))
