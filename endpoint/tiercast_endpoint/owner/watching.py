"""The owner's way to look on: what came and what became of it, and every change as it happens.

Rules (docs/on-the-endpoint.md, "The owner's word")
- Served by the agent alone, out of its journal: cut off from everything it tells the same.
- Each row says in words what it says in codes: who shows it needs no table.
- `owner.watch` begins with what is open now and what was not read, so that who watches needs nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tiercast_endpoint.facts.judging import said_of, terms_of
from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.gate import Preferred
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.owner import choices, messages
from tiercast_endpoint.owner.choices import Choice
from tiercast_endpoint.owner.choosing import Actors, Choosing
from tiercast_endpoint.owner.feed import MESSAGE, Event, Feed, of_job, says
from tiercast_endpoint.owner.preferring import Preferring, wish
from tiercast_protocol.content.jobs import times
from tiercast_protocol.content.jobs.chosen import LONGEST_NAME, Chosen, packed
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database

#: Jobs that are looked through for a history, and rows of it when nobody says how many.
_MOST, _USUAL = 10_000, 50


Why = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Watching:
    """What the owner sees.

    Args:
        db: the agent's journal.
        feed: what changes.
        choosing: what he chose.
        preferring: what he wished.
    """

    def __init__(self, db: Database, feed: Feed, choosing: Choosing, preferring: Preferring) -> None:
        self._db, self.feed, self._choosing, self._preferring = db, feed, choosing, preferring
        choosing.on_chosen, choosing.preferred = feed.chosen, preferring.shown
        #: What he chose, by job: always the present choices.
        self.chosen = choosing.chosen

    @classmethod
    async def loaded(cls, db: Database, now_ms: Callable[[], int]) -> Watching:
        """With what he chose and wished in earlier lives; before any job is taken up."""
        choosing, preferring = await Choosing.loaded(db, now_ms), await Preferring.loaded(db, now_ms)
        return cls(db, Feed(now_ms), choosing, preferring)

    def register(
        self, verbs: Verbs, actors: Actors, why: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> None:
        """Put all the owner's verbs into the socket's table; `actors` carry jobs out, `why` says why they wait."""
        self._choosing.register(verbs, actors, why)
        self._preferring.register(verbs)
        self._preferring.act = actors.windows_changed
        verbs.add("owner.history", "viewer", self._history)
        verbs.add("owner.watch", "viewer", self._watch)

    def wish(self, job: Job) -> Preferred:
        """At which times the owner would have this job, as far as that holds for it."""
        choice, _ = choices.chosen(self.chosen, job.job)
        terms = terms_of(job, said_of(job))
        return wish(self._preferring.windows, terms, choice, times.read(job.options).deadline)

    def said(self, job: Job) -> str:
        """What goes up with the job's state of what he chose and wished; "" where that is nothing."""
        own, all_ = choices.chosen(self.chosen, job.job)
        waits = not job.finished
        others = all_.held and waits and job.type in choices.TYPES and not said_of(job).limited
        prefers = waits and job.code == "owner.preferred"
        last = all_ if others and not own.held else own
        if not (prefers or others or own.held or own.times or own.answer):
            return ""
        return packed(
            Chosen(
                held=own.held or (all_.held if others else 0),
                until=max(0, own.until),
                times=own.times,
                answer=own.answer,
                by=last.by[:LONGEST_NAME],
                at=last.at,
                prefers=prefers,
            )
        )

    async def _history(self, call: Call) -> list[dict[str, Any]]:
        """What came here and how it ended, the newest first; of one package, since a moment (ms), so many."""
        package, since, most = call.text("package", ""), call.number("since", 0), call.number("most", _USUAL)
        if not 0 < most <= _MOST:
            raise UsageError("argument.invalid", f"most must be 1 to {_MOST}.", "owner.history")
        found = await self._db.read(lambda connection: journal.latest_jobs(connection, _MOST))
        ended = (job for job in found if job.finished > since and package in {"", job.package} and job.type != "cancel")
        newest = sorted(ended, key=lambda job: -job.finished)[:most]
        return [self._row(job, self.chosen.get(job.job, choices.NOTHING)) for job in newest]

    def _row(self, job: Job, choice: Choice) -> dict[str, Any]:
        names = ("job", "type", "package", "version", "state", "code", "issued", "started", "finished")
        row = {name: getattr(job, name) for name in names}
        return {**row, "came": job.issued, "says": says(job), "deferrals": choice.times, "by": choice.by}

    async def _watch(self, call: Call) -> AsyncIterator[dict[str, Any]]:
        """What is open and unread, then every change until the caller goes."""
        del call
        jobs = await self._db.read(journal.open_jobs)
        unread = await self._db.read(lambda connection: messages.listed(connection, unread=True))
        present: list[Event] = [{"at": job.at, **of_job(job)} for job in jobs if job.type != "cancel"]
        present += [
            {"at": one.at, "event": MESSAGE, "job": one.job, "title": one.title, "says": one.text} for one in unread
        ]
        async for event in self.feed.events(present):
            yield event
