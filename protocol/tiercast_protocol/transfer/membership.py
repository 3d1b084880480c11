"""Who is in which group: invitations, lagging members, the end of a group.

Rules
- An invitation is an offer: until the child says that it joined, its own lane goes on; a child that does not
  answer is left alone for a while, and the others found another group without it.
- A group never gains a member while it shares: a child that is subscribed before we know it would get frames twice.
  Who comes late is invited, and the group waits until it answers; a far one is not waited for.
- A group loses no member that lives: one that still is subscribed after it left would get frames that it was not sent.
  When one leaves, the group ends and the others found another.
- One candidate is compared per look, so that many children that want different things cost little.
"""

from __future__ import annotations

from tiercast_protocol.transfer.company import Company
from tiercast_protocol.transfer.events import (
    Child,
    DismissFromGroup,
    InviteToGroup,
    Job,
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
    share_most,
)
from tiercast_protocol.transfer.lanes import Lane, usual
from tiercast_protocol.transfer.queues import Queue
from tiercast_protocol.transfer.schedule import Schedule
from tiercast_protocol.transfer.supply import Supply

#: Seconds between two looks for candidates.
LOOK = 0.05
#: Seconds for which what others want too waits for them to join, by how regularly children are heard, at the least and
#: at the most; and the round trip from which nobody is waited for.
LEAST_HOLD = 0.05
JOIN_HOLD = 0.5
_HOLD_TIMES = 4
NEAR = 0.05


class Membership:
    """The groups of one sender."""

    def __init__(self, supply: Supply, schedule: Schedule[Lane | Group], company: Company, *, enabled: bool) -> None:
        self._supply = supply
        self._company = company
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
        if not self._enabled or lane.group is not None or lane.child in self._candidates:
            return
        if head(lane.wanted, self._supply):
            self._candidates[lane.child] = None
            self.due = min(self.due, now + LOOK)
            if not _far(lane):
                # What others want too is not worth sending to this one alone.
                self._hold(lane, now + 2 * LOOK)

    def consider(self, lanes: dict[Child, Lane], now: float, out: list[SenderCommand]) -> None:
        """Compare one candidate with the groups and the other candidates; invite those that fit."""
        self.due = float("inf")
        while self._candidates:
            child = next(iter(self._candidates))
            del self._candidates[child]
            lane = lanes.get(child)
            if lane is None or not self._free(lane, now):
                continue
            for fanout in ("multicast", "auto"):
                want = head(sharable(lane, fanout), self._supply)
                if not want:
                    continue
                job = lane.wanted[want[0]].queue.job.name
                if self._gather(lane, job, lanes, now, out, even=fanout == "auto"):
                    break
            break
        if self._candidates:
            self.due = now + LOOK

    def _gather(
        self,
        lane: Lane,
        job: Job,
        lanes: dict[Child, Lane],
        now: float,
        out: list[SenderCommand],
        *,
        even: bool,
    ) -> bool:
        """Invite `lane`, and all that are in no group and want the like of the job, into a group; whether it did."""
        fits = {
            other.child: other
            for other in lanes.values()
            if other is not lane and lane.link.like(other.link) and (not even or alike(lane, other))
        }
        if any(child in self._invited for child in fits):
            self._candidates[lane.child] = None  # once they have answered
            return False
        others = [other for other in fits.values() if self._free(other, now) and share_most(lane, other, job)]
        groups = self._fitting(lane, job, fits, even=even)
        if not groups and (not others or len(self.groups) >= MOST_GROUPS):
            return False
        for smaller in groups[1:]:
            self._end(smaller, now, out)  # its members are proposed again
        group = groups[0] if groups else self._found(now)
        group.even = group.even and all(alike(lane, other) for other in others)
        known = self._company.usual(now)
        hold = max(LEAST_HOLD, min(_HOLD_TIMES * known, JOIN_HOLD)) if known else JOIN_HOLD
        for one in (lane, *others):
            self._invite(one, group, now, hold, out)
        if any(_far(one) for one in (lane, *others, *group.members.values())):
            group.pause()
        return True

    def _fitting(self, lane: Lane, job: Job, fits: dict[Child, Lane], *, even: bool) -> list[Group]:
        """The groups whose members all want the like, the largest first."""
        found = [
            group
            for group in self.groups.values()
            if (group.even or not even)
            and group.members
            and all(child in fits and share_most(lane, fits[child], job) for child in group.members)
        ]
        return sorted(found, key=lambda group: len(group.members), reverse=True)

    def _free(self, lane: Lane, now: float) -> bool:
        """Whether the lane is in no group, and may come into one now: who is late would have all the others wait."""
        return (
            lane.group is None
            and lane.child not in self._invited
            and lane.state == "active"
            and not lane.link.suspended
            and not (lane.link.chain and lane.link.shut(now))
            and self._not_before.get(lane.child, now) <= now
            and (now <= lane.lag_due() or now <= lane.flow.oldest + self._company.usual(now, lane))
        )

    def _found(self, now: float) -> Group:
        self._number += 1
        group = self.groups[self._number] = Group(self._number, used_at=now)
        return group

    def _invite(self, lane: Lane, group: Group, now: float, hold: float, out: list[SenderCommand]) -> None:
        group.invited[lane.child] = now
        self._invited[lane.child] = group
        if not _far(lane):
            self._hold(lane, now + hold)
        out.append(InviteToGroup(lane.child, group.number))
        group.hold_until = now + hold
        self._schedule.look_at(group, now + hold)

    def _hold(self, lane: Lane, until: float) -> None:
        """Until then what others want too is not sent to this one alone."""
        lane.hold_until = max(lane.hold_until, until)
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
        group.add(lane)
        self._settle(group, now)

    def leave(self, lane: Lane, now: float, out: list[SenderCommand], *, lost: bool = False) -> None:
        """The lane takes part in no group any more; `lost`: its child is subscribed to nothing, for it is gone."""
        self._candidates.pop(lane.child, 0)
        group = self._invited.pop(lane.child, None) or lane.group
        if group is None:
            return
        out.append(DismissFromGroup(lane.child, group.number))
        group.remove(lane, self._supply)
        self._schedule.ready(lane)
        if lost and len(group.members) + len(group.arrived) + len(group.invited) >= PAIR:
            self._settle(group, now)
        else:
            self._end(group, now, out)

    def _settle(self, group: Group, now: float) -> None:
        """Nobody is waited for any more?  Then all who came are members."""
        group.open(self._supply)
        if not group.invited:
            for member in group.members.values():
                self._invited.pop(member.child, 0)
                member.hold_until = now
        group.used_at = now
        self._schedule.look_at(group, now + IDLE)
        self._schedule.ready(group)

    def _end(self, group: Group, now: float, out: list[SenderCommand]) -> None:
        group.alive = False
        self.groups.pop(group.number, None)
        for child in [*group.members, *group.arrived, *group.invited]:
            out.append(DismissFromGroup(child, group.number))
            self._invited.pop(child, 0)
        for lane in [*group.members.values(), *group.arrived.values()]:
            group.remove(lane, self._supply)
            self._schedule.ready(lane)
            if lane.wanted:
                self.propose(lane, now)
        group.invited.clear()

    def lag(self, group: Group, lagging: list[Lane], waiting: int, now: float) -> None:
        """These members have no credit, and so many others wait for more; whether they are to blame shows in time."""
        if len(lagging) > waiting or 2 * waiting <= len(group.members) - len(lagging):
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
        if group.invited:
            self._await(group, now, out)
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
        if len(group.members) < PAIR or now - group.used_at >= IDLE_END:
            if group.alive:
                self._end(group, now, out)
            return []
        waits = [_patience(group) - lag.at_time(now) for lag in group.lagging.values() if lag.lacking]
        self._schedule.look_at(group, now + max(1e-3, min([IDLE / 3, *waits])))
        return late

    def _await(self, group: Group, now: float, out: list[SenderCommand]) -> None:
        """Some have not answered: who is in the group goes on by himself, and in the end without them."""
        silent = [child for child, since in group.invited.items() if now - since >= JOIN_PATIENCE - 1e-6]
        if silent:
            # It may be subscribed all the same, and would get all that goes to this number: the others found another.
            self._not_before.update(dict.fromkeys(silent, now + NOT_AGAIN))
            self._end(group, now, out)
        elif now >= group.hold_until:
            group.pause()
            for lane in group.members.values():
                self._schedule.ready(lane)
        if group.alive:
            due = min(group.invited.values()) + JOIN_PATIENCE
            self._schedule.look_at(group, min(due, group.hold_until) if now < group.hold_until else due)

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


def _far(lane: Lane) -> bool:
    """Whether the child is too far away to be waited for."""
    return (lane.flow.least_rtt or 0.0) >= NEAR


def _patience(group: Group) -> float:
    """Seconds that a member may hold the others back."""
    return max(LAG_PATIENCE, usual(group.members.values()))
