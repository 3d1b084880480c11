"""What the owner of this machine chose of a job: hold, defer, reject, accept or decline an offer.  Pure, but for rows.

Rules (docs/on-the-endpoint.md, "The owner's word")
- A choice is written and synced before it is confirmed: it counts over any crash, by this machine's clock.
- A job without limits may be deferred as the owner likes until it expires, and held.  One with `--defer-max` or
  `--defer-until` may be deferred within them, and not held: neither by its name nor with all others.
- A deferral is counted when it is taken, and never given back.  It ends by itself, by `release`, or with its limit.
- What ends the machine's present life gives its owner notice, where he may put it off: time to choose in.
- What has begun can't be put off: a choice is for what waits, is fetched or is prepared.
- Units of work are plain functions of a connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tiercast_endpoint.jobs.install import Outcome
from tiercast_protocol.content.jobs import power
from tiercast_protocol.content.jobs.jobtypes import OFFER
from tiercast_protocol.content.jobs.provisos import Provisos
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar

SCHEMA = """
CREATE TABLE choice (
    job TEXT PRIMARY KEY,
    held INTEGER NOT NULL DEFAULT 0,
    until INTEGER NOT NULL DEFAULT 0,
    times INTEGER NOT NULL DEFAULT 0,
    answer TEXT NOT NULL DEFAULT '',
    by TEXT NOT NULL DEFAULT '',
    at INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
#: What a hold of everything is kept under.
ALL = ""
REJECTED, ACCEPTED, DECLINED = "rejected", "accepted", "declined"
#: A choice's `until` where the owner released the job from the times that he prefers, too.
AT_ONCE = -1
#: What disturbs nobody can't be put off.
TYPES = frozenset({"install", "remove", "run", "restart", OFFER}) | power.TYPES


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen of one job, or of all (`ALL`); times are milliseconds since 1970.

    Attributes:
        held: since when it is held; 0 while it is not.
        until: not before, because it was deferred; `AT_ONCE`.
        times: how often it was.
        answer: "", or one of `REJECTED`, `ACCEPTED`, `DECLINED`.
        by, at: who chose last, and when.
    """

    job: str = ALL
    held: int = 0
    until: int = 0
    times: int = 0
    answer: str = ""
    by: str = ""
    at: int = 0


NOTHING = Choice()


@dataclass(frozen=True, slots=True)
class Said:
    """What follows for a job: why it is not fetched, why not installed, and how it ends."""

    fetch: Reason | None = None
    install: Reason | None = None
    end: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What is known of a job where a choice is taken: see the rules; `begun` once it can't be put off."""

    job: str
    type: str
    expires: int
    provisos: Provisos
    begun: bool = False

    @property
    def latest(self) -> int:
        """The last moment that it may be deferred to."""
        return min(self.provisos.defer_until or self.expires, self.expires)


def says(choice: Choice, all_: Choice, terms: Terms, now: int, notice: int = 0) -> Said:
    """What the choices come to for a job at `now`; until `notice` the owner has time to choose."""
    if choice.answer == REJECTED:
        return Said(end=Outcome("rejected", "owner.rejected", f"Rejected by {choice.by}."))
    if choice.answer == DECLINED:
        return Said(end=Outcome("rejected", "offer.declined", f"Declined by {choice.by}."))
    if terms.type == OFFER and choice.answer != ACCEPTED:
        offered = because("offer.open", until=terms.expires)
        return Said(offered, offered)
    return _put_off(choice, all_, terms, now, notice) if terms.type in TYPES else Said()


def needs_notice(choice: Choice, terms: Terms, now: int) -> bool:
    """Whether it ends the machine's present life, and its owner may still put that off, and was never asked before."""
    most, said = terms.provisos.defer_max, choice.times or choice.until
    leaves = terms.provisos.rejectable or (most != 0 and now < terms.latest)
    return terms.type in power.TYPES and leaves and not said


def _put_off(choice: Choice, all_: Choice, terms: Terms, now: int, notice: int) -> Said:
    by = choice if choice.held else all_
    if by.held and not terms.provisos.limited:
        held = because("owner.held", by=by.by, since=by.held, others="all others" if by is all_ else None)
        return Said(held, held)
    until = min(choice.until, terms.latest)
    if now < until:
        limit, last = terms.provisos.defer_max, terms.provisos.defer_until
        deferred = because(
            "owner.deferred", until=until, by=choice.by, times=choice.times, limit=limit, last=last or None
        )
        return Said(install=deferred)
    if now < notice and needs_notice(choice, terms, now):
        return Said(install=because("owner.notice", until=notice))
    return Said()


def remark(choice: Choice) -> str:
    """What is to be said of it in the end."""
    if not choice.times:
        return ""
    often = "once" if choice.times == 1 else f"{choice.times} times"
    return f"Deferred {often}, last by {choice.by}."


# -- what may be chosen --------------------------------------------------------------------------------


def hold(choice: Choice, terms: Terms, by: str, now: int) -> Choice:
    """Hold it until it is released.

    Raises:
        UsageError: owner.type, owner.late or owner.limited.
    """
    _check_open(terms)
    if terms.provisos.limited:
        raise UsageError(
            code="owner.limited",
            what=f"The job {terms.job} can't be held: {_limits(choice, terms)}.",
            todo=f"`tiercast-endpoint defer {terms.job} --for 2h`, within that.",
        )
    return replace(choice, job=terms.job, held=choice.held or now, by=by, at=now)


def defer(choice: Choice, terms: Terms, until: int, by: str, now: int) -> Choice:
    """Put it off to `until`.

    Raises:
        UsageError: owner.type, owner.late, owner.spent or time.over.
    """
    _check_open(terms)
    if until <= now:
        raise UsageError(code="time.over", what="That time is over.", todo="Give a time that is to come.")
    most = terms.provisos.defer_max
    if (most is not None and choice.times >= most) or until > terms.latest:
        end = f"; {_at(until)} was asked for" if until > terms.latest else ""
        raise UsageError(
            code="owner.spent",
            what=f"The job {terms.job} can't be deferred so: {_limits(choice, terms)}{end}.",
            todo="Defer it to an earlier time, while a deferral is left; or ask who ordered it: nothing was changed.",
        )
    return replace(choice, job=terms.job, until=until, times=choice.times + 1, by=by, at=now)


def release(choice: Choice, job: str, by: str, now: int, *, preferred: bool = False) -> Choice:
    """End hold and deferral, and for a job that waits for `preferred` times that too; what was counted stays."""
    return replace(choice, job=job, held=0, until=AT_ONCE if preferred else 0, by=by, at=now)


def reject(choice: Choice, terms: Terms, by: str, now: int) -> Choice:
    """End it.

    Raises:
        UsageError: owner.type, owner.late or owner.may-not.
    """
    _check_open(terms)
    if not terms.provisos.rejectable:
        raise UsageError(
            code="owner.may-not",
            what=f"The job {terms.job} can't be rejected: it was not ordered so (--rejectable).",
            todo=f"`tiercast-endpoint defer {terms.job} --for 2h` puts it off.",
        )
    return replace(choice, job=terms.job, answer=REJECTED, by=by, at=now)


def answer(choice: Choice, terms: Terms, accepted: bool, by: str, now: int) -> Choice:  # noqa: FBT001 - the answer
    """Accept or decline an offer; what was accepted may be declined until it has begun.

    Raises:
        UsageError: owner.offer or owner.late.
    """
    if terms.type != OFFER:
        raise UsageError(
            code="owner.offer",
            what=f"The job {terms.job} is no offer but to {terms.type}.",
            todo="`tiercast-endpoint offers` lists those there are.",
        )
    _check_open(terms)
    return replace(choice, job=terms.job, answer=ACCEPTED if accepted else DECLINED, by=by, at=now)


def _check_open(terms: Terms) -> None:
    if terms.type not in TYPES:
        raise UsageError(
            code="owner.type",
            what=f"The job {terms.job} ({terms.type}) disturbs nobody: it can't be put off.",
            todo=f"These can: {', '.join(sorted(TYPES))}.",
        )
    if terms.begun:
        raise UsageError(
            code="owner.late",
            what=f"The job {terms.job} has begun, or has ended.",
            todo=f"`tiercast-endpoint job {terms.job}` shows how far it is.",
        )


def _limits(choice: Choice, terms: Terms) -> str:
    """The limits and what is left of them, as people read them."""
    said = (
        [f"deferred {choice.times} of {terms.provisos.defer_max} times"] if terms.provisos.defer_max is not None else []
    )
    return ", ".join([*said, f"and not beyond {_at(terms.latest)}" if said else f"not beyond {_at(terms.latest)}"])


def _at(moment: int) -> str:
    return calendar.moment(moment / 1000)


# -- rows ----------------------------------------------------------------------------------------------


def load(connection: sqlite3.Connection) -> dict[str, Choice]:
    """Every choice, by job."""
    rows = connection.execute("SELECT job, held, until, times, answer, by, at FROM choice")
    return {row[0]: Choice(*row) for row in rows}


def get(connection: sqlite3.Connection, job: str) -> Choice:
    """What was chosen of `job`."""
    row = connection.execute("SELECT job, held, until, times, answer, by, at FROM choice WHERE job = ?", (job,))
    found = row.fetchone()
    return Choice(*found) if found is not None else Choice(job)


def put(connection: sqlite3.Connection, choice: Choice) -> None:
    """Write it down."""
    row = (choice.job, choice.held, choice.until, choice.times, choice.answer, choice.by, choice.at)
    connection.execute("INSERT OR REPLACE INTO choice VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def prune(connection: sqlite3.Connection) -> None:
    """Forget what was chosen of jobs that are forgotten."""
    connection.execute("DELETE FROM choice WHERE job != ? AND job NOT IN (SELECT job FROM job)", (ALL,))


def chosen(choices: Mapping[str, Choice], job: str) -> tuple[Choice, Choice]:
    """Of the job, and of all."""
    return choices.get(job, NOTHING), choices.get(ALL, NOTHING)
