"""The owner's verbs at the agent's socket: what came and waits, hold, release, defer, reject, and offers.

Rules (docs/on-the-endpoint.md, "The owner's word")
- All of it is served by the agent alone: no parent is asked, so it works while the machine is cut off from everything.
- A choice counts from the instant at which it is taken, and is confirmed once it is written and synced.  What can't be
  written is taken back, and said.
- What may be chosen is for `choices`; nothing here decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tiercast_endpoint.facts.judging import said_of, terms_of
from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.called import called
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.showing import describe
from tiercast_endpoint.owner import choices
from tiercast_endpoint.owner.choices import ALL, Choice, Terms
from tiercast_protocol.content.jobs import provisos
from tiercast_protocol.content.jobs.jobtypes import OFFER
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database

#: Ended jobs that `owner.list` shows when nobody says how many.
_ENDED, _MOST = 10, 1000


class Actors(Protocol):
    """The open jobs (`Jobs`)."""

    def open_job(self, job: str) -> tuple[Job, bool] | None:
        """The open job of this id, and whether it has begun."""
        ...

    def changed(self, job: str = "") -> None:
        """Look again at a job, or at all."""
        ...

    def windows_changed(self) -> None:
        """Times that hold for all of them are others."""
        ...


class Choosing:
    """What the owner chose.

    Args:
        db: the agent's journal.
        now_ms: the clock.
    """

    def __init__(self, db: Database, now_ms: Callable[[], int]) -> None:
        self._db, self._now_ms = db, now_ms
        #: Gives the times that the owner prefers, as the socket shows them.
        self.preferred: Callable[[], dict[str, Any]] = dict
        #: Told of every choice that is written down.
        self.on_chosen: Callable[[Choice], None] = lambda _choice: None
        #: The present choices, by job: always this very map.
        self.chosen: dict[str, Choice] = {}
        self._actors: Actors | None = None
        self._why: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]] | None = None

    @classmethod
    async def loaded(cls, db: Database, now_ms: Callable[[], int]) -> Choosing:
        """With what was chosen in earlier lives; before any job is taken up."""
        made = cls(db, now_ms)
        made.chosen.update(await db.read(choices.load))
        return made

    def register(
        self, verbs: Verbs, actors: Actors, why: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> None:
        """Put the owner's verbs into the socket's table; `actors` carry jobs out, `why` says why they wait."""
        self._actors, self._why = actors, why
        verbs.add("owner.list", "viewer", self._list)
        verbs.add("owner.offers", "viewer", self._offers)
        verbs.add("owner.hold", "operator", self._hold)
        verbs.add("owner.release", "operator", self._release)
        verbs.add("owner.defer", "operator", self._defer)
        verbs.add("owner.reject", "operator", self._reject)
        verbs.add("owner.accept", "operator", self._accept)
        verbs.add("owner.decline", "operator", self._decline)

    # -- looking -----------------------------------------------------------------------------------------

    async def _list(self, call: Call) -> dict[str, Any]:
        """What waits here and why, what may be done about it, and what ended last (`ended`: how many)."""
        most = call.number("ended", _ENDED)
        if not 0 <= most <= _MOST:
            raise UsageError("argument.invalid", f"ended must be 0 to {_MOST}.", "owner.list")
        rows = await self._waiting()
        latest = await self._db.read(lambda connection: journal.latest_jobs(connection, most + len(rows) or 1))
        keys = ("job", "type", "package", "version", "state", "code", "detail", "finished")
        ended = [{key: describe(job)[key] for key in keys} for job in latest if job.finished]
        all_ = self.chosen.get(ALL, choices.NOTHING)
        held = {"since": all_.held, "by": all_.by if all_.held else ""}
        return {"held": held, "preferred": self.preferred(), "jobs": rows, "ended": ended[:most]}

    async def _offers(self, call: Call) -> list[dict[str, Any]]:
        """What is offered here and has not been chosen, or was accepted and is not installed yet."""
        del call
        return [row for row in await self._waiting() if row["type"] == OFFER]

    async def _waiting(self) -> list[dict[str, Any]]:
        if self._why is None:
            return []
        told = {one["job"]: one for one in (await self._why({}))["jobs"]}
        return [row for job in told if (row := self._row(job, told[job])) is not None]

    def _row(self, job: str, told: dict[str, Any]) -> dict[str, Any] | None:
        found = self._actors.open_job(job) if self._actors is not None else None
        if found is None:
            return None
        row, begun = found
        said = said_of(row)
        choice = self.chosen.get(job, choices.NOTHING)
        terms = terms_of(row, said)
        keys = ("job", "type", "package", "version", "state", "done", "total", "chain")
        limits = {"defer_max": said.defer_max, "defer_latest": terms.latest, "rejectable": said.rejectable}
        return {
            **{key: told[key] for key in keys},
            "expires": row.expires,
            "begun": begun,
            "held": choice.held,
            "deferred_until": max(0, choice.until),
            "deferrals": choice.times,
            "answer": choice.answer,
            "by": choice.by,
            "can_put_off": not begun and row.type in choices.TYPES,
            "about": row.options.get(provisos.ABOUT, ""),
            "size": row.options.get(provisos.SIZE, 0),
            **limits,
        }

    # -- choosing ----------------------------------------------------------------------------------------

    async def _hold(self, call: Call) -> dict[str, Any]:
        """Hold a job, or all that have no limits, until `owner.release`; what has begun goes on."""
        job, by, now = call.text("job", ALL), call.user, self._now_ms()
        if job != ALL:
            return await self._take(job, lambda choice, terms: choices.hold(choice, terms, by, now))
        before = self.chosen.get(ALL, Choice())
        await self._put(Choice(held=before.held or now, by=by, at=now))
        limited = [row["job"] for row in await self._waiting() if self._is_limited(row["job"])]
        return {"job": ALL, "held": before.held or now, "not_held": limited}

    async def _called(self, asked: str) -> str:
        return await self._db.read(lambda connection: called(connection, asked))

    def _is_limited(self, job: str) -> bool:
        found = self._actors.open_job(job) if self._actors is not None else None
        return found is not None and said_of(found[0]).limited

    async def _release(self, call: Call) -> dict[str, Any]:
        """End the hold and the deferral of a job, and its wait for preferred times; or the hold of all."""
        job, by, now = await self._called(call.text("job", ALL)), call.user, self._now_ms()
        choice = self.chosen.get(job)
        wished = bool(job and self._open(job) and (self.preferred().get("window") or self._gives_notice(job)))
        if not wished and (choice is None or not (choice.held or choice.until)):
            raise UsageError(
                code="owner.not-held",
                what=f"The job {job} is neither held nor deferred." if job else "Not all is held.",
                todo="`tiercast-endpoint list` shows what is.",
            )
        choice = choice or Choice(job)
        await self._put(choices.release(choice, job, by, now, preferred=wished))
        return {"job": job, "held": 0, "until": 0, "times": choice.times}

    def _open(self, job: str) -> bool:
        return self._actors is not None and self._actors.open_job(job) is not None

    def _gives_notice(self, job: str) -> bool:
        found = self._actors.open_job(job) if self._actors is not None else None
        if found is None:
            return False
        terms, choice = terms_of(found[0], said_of(found[0])), self.chosen.get(job, Choice(job))
        return not found[1] and choices.needs_notice(choice, terms, self._now_ms())

    async def _defer(self, call: Call) -> dict[str, Any]:
        """Put a job off to `until` (milliseconds since 1970), as far as its order allows."""
        until, by, now = call.number("until"), call.user, self._now_ms()
        return await self._take(call.text("job"), lambda choice, terms: choices.defer(choice, terms, until, by, now))

    async def _reject(self, call: Call) -> dict[str, Any]:
        """End a job that was ordered so that the owner may."""
        by, now = call.user, self._now_ms()
        return await self._take(call.text("job"), lambda choice, terms: choices.reject(choice, terms, by, now))

    async def _accept(self, call: Call) -> dict[str, Any]:
        """Have an offer installed."""
        return await self._answer(call, accepted=True)

    async def _decline(self, call: Call) -> dict[str, Any]:
        """Have an offer taken away."""
        return await self._answer(call, accepted=False)

    async def _answer(self, call: Call, *, accepted: bool) -> dict[str, Any]:
        by, now = call.user, self._now_ms()
        return await self._take(
            call.text("job"), lambda choice, terms: choices.answer(choice, terms, accepted, by, now)
        )

    async def _take(self, job: str, choose: Callable[[Choice, Terms], Choice]) -> dict[str, Any]:
        job = await self._called(job)
        found = self._actors.open_job(job) if self._actors is not None else None
        if found is None:
            raise UsageError(
                code="job.unknown",
                what=f"No open job is called {job[:80]!r} here.",
                todo="`tiercast-endpoint list` shows what there is.",
            )
        row, begun = found
        said = said_of(row)
        terms = Terms(row.job, row.type, row.expires, said, begun)
        choice = choose(self.chosen.get(job, Choice(job)), terms)
        await self._put(choice)
        left = None if said.defer_max is None else max(0, said.defer_max - choice.times)
        return {
            "job": job,
            "held": choice.held,
            "until": choice.until,
            "times": choice.times,
            "left": left,
            "latest": terms.latest,
            "answer": choice.answer,
        }

    async def _put(self, choice: Choice) -> None:
        """It counts from here on; written, it is confirmed."""
        before = self.chosen.get(choice.job)
        self.chosen[choice.job] = choice
        try:
            await self._db.write(lambda connection: choices.put(connection, choice))
        except BaseException:
            if self.chosen.get(choice.job) is choice:
                self.chosen[choice.job] = before or Choice(choice.job)
            raise
        if self._actors is not None:
            self._actors.changed(choice.job)
        self.on_chosen(choice)
