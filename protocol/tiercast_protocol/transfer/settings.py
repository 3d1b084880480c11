"""What the administrator says about jobs and links, and what follows for lanes (docs/protocol-transfer.md, 6.7).

Rules
- A word about a job or a link is kept whether or not anybody wants something just now; lanes come and go.
- It acts at once: whoever may go now takes a turn, whoever may not is not asked again before that changes.
- Children whose terms differ do not share: nobody waits for a pause that is not his.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tiercast_protocol.transfer import further
from tiercast_protocol.transfer.events import (
    Child,
    Job,
    JobPolicySet,
    JobResumed,
    JobSuspended,
    LaneResumed,
    LaneSuspended,
    LinkPolicySet,
    SenderCommand,
)
from tiercast_protocol.transfer.gates import NEVER, SPENT, ready_at, why
from tiercast_protocol.transfer.groups import alike
from tiercast_protocol.transfer.jobs import Jobs
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.links import Link
from tiercast_protocol.transfer.policy import LONGEST_PAUSE, Pace
from tiercast_protocol.transfer.queues import Queue
from tiercast_protocol.transfer.views import METERED, SUSPENDED
from tiercast_protocol.wire.messages import Report

if TYPE_CHECKING:
    from tiercast_protocol.transfer.pump import Pump

#: Jobs of one lane that are told apart; of older ones that want nothing only the sum is kept.
MOST_JOBS = 256


class Settings:
    """Jobs and links of one sender."""

    def __init__(self, lanes: dict[Child, Lane], jobs: Jobs, output: Link, pump: Pump) -> None:
        self.jobs = jobs
        self.output = output
        self._lanes = lanes
        self._pump = pump
        self._links: dict[Child, Link] = {"": output}

    def link(self, child: Child) -> Link:
        """The link to the child, known or not."""
        link = self._links.get(child)
        if link is None:
            link = self._links[child] = Link(child)
        return link

    def queue(self, lane: Lane, name: Job, now: float) -> Queue:
        """The lane's queue for the job."""
        queue = lane.queues.get(name)
        if queue is not None:
            return queue
        job = self.jobs.get(name)
        queue = lane.queues.get(job.name)
        if queue is None:
            if len(lane.queues) >= MOST_JOBS:
                self._forget_idle(lane)
            queue = lane.queues[job.name] = Queue(job)
            self._refresh(lane, queue, now)
        return queue

    def _forget_idle(self, lane: Lane) -> None:
        for name, queue in list(lane.queues.items()):
            if name and not queue.wanted:
                lane.past.add(queue.bytes)
                del lane.queues[name]
                return

    def prune(self) -> None:
        """Forget jobs that nothing is known of and nobody uses."""
        if len(self.jobs) > 2 * MOST_JOBS:
            self.jobs.prune({name for lane in self._lanes.values() for name in lane.queues})

    # -- events -----------------------------------------------------------------------------------

    def job_policy_set(self, event: JobPolicySet, now: float, _out: list[SenderCommand]) -> None:
        """See the event."""
        job = self.jobs.follow(event.job, event.policy, now)
        lanes = [lane for lane in self._lanes.values() if job.name in lane.queues]
        for lane in lanes:
            # Whether it may be shared, and by whom, is decided anew.
            if lane.group is not None:
                lane.group.close(job.name)
            self._refresh(lane, lane.queues[job.name], now)
        self._again(lanes, now)
        if event.policy is None:
            for link in self._links.values():
                link.jobs.pop(event.job, None)

    def job_suspended(self, event: JobSuspended, now: float, _out: list[SenderCommand]) -> None:
        """See the event."""
        self._suspend(event.job, event.child, now, silent=True)

    def job_resumed(self, event: JobResumed, now: float, _out: list[SenderCommand]) -> None:
        """See the event."""
        self._suspend(event.job, event.child, now, silent=False)

    def _suspend(self, name: Job, child: Child | None, now: float, *, silent: bool) -> None:
        self.jobs.suspend(name, child, silent=silent)
        lanes = [lane for lane in self._lanes.values() if child in (None, lane.child) and name in lane.queues]
        for lane in lanes:
            self._refresh(lane, lane.queues[name], now)
        self._again(lanes, now)

    def link_policy_set(self, event: LinkPolicySet, now: float, out: list[SenderCommand]) -> None:
        """See the event."""
        link = self.link(event.child)
        had = link.gates.floor is not None
        link.follow(event.policy, now)
        self._pump.turns.floors += (link.gates.floor is not None) - had
        self._link_changed(link, now, out)

    def _link_changed(self, link: Link, now: float, out: list[SenderCommand]) -> None:
        lanes = [lane for lane in self._lanes.values() if link is self.output or lane.link is link]
        for lane in lanes:
            for queue in lane.queues.values():
                self._refresh(lane, queue, now)
            self._still_fits(lane, now, out)
        self._again(lanes, now)

    def lane_suspended(self, event: LaneSuspended, now: float, out: list[SenderCommand]) -> None:
        """See the event."""
        link = self.link(event.child)
        link.suspended = True
        lane = self._lanes.get(event.child)
        if lane is not None:
            self._pump.membership.leave(lane, now, out)
            self._link_changed(link, now, out)

    def lane_resumed(self, event: LaneResumed, now: float, out: list[SenderCommand]) -> None:
        """See the event."""
        link = self.link(event.child)
        link.suspended = False
        self._link_changed(link, now, out)

    def wish(self, lane: Lane, report: Report, now: float, out: list[SenderCommand]) -> None:
        """The child asks for terms of its own."""
        link = lane.link
        if link.ask(_wish(report), now):
            self._link_changed(link, now, out)

    # -- what follows -----------------------------------------------------------------------------

    def _refresh(self, lane: Lane, queue: Queue, now: float) -> None:
        job = queue.job
        queue.gates = lane.link.of(job, now)
        own = queue.gates.all if queue.gates is not None else ()
        queue.chain = (*own, *job.gates.all)
        self._close(lane, queue, self._closed(lane, queue, now), now)

    def spent(self, lane: Lane, queue: Queue, now: float, out: list[SenderCommand]) -> None:
        """A frame left that may have used up a budget."""
        if queue.chain and ready_at(queue.chain, now) == NEVER:
            self._close(lane, queue, SPENT, now)
        if lane.group is not None and lane.link.chain and lane.link.shut(now):
            self._pump.membership.leave(lane, now, out)

    def _close(self, lane: Lane, queue: Queue, closed: str, now: float) -> None:
        if closed == queue.closed:
            return
        queue.closed = closed
        if closed and lane.group is not None:
            lane.group.close(queue.job.name)
        if lane.several:
            further.rearrange(lane, self._pump.supply)
            self._pump.wake(lane, now)

    def _closed(self, lane: Lane, queue: Queue, now: float) -> str:
        job, link = queue.job, lane.link
        if job.silent(lane.child) or (link.suspended and not job.policy.pass_suspended):
            return SUSPENDED
        if (link.policy.metered or self.output.policy.metered) and not job.policy.metered:
            return METERED
        reason, until = why(queue.chain, now)
        return reason if until == NEVER else ""

    def _still_fits(self, lane: Lane, now: float, out: list[SenderCommand]) -> None:
        group = lane.group
        if group is None:
            return
        others = [other for other in group.members.values() if other is not lane]
        fits = all(other.link.like(lane.link) and (not group.even or alike(other, lane)) for other in others)
        if lane.link.shut(now) or not fits:
            self._pump.membership.leave(lane, now, out)

    def _again(self, lanes: Iterable[Lane], now: float) -> None:
        """Let them share what they may share now, and take a turn."""
        for lane in lanes:
            if lane.group is not None:
                lane.group.open(self._pump.supply)
            self._pump.wake(lane, now)
            self._pump.membership.propose(lane, now)


def _wish(report: Report) -> Pace:
    """The terms that a report asks for, within what can be meant."""
    if not (report.segment or report.rate):
        return Pace()
    split = report.segment > 0 and report.pause_ms > 0
    return Pace(
        rate=float(report.rate) if report.rate > 0 else None,
        segment=report.segment if split else None,
        pause=min(report.pause_ms / 1000, LONGEST_PAUSE) if split else 0.0,
    )
