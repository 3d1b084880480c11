"""Whether a job may go on here: its conditions, what it needs, and what the owner chose, looked at now.

Rules (docs/jobs.md, "Conditions")
- Facts are read from the system each time, and conditions evaluated in a thread; the owner's choices are looked at
  last, and nothing is waited for after that: what was confirmed to him counts from then on.
- A job that says nothing of facts costs no look at them.
- A condition that makes no sense here is not true, and says so; it never ends a job that was ordered to wait.
- First the owner's word, then conditions, then what the package needs and goes after: the first that keeps it is told.
- What may not replace what stands here ends as rejected: before it is fetched, or right before it is installed; so does
  the removal of what another package here needs, unless it was forced.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Protocol

import msgspec
import structlog

from tiercast_endpoint.facts.needs import Bringer, lack
from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.install import INSTALL, REMOVE, Judged, Outcome
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.sequence import Queued, goes_after
from tiercast_endpoint.owner import choices
from tiercast_endpoint.owner.choices import Choice
from tiercast_endpoint.trees import holdings
from tiercast_protocol.content.facts.condition import Tested, compile_condition
from tiercast_protocol.content.facts.inventory import SOFTWARE, Facts
from tiercast_protocol.content.facts.software import joined
from tiercast_protocol.content.facts.versions import Requirement, read_requirement
from tiercast_protocol.content.jobs import provisos
from tiercast_protocol.content.jobs.provisos import Provisos
from tiercast_protocol.content.jobs.reason import Reason, because, words
from tiercast_protocol.content.package.replacing import refusal
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)

#: Seconds between two looks at the facts, while a job waits for them.
LOOK_S = 15.0


class Judge(Protocol):
    """Says whether a job may go on."""

    def looks(self, job: Job) -> bool:
        """Whether its answer hangs on facts, which may change at any time."""
        ...

    async def judge(self, job: Job) -> Judged:
        """Its answer now."""
        ...


class NoJudge:
    """Lets everything go on."""

    def looks(self, job: Job) -> bool:
        """No facts are asked for."""
        del job
        return False

    async def judge(self, job: Job) -> Judged:
        """Nothing keeps it."""
        del job
        return Judged()


class Judging:
    """The judge of one machine.

    Args:
        db: the agent's journal.
        facts: reads what the machine is now.
        chosen: what its owner chose, by job; always the present choices.
        now_ms: the clock.
        software: reads what is installed now, for conditions that ask for it.
        notice_ms: how long an owner has to choose before the machine goes down; it begins with the first look of a
            life of the agent, for he may not have been there before.
    """

    def __init__(
        self,
        *,
        db: Database,
        facts: Callable[[], Awaitable[Facts]],
        chosen: Mapping[str, Choice],
        now_ms: Callable[[], int],
        software: Callable[[], Awaitable[Mapping[str, str]]] | None = None,
        notice_ms: int = 0,
    ) -> None:
        self._db, self._facts, self._chosen, self._now_ms = db, facts, chosen, now_ms
        #: Jobs that were told to go after another.
        self._after: set[str] = set()
        self._software, self._notice_ms = software, notice_ms
        #: By job that gives notice: when it was looked at first.
        self._noticed: dict[str, int] = {}

    def looks(self, job: Job) -> bool:
        """As `Judge`."""
        said = said_of(job)
        return bool(said.conditions or said.requires or said.conflicts or job.job in self._after or said.with_offer)

    async def judge(self, job: Job) -> Judged:
        """As `Judge`."""
        said, found = said_of(job), Judged()
        if said.conditions or said.requires or said.conflicts:
            try:
                found = await self._by_facts(said)
            except Exception as error:  # whatever is wrong with us: it waits, and the agent goes on
                log.exception("conditions not tested", job=job.job)
                failed = because(
                    "condition.false", condition=", ".join(said.conditions), values=str(error), every=LOOK_S
                )
                found = Judged(failed, failed)
        if job.type == INSTALL and said.with_offer:
            found = await self._with_offer(said.with_offer, job.expires) or found
        if job.snapshot.type == INSTALL:
            found = await self._beside(job, said, found)
        if job.snapshot.type == REMOVE and not job.options.get(provisos.THOUGH_NEEDED):
            needed = await self._db.read(lambda connection: needed_by(connection, job.package))
            if needed:
                found = Judged(end=Outcome("rejected", "dependency.needed", needed))
        # From here on nothing is waited for.
        own, all_ = choices.chosen(self._chosen, job.job)
        terms, now = terms_of(job, said), self._now_ms()
        notice = 0
        if self._notice_ms and choices.needs_notice(own, terms, now):
            notice = self._noticed.setdefault(job.job, now) + self._notice_ms
        else:
            self._noticed.pop(job.job, None)
        owner = choices.says(own, all_, terms, now, notice)
        return Judged(
            fetch=owner.fetch or found.fetch,
            install=owner.install or found.install,
            end=owner.end or found.end,
            values=" ".join(part for part in (found.values, choices.remark(own)) if part),
        )

    async def _with_offer(self, offer: str, expires: int) -> Judged | None:
        """What the owner's answer to the offer means for what that needs; None: it may go on."""
        rows = await self._db.read(lambda connection: journal.revisions(connection, offer))
        open_ = not rows or not rows[-1].finished
        if open_ and choices.chosen(self._chosen, offer)[0].answer != choices.ACCEPTED:
            waits = because("offer.open", until=expires)
            return Judged(waits, waits)
        if open_ or rows[-1].state == "done":
            return None
        if rows[-1].code == "offer.declined":
            return Judged(end=Outcome("rejected", "offer.declined", f"The offer {offer} needed it, and was declined."))
        return Judged(end=Outcome("cancelled", "cancelled", f"The offer {offer}, which needed it, ended."))

    async def _beside(self, job: Job, said: Provisos, found: Judged) -> Judged:
        """What stands here, and the other jobs of this machine."""
        standing, rows = await self._db.read(
            lambda connection: (holdings.installed(connection, job.package), journal.open_jobs(connection))
        )
        if standing and standing[0].root != job.root:
            there = (standing[0].version, standing[0].revision)
            refused = refusal(said.replace, said.order, (job.version, job.package_revision), there)
            if refused:
                return Judged(end=Outcome("rejected", "replace.refused", refused))
        queue = [_queued(row) for row in rows if row.type == INSTALL]
        first = goes_after(_queued(job), queue)
        self._after.discard(job.job)
        if first is None or found.install is not None:
            return found
        self._after.add(job.job)
        return replace(found, install=because("before.open", package=first.package, job=first.job))

    async def _by_facts(self, said: Provisos) -> Judged:
        facts = await self._facts()
        asked = self._software is not None and any(SOFTWARE in condition for condition in said.conditions)
        software = await self._software() if asked and self._software is not None else None
        reason, values = await asyncio.to_thread(test, said, facts, software)
        if reason is not None:
            end = Outcome("done", "condition.skipped", f"Skipped: {words(reason)}.") if said.skip else None
            return Judged(reason, reason, end)
        lacking = await self._needs(said, facts.packages)
        return replace(lacking, values=values)

    async def _needs(self, said: Provisos, installed: Mapping[str, str]) -> Judged:
        if not said.requires and not said.conflicts:
            return Judged()
        names = [one.package for one in said.requires]
        bringers = await self._db.read(lambda connection: journal.bringers(connection, names)) if names else []
        found = lack(said.requires, said.conflicts, installed, [Bringer(*row) for row in bringers])
        if found is None:
            return Judged()
        return Judged(found.reason if found.fetch else None, found.reason)


def said_of(job: Job) -> Provisos:
    """What the order says, and the package's sealed definition once that is here."""
    try:
        said = provisos.read(job.options)
    except UsageError:  # it is rejected elsewhere
        return Provisos()
    plan = job.snapshot.plan
    if not any((plan.condition, plan.requires, plan.conflicts, plan.ahead, plan.order, plan.replace)):
        return said
    conditions = dict.fromkeys((*said.conditions, plan.condition)) if plan.condition else said.conditions
    return replace(
        said,
        conditions=tuple(conditions),
        requires=said.requires or _read(plan.requires),
        conflicts=said.conflicts or _read(plan.conflicts),
        before=said.before or provisos.names_of(plan.ahead),
        order=said.order or plan.order,
        replace=said.replace or plan.replace,
    )


def needed_by(connection: sqlite3.Connection, package: str, *, now: int = 0) -> str:
    """Which installed package needs this one, as a sentence; "" for none, and for those that are to be removed too.

    An order to remove them counts as long as it has not expired by `now`.
    """
    leaving = {row.package for row in journal.open_jobs(connection) if row.type == REMOVE and row.expires > now}
    for one in holdings.installed(connection):
        if one.package == package or one.package in leaving:
            continue
        for row in journal.revisions(connection, one.job)[-1:]:
            for needs in said_of(row).requires:
                if needs.package == package:
                    return f"{one.package} {one.version} is installed here and needs {needs}."
    return ""


def _queued(job: Job) -> Queued:
    said = said_of(job)
    return Queued(job.job, job.package, said.before, tuple(one.package for one in said.requires))


def terms_of(job: Job, said: Provisos) -> choices.Terms:
    """What choices of the job go by."""
    return choices.Terms(job.job, job.type, job.expires, said)


def test(said: Provisos, facts: Facts, software: Mapping[str, str] | None) -> tuple[Reason | None, str]:
    """The first condition that is not true, and the values that decided.  Blocking (CPU)."""
    text, me = msgspec.json.encode(facts).decode(), facts.name
    if software is not None:
        text = joined(text, msgspec.json.encode(software).decode())
    values: list[str] = []
    for condition in said.conditions:
        try:
            tested = compile_condition(condition).test(me, text)
        except UsageError as error:
            tested = Tested(true=False, values=error.what)
        if not tested.true:
            unknown = tested.unknown or None
            figures = {"condition": condition, "values": tested.values, "unknown": unknown, "every": LOOK_S}
            return because("condition.false", peer=me, **figures), ""  # type: ignore[arg-type]
        values.append(f"Its condition {condition} was true: {tested.values}.")
    return None, " ".join(values)


def _read(text: str) -> tuple[Requirement, ...]:
    return tuple(read_requirement(part) for part in text.split(",") if part.strip())
