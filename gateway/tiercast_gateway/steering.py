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

from tiercast_gateway import holds as h
from tiercast_gateway import said as s
from tiercast_gateway.budgets import ALL, Budgets, Pair
from tiercast_gateway.desired import OUTPUT, Budget, Desired, JobTerms, LinkTerms, changes, desired
from tiercast_gateway.orders import needs_content
from tiercast_gateway.said import Said
from tiercast_protocol.content.shape import open_shape
from tiercast_protocol.errors import SignatureInvalid, TiercastError, UsageError
from tiercast_protocol.transfer import terms
from tiercast_protocol.transfer.events import JobPolicySet
from tiercast_protocol.transfer.terms import CHANGE, JobWords, LinkWords, Quota
from tiercast_protocol.wire.messages import HoldEntry, Holds, JobShape

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.content.order import Order
    from tiercast_protocol.transfer.policy import JobPolicy
    from tiercast_protocol.transfer.views import LaneView

log = structlog.get_logger(__name__)

#: Seconds between two looks at the clock and the counts.
LOOK = 0.25
#: Seconds after which something that failed (a full disk) is tried again.
_AGAIN = 2.0


class Steering:
    """Of one sub-tree."""

    def __init__(self, tree: SubTree, region_key: bytes) -> None:
        self._tree, self._region_key = tree, region_key
        self.said = Said(tree.db)
        self.now = Desired()
        self._budgets = Budgets()
        self._links: dict[str, LinkWords] = {}
        self._orders: dict[str, dict[int, Order]] = {}
        self._jobs: dict[str, JobWords] = {}
        self._holds: list[h.Hold] = []
        self._over: list[str] = []
        self._looked = time.monotonic()
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
        """Keep to the clock, keep the counts, say below what changed; until cancelled."""
        while True:
            self._wake.clear()
            try:
                self.refresh()
                await self._tell_below()
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
        self._links[child] = terms.link_words(body)
        self.refresh()
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
            "shut": {"code": shut.code, "why": shut.text} if shut is not None else {},
            "spent": {"period": used.period, "bytes": used.bytes, "seconds": used.seconds} if used.period else {},
        }

    def limit(self, child: str) -> int:
        """Bytes per second that were said of the link; 0 is unlimited."""
        words = self._links.get(child)
        return int((words.pace.rate if words is not None else None) or 0)

    # -- suspensions -----------------------------------------------------------------------------------

    async def suspend(self, holds: list[h.Hold]) -> None:
        """Suspend, from here; a later word about the same job and node stands."""
        for hold in holds:
            if hold.link:
                self._check_child(hold.node)
            elif hold.node not in {"", self._tree.name} and self._tree.routes.via(hold.node) is None:
                raise UsageError(
                    code="node.unknown",
                    what=f"{hold.node} is not below {self._tree.name}",
                    todo="See the nodes with: tiercast node list",
                )
        rows = {hold.name: hold.body() for hold in holds}
        self.said.note(s.HOLD, rows)
        self.changed()
        await self.said.put(s.HOLD, rows)

    async def resume(self, holds: list[h.Hold]) -> int:
        """Take back what was suspended from here; how many of them there were."""
        names = [hold.name for hold in holds if self.said.get(s.HOLD, hold.name) is not None]
        gone: dict[str, dict[str, Any] | None] = dict.fromkeys(names)
        self.said.note(s.HOLD, gone)
        self.changed()
        await self.said.put(s.HOLD, gone)
        return len(names)

    async def take_holds(self, peer: str, message: Holds) -> None:
        """The parent's list of what is suspended here and below."""
        known = self.said.get(s.ABOVE, peer)
        if known is not None and known["seq"] >= message.seq:
            return
        # of a parent before this one nothing counts any more
        rows: dict[str, dict[str, Any] | None] = dict.fromkeys(self.said.all(s.ABOVE))
        rows[peer] = {"seq": message.seq, "holds": [hold.body() for hold in h.of_entries(message.holds)]}
        self.said.note(s.ABOVE, rows)
        self.changed()
        await self.said.put(s.ABOVE, rows)

    def holds(self) -> list[dict[str, Any]]:
        """Every suspension that stands here, and whether it was said here or above."""
        own = {hold.name for hold in self._own()}
        return [
            {**hold.body(), "here": (hold.name in own)}
            for hold in sorted(self._own() + self._above(), key=lambda hold: (hold.node, hold.job))
            if not hold.until or hold.until > _now_ms()
        ]

    # -- jobs ------------------------------------------------------------------------------------------

    def job_changed(self, order: Order, open_: bool) -> None:  # noqa: FBT001 - the callback of `Orders`
        """A job was opened (or its revision is new), or closed."""
        if not needs_content(order):
            return
        revisions = self._orders.setdefault(order.job, {})
        if open_:
            revisions[order.revision] = order
        else:
            revisions.pop(order.revision, None)
        if not revisions:
            del self._orders[order.job]
            self._budgets.forget([order.job])
            self._over.append(order.job)
        self._take_words(order.job)
        self.changed()

    async def take_shape(self, message: JobShape) -> None:
        """A job's terms changed; they act, are kept, and go to whoever its order passed.

        Raises:
            SignatureInvalid: the region did not sign them, or it is another region's.
        """
        shape = open_shape(message.shape, message.signature, self._region_key)
        if shape.region != self._tree.region:
            raise SignatureInvalid("shape", f"it is of the region {shape.region}")
        known = self.said.get(s.SHAPE, shape.job)
        if known is None or known["change"] < shape.change:
            body = {
                "change": shape.change,
                "options": shape.options,
                "shape": message.shape.hex(),
                "signature": message.signature.hex(),
            }
            self.said.note(s.SHAPE, {shape.job: body})
            self._take_words(shape.job)
            self.changed()
            await self.said.put(s.SHAPE, {shape.job: body})
        for child in await self._tree.orders.passed_to(shape.job):
            await self._tree.post.send(child, message, cause=shape.job)

    async def passed_on(self, job: str, child: str) -> None:
        """An order of the job went to `child`: terms that are newer than it go after it."""
        body = self.said.get(s.SHAPE, job)
        if body is not None:
            shape, signature = bytes.fromhex(body["shape"]), bytes.fromhex(body["signature"])
            await self._tree.post.send(child, JobShape(shape=shape, signature=signature), cause=job)

    def _take_words(self, job: str) -> None:
        orders = self._orders.get(job)
        if not orders:
            self._jobs.pop(job, None)
            return
        options = orders[max(orders)].options
        shape = self.said.get(s.SHAPE, job)
        if shape is not None and shape["change"] > int(options.get(CHANGE, 0)):
            options = shape["options"]
        try:
            self._jobs[job] = terms.job_words(options)
        except UsageError as error:
            # Signed by the region all the same: it goes, on the usual terms.
            log.warning("job.terms", job=job, reason=error.what)
            self._jobs[job] = terms.job_words({})

    # -- what it comes to ------------------------------------------------------------------------------

    def changed(self) -> None:
        """Something was said: act now, and say below what it means there."""
        self.refresh()
        self._wake.set()

    def refresh(self) -> None:
        """Hand the machine whatever is different from the last time."""
        tree, wall = self._tree, time.time()
        names = [user.name for user in tree.enrolment.children()]
        quotas = self._quotas(names)
        self._look(quotas, wall)
        self._holds = h.standing(self._own() + self._above(), tree.name, int(wall * 1000))
        says = {child.name: child.metered for child in tree.children.all() if child.metered}
        after = desired(
            links={
                child: self._link_terms(child, quotas, says.get(child, 0))
                for child in sorted(self._links.keys() | says.keys())
                if child == OUTPUT or child in names
            },
            jobs={job: self._job_terms(job, words, names, quotas) for job, words in self._jobs.items()},
            holds=self._holds,
            children=names,
            wall=wall,
        )
        before, self.now = self.now, after
        for event in changes(before, after):
            log.info("steered", what=repr(event))
            tree.streams.feed(event)
            if isinstance(event, JobPolicySet) and self._follower is not None:
                self._follower(event.job, event.policy)

    def _own(self) -> list[h.Hold]:
        return [h.of_body(body) for body in self.said.all(s.HOLD).values()]

    def _above(self) -> list[h.Hold]:
        body = self.said.get(s.ABOVE, self._tree.above.parent)
        return [] if body is None else [h.of_body(one) for one in body["holds"]]

    def _quotas(self, names: list[str]) -> dict[Pair, Quota]:
        """Every budget there is, by (child, job)."""
        found: dict[Pair, Quota] = {}
        for job, words in self._jobs.items():
            for child in names:
                if words.quota is not None:
                    found[child, job] = words.quota
        for child, link in self._links.items():
            if link.quota is None:
                continue
            if link.quota.per != "job":
                found[child, ALL] = link.quota
                continue
            for job in self._jobs:  # each of them may use so much over this link
                for one in names if child == OUTPUT else [child]:
                    found.setdefault((one, job), link.quota)
        return found

    def _look(self, quotas: Mapping[Pair, Quota], wall: float) -> None:
        before, self._looked = self._looked, time.monotonic()
        if quotas:
            counts = {
                (lane.child, job): count
                for lane in self._tree.streams.machine.lanes()
                for job, count in lane_bytes(lane)
            }
            self._budgets.look(quotas, counts, wall=wall, passed=self._looked - before)

    def _budget(self, pair: Pair, quotas: Mapping[Pair, Quota]) -> Budget | None:
        quota = quotas.get(pair)
        if quota is None:
            return None
        spent = self._budgets.spent(pair)
        return Budget(quota.per, quota.bytes, quota.seconds, spent.bytes, spent.seconds)

    def _link_terms(self, child: str, quotas: Mapping[Pair, Quota], says: int) -> LinkTerms:
        words = self._links.get(child) or terms.link_words({})
        budget = self._budget((child, ALL), quotas)
        return LinkTerms(words.pace, words.windows, words.metered, words.adaptive, budget, says)

    def _job_terms(self, job: str, words: JobWords, names: list[str], quotas: Mapping[Pair, Quota]) -> JobTerms:
        found = {child: self._budget((child, job), quotas) for child in names}
        policy = words.policy
        if words.quota is not None and words.quota.per != "job":
            # The machine stops at the byte, but knows no periods: those are counted here, at every look.
            policy = replace(policy, pace=replace(policy.pace, budget=None))
        return JobTerms(policy, words.windows, {child: budget for child, budget in found.items() if budget is not None})

    def _timed(self) -> bool:
        return (
            any(hold.until for hold in self._holds)
            or any(words.windows or words.quota for words in self._links.values())
            or any(words.windows or words.quota for words in self._jobs.values())
        )

    # -- below -----------------------------------------------------------------------------------------

    async def _tell_below(self) -> None:
        """Each gateway below hears what is suspended there, whenever that is something else than it heard last."""
        tree = self._tree
        for user in tree.enrolment.children():
            if user.role != "gateway":
                continue
            entries = h.below(self._holds, user.name, tree.routes.via)
            told = self.said.get(s.TOLD, user.name)
            body = [_plain(entry) for entry in entries]
            if body == (told["holds"] if told is not None else []):
                continue
            seq = max(_now_ms(), (told["seq"] if told is not None else 0) + 1)
            await tree.post.send(user.name, Holds(seq=seq, holds=entries))
            await self.said.put(s.TOLD, {user.name: {"seq": seq, "holds": body}})

    async def _tidy(self) -> None:
        """What was said of jobs that are over is forgotten."""
        while self._over:
            job = self._over[-1]
            if job not in self._orders:
                gone = [name for name, body in self.said.all(s.HOLD).items() if body["job"] == job]
                await self.said.put(s.HOLD, dict.fromkeys(gone))
                await self.said.put(s.SHAPE, {job: None})
            self._over.pop()

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


def _plain(entry: HoldEntry) -> list[Any]:
    return [entry.job, entry.node, entry.until, entry.by]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
