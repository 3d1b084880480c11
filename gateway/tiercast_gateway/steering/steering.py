"""Everything that was said of transfers, brought to the `Sender`, and below (docs/protocol-steering.md).

Rules
- `desired` decides; this file gathers what was said, hands the machine the difference, and says below what is for
  those there.  What is said acts before it is kept, and is kept before whoever said it is answered.
- Where time can change something (windows, ends of suspensions, budgets), the wall clock is read twice a second, so a
  border acts in time and a stepped clock is noticed.
- Everything comes back after a start: terms of jobs from their orders, all else from `said`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from tiercast_gateway.steering import said as s
from tiercast_gateway.steering.budgets import ALL, Budgets, Pair, of_link, period_end
from tiercast_gateway.steering.desired import OUTPUT, Budget, Desired, JobTerms, LinkTerms, changes, desired
from tiercast_gateway.steering.jobterms import JobBook
from tiercast_gateway.steering.said import Said
from tiercast_gateway.steering.suspensions import Suspensions
from tiercast_gateway.why.reasons import Reasons
from tiercast_protocol.content.jobs import reason
from tiercast_protocol.errors import TiercastError, UsageError
from tiercast_protocol.transfer import calendar, terms
from tiercast_protocol.transfer.events import JobPolicySet
from tiercast_protocol.transfer.terms import JobWords, LinkWords, Quota
from tiercast_protocol.wire.messages import Message

if TYPE_CHECKING:
    from tiercast_gateway.steering.holds import Hold
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.content.jobs.order import Order
    from tiercast_protocol.transfer.policy import JobPolicy
    from tiercast_protocol.transfer.views import LaneView

log = structlog.get_logger(__name__)

#: Seconds between two looks at the clock and the counts.
LOOK = 0.25
#: Windows recur every week.
_WEEK = 8 * 86_400.0
#: Seconds after which something that failed (a full disk) is tried again.
_AGAIN = 2.0


class Steering:
    """Of one sub-tree."""

    def __init__(self, tree: SubTree, region_key: bytes) -> None:
        self._tree = tree
        self.said = Said(tree.db)
        self.now = Desired()
        self._budgets = Budgets()
        self._links: dict[str, LinkWords] = {}
        self.suspensions = Suspensions(tree, self.said, self.changed)
        self.jobs = JobBook(tree, self.said, region_key, self.changed)
        self.reasons = Reasons(tree, tree.progress.reasons_changed)
        self._holds: list[Hold] = []
        self._looked = time.monotonic()
        self._counting = False
        self._wake = asyncio.Event()
        self._follower: Callable[[str, JobPolicy | None], None] | None = None

    def follow(self, follower: Callable[[str, JobPolicy | None], None]) -> None:
        """Tell `follower` too how each job travels, now and from now on: of our own wants upward."""
        self._follower = follower
        for job, policy in self.now.jobs.items():
            follower(job, policy)

    async def load(self) -> None:
        """Take up what was said before the last stop."""
        await self.said.load()
        self._links = {child: terms.link_words(body) for child, body in self.said.all(s.LINK).items()}
        self._budgets.load(self.said.all(s.SPENT))
        self.refresh()

    async def run(self) -> None:
        """Keep to the clock, keep the counts, say below what changed, and why who waits; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.reasons.run())
            await self._keep_up()

    async def _keep_up(self) -> None:
        while True:
            self._wake.clear()
            try:
                self.refresh()
                await self.suspensions.tell_below()
                await self._tidy()
                if rows := self._budgets.unsaved():
                    await self.said.put(s.SPENT, rows)
            except TiercastError as error:
                log.warning("steering.again", reason=str(error), again_s=_AGAIN)
                await asyncio.sleep(_AGAIN)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK if self._timed() else None):
                    await self._wake.wait()

    # -- what is said of links -------------------------------------------------------------------------

    async def set_link(self, child: str, new: Mapping[str, Any], clear: list[str]) -> dict[str, Any]:
        """Change the terms of the link to `child` (`OUTPUT` is all together); what they are now.

        Raises:
            UsageError: link.unknown, transfer.*, window.invalid.
        """
        self._check_child(child)
        body = terms.changed(self.said.get(s.LINK, child) or {}, new, clear, terms.LINK_WORDS)
        words, now = terms.link_words(body), wall_clock()
        if not calendar.capacity(words.windows, now, now + _WEEK)[0]:
            raise UsageError(
                code="window.never",
                what=f"With the windows {calendar.shown(words.windows)} the link would never open",
                todo="Add a window that opens first, or shorten the black-out.",
            )
        self._links[child] = words
        self.changed()
        await self.said.put(s.LINK, {child: body or None})
        return self.link(child)

    def link(self, child: str) -> dict[str, Any]:
        """The terms of one link and what they come to now."""
        policy = self.now.links.get(child)
        rate = policy.pace.rate if policy is not None else None
        shut = self.now.lanes.get(child) or self.now.shut.get(child)
        used = self._budgets.spent((child, ALL))
        return {
            "child": child,
            "terms": dict(self.said.get(s.LINK, child) or {}),
            "rate_now": rate,
            "metered_now": policy.metered if policy is not None else False,
            "shut": {"code": shut.code, "why": reason.words(shut)} if shut is not None else {},
            "spent": {"period": used.period, "bytes": used.bytes, "seconds": used.seconds} if used.period else {},
        }

    def limit(self, child: str) -> int:
        """Bytes per second that were said of the link; 0 is unlimited."""
        words = self._links.get(child)
        return int((words.pace.rate if words is not None else None) or 0)

    # -- jobs ------------------------------------------------------------------------------------------

    def job_changed(self, order: Order, open_: bool) -> None:  # noqa: FBT001 - the callback of `Orders`
        """A job was opened (or its revision is new), or closed."""
        self.jobs.changed(order, open_)
        self.reasons.changed()

    def passed_on(self, job: str) -> list[Message]:
        """An order of the job goes down; what follows it."""
        self.reasons.changed()
        return self.jobs.passed_on(job)

    # -- what it comes to ------------------------------------------------------------------------------

    def changed(self) -> None:
        """Something was said: act now, and say below what it means there."""
        self.refresh()
        self._wake.set()

    def refresh(self) -> None:
        """Hand the machine whatever is different from the last time."""
        tree, wall = self._tree, wall_clock()
        names = [user.name for user in tree.enrolment.children()]
        quotas = self._quotas(names)
        self._look(quotas, wall)
        self._holds = self.suspensions.standing(int(wall * 1000))
        says = {child.name: child.metered for child in tree.children.all() if child.metered}
        after = desired(
            links={
                child: self._link_terms(child, quotas, says.get(child, 0), wall)
                for child in sorted(self._links.keys() | says.keys())
                if child == OUTPUT or child in names
            },
            jobs={job: self._job_terms(job, words, names, quotas, wall) for job, words in self.jobs.words().items()},
            holds=self._holds,
            children=names,
            wall=wall,
            stopped=tree.breakers.stopped(),
        )
        before, self.now = self.now, after
        for event in changes(before, after):
            log.info("steered", what=repr(event))
            tree.streams.feed(event)
            if isinstance(event, JobPolicySet) and self._follower is not None:
                self._follower(event.job, event.policy)

    def _quotas(self, names: list[str]) -> dict[Pair, Quota]:
        """Every budget there is, by (child, job)."""
        found: dict[Pair, Quota] = {}
        for job, words in self.jobs.words().items():
            for child in names:
                if words.quota is not None:
                    found[child, job] = words.quota
        for child, link in self._links.items():
            if link.quota is None:
                continue
            if link.quota.per != "job":
                found[child, ALL] = link.quota
                continue
            for job in self.jobs.words():  # each of them may use so much of this link, whatever it says itself
                found[child, of_link(job)] = link.quota
        return found

    def _look(self, quotas: Mapping[Pair, Quota], wall: float) -> None:
        before, self._looked = self._looked, time.monotonic()
        if quotas:
            counts = {
                (lane.child, job): count
                for lane in self._tree.streams.machine.lanes()
                for job, count in lane_bytes(lane)
            }
            if not self._counting:
                self._budgets.begin(counts)
            self._budgets.look(quotas, counts, wall=wall, passed=min(self._looked - before, 2 * LOOK))
        self._counting = bool(quotas)

    def _budget(self, pair: Pair, quotas: Mapping[Pair, Quota], whose: str, wall: float) -> Budget | None:
        quota = quotas.get(pair)
        if quota is None:
            return None
        spent, ends = self._budgets.spent(pair), int(period_end(quota.per, wall) * 1000)
        return Budget(quota.per, quota.bytes, quota.seconds, spent.bytes, spent.seconds, ends, whose)

    def _job_budget(self, child: str, job: str, quotas: Mapping[Pair, Quota], wall: float) -> Budget | None:
        """Of the job's own budget and of those that the link and the output give each job, the one that is spent."""
        found = [
            budget
            for pair, whose in (
                ((child, job), "job"),
                ((child, of_link(job)), "link"),
                ((OUTPUT, of_link(job)), "output"),
            )
            if (budget := self._budget(pair, quotas, whose, wall)) is not None
        ]
        return next((budget for budget in found if budget.reason is not None), None)

    def _link_terms(self, child: str, quotas: Mapping[Pair, Quota], says: int, wall: float) -> LinkTerms:
        words = self._links.get(child) or terms.link_words({})
        budget = self._budget((child, ALL), quotas, "link" if child != OUTPUT else "output", wall)
        return LinkTerms(words.pace, words.windows, words.metered, words.adaptive, budget, says)

    def _job_terms(
        self, job: str, words: JobWords, names: list[str], quotas: Mapping[Pair, Quota], wall: float
    ) -> JobTerms:
        found = {child: self._job_budget(child, job, quotas, wall) for child in names}
        policy = words.policy
        if words.quota is not None and words.quota.per != "job":
            # The machine stops at the byte, but knows no periods: those are counted here, at every look.
            policy = replace(policy, pace=replace(policy.pace, budget=None))
        return JobTerms(
            policy,
            words.windows,
            words.begins,
            {child: budget for child, budget in found.items() if budget is not None},
        )

    def _timed(self) -> bool:
        return (
            any(hold.until for hold in self._holds)
            or any(words.windows or words.quota for words in self._links.values())
            or any(words.windows or words.quota or words.begins for words in self.jobs.words().values())
        )

    async def _tidy(self) -> None:
        """What was said of jobs that are over is forgotten."""
        while self.jobs.over:
            job = self.jobs.over[-1]
            if not self.jobs.open(job):
                self._budgets.forget([job])
                await self.suspensions.forget(job)
                await self.said.put(s.SHAPE, {job: None})
            self.jobs.over.pop()

    def _check_child(self, child: str) -> None:
        if child != OUTPUT and not any(user.name == child for user in self._tree.enrolment.children()):
            raise UsageError(
                code="link.unknown",
                what=f"{child} is no child of {self._tree.name}",
                todo="See the links with: tiercast link list",
            )


def lane_bytes(lane: LaneView) -> list[tuple[str, int]]:
    """Bytes that were sent over a lane, by job."""
    return [(job, sent.first + sent.lost + sent.repair + sent.failed) for job, sent in lane.sent.jobs.items()]


def wall_clock() -> float:
    """Seconds since 1970."""
    return time.time()
