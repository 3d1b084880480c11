"""Another run of a job, for those of its targets that it failed at or did not reach.

Rules
- It is a new job with an order of its own, that names its origin: what came of the first stays as it was signed.
- It is about the same sealed content, also where a newer revision of the version exists by now.
- Times that are over are left out, and said; windows, spread and tries stay.  What else can't work is refused as for
  any job.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import breaker, jobtypes, provisos, times
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.content.jobs.vouching import SITE
from tiercast_protocol.content.package import phases
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import terms
from tiercast_server import group_windows
from tiercast_server.database.tables import packages, targets
from tiercast_server.desired.guard import check_assigned
from tiercast_server.jobs import requests
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.checks import MAX_EXPIRY_S, check_conflict
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.jobs.requests import Kept
from tiercast_server.jobs.rows import Job
from tiercast_server.jobs.time_checks import Plan, check_times
from tiercast_server.jobs.transfer_checks import check_possible
from tiercast_server.nodes import nodes

#: What ended badly where it was tried, and where nobody was reached in time.
FAILED = frozenset({"failed", "interrupted", "rejected"})
UNREACHED = frozenset({"expired"})


class Reruns:
    """Orders further runs."""

    def __init__(self, jobs: Jobs) -> None:
        self._region, self._jobs = jobs.region, jobs

    async def rerun(self, job: str, *, failed: bool, unreached: bool, by: str, expires_s: int = 0) -> dict[str, Any]:
        """Order `job` again where it failed, or did not reach its target: {job, origin, targets, gone, dropped}.

        Args:
            job: its id or number.
            failed: those that ended as `FAILED`.
            unreached: those that ended as `UNREACHED`.
            by: who asks.
            expires_s: how long it is waited for them; 0 is as long as the first time.

        Raises:
            UsageError: job.unknown, job.draft, rerun.which, rerun.nobody, expiry.invalid, package.gone, and what
                `Jobs.create` says of a job that can't be.
        """
        wanted = (FAILED if failed else frozenset()) | (UNREACHED if unreached else frozenset())
        if not wanted:
            raise UsageError(
                code="rerun.which",
                what="Nobody was meant.",
                todo="Say --failed, --unreached, or both. Nothing was done.",
            )
        if not 0 <= expires_s <= MAX_EXPIRY_S:
            what = f"A job can't expire {expires_s} seconds from now."
            raise UsageError(code="expiry.invalid", what=what, todo=f"Choose 1 to {MAX_EXPIRY_S} seconds.")
        async with self._region.db.write() as connection:
            first = await job_rows.get(connection, job)
            jobtypes.check("rerun", type_=first.type, state=first.shown_state, job=first.id)
            names = await _of(connection, first, wanted)
            there = {node.name: node for node in await nodes.all_nodes(connection)}
            found = [there[name] for name in names if name in there]
            if not found:
                raise _nobody(first, wanted, len(names))
            size = await _size(connection, first)
            await check_conflict(connection, first.type, first.package, found)
            version = "" if first.options.get("any_version") else first.version
            await check_assigned(connection, self._jobs.targeting, first.type, first.package, version, found)
            now = self._region.clock()
            length = expires_s * 1000 or first.expires - first.created
            options, dropped = again(first.options, now)
            if size:
                check_possible(options, size=size, now=now / 1000, left=length / 1000)
            check_times(Plan(first.type, options, now / 1000, (now + length) / 1000, size))
            span = (now / 1000, (now + length) / 1000)
            await group_windows.check_targets(connection, first.type, options, [one.name for one in found], span)
            request = Kept(_asked(first, [node.name for node in found], options, length // 1000))
            id_, number = await requests.identity(connection, request)
            second = replace(
                first,
                id=id_,
                number=number,
                revision=0,
                state="open",
                cancelling=False,
                created_by=by,
                options=options,
                created=now,
                expires=now + length,
                closed=None,
                target="",
                follows=False,
                origin=first.id,
            )
            await job_rows.insert_job(connection, second, found)
            await requests.keep(connection, (id_, number), request, by, now, draft=False)
            await job_rows.order(self._region, connection, second, "same", ())
        self._jobs.told(second.id)
        gone = [name for name in names if name not in there]
        return {"job": second.id, "origin": first.id, "targets": len(found), "gone": gone, "dropped": dropped}


def again(options: dict[str, str | int | bool], now: int) -> tuple[dict[str, str | int | bool], list[str]]:
    """The options of another run at `now` (milliseconds since 1970), and the times that are over, and left out."""
    moments = (*times.MOMENTS, provisos.DEFER_UNTIL)
    over = [word for word in moments if isinstance(at := options.get(word), int) and at <= now]
    own = {*over, terms.CHANGE, SITE, phases.STEP, *breaker.WORDS}
    return {word: value for word, value in options.items() if word not in own}, over


def _asked(job: Job, names: list[str], options: dict[str, str | int | bool], expires_s: int) -> dict[str, Any]:
    """What `job.create` would have been asked with; a copy is made of it."""
    package = {"package": f"{job.package}={job.version}"} if job.package else {}
    said = {"type": job.type, "targets": names, "note": job.note, "expires_s": expires_s, "options": options}
    return {**said, **package}


async def _of(connection: AsyncConnection, job: Job, states: frozenset[str]) -> list[str]:
    query = select(targets.c.node).where(targets.c.job == job.id, targets.c.state.in_(states)).order_by(targets.c.node)
    return list((await connection.execute(query)).scalars())


async def _size(connection: AsyncConnection, job: Job) -> int:
    """Stored bytes that travel for it."""
    if not jobtypes.of(job.type).content:
        return 0
    query = select(packages.c.stored_bytes).where(packages.c.root == job.root).limit(1)
    size = (await connection.execute(query)).scalar_one_or_none()
    if size is None:
        raise UsageError(
            code="package.gone",
            what=f"{job.package}={job.version} revision {job.package_revision} is no longer in the library.",
            todo="Build it again, or order another version. Nothing was done.",
        )
    return int(size)


def _nobody(job: Job, wanted: frozenset[str], gone: int) -> UsageError:
    words = ", ".join(state for state in STATES if state in wanted)
    what = f"No target of {job.id} ended as one of: {words}."
    if gone:
        what = f"All {gone} targets of {job.id} that ended as one of {words} have left the region."
    return UsageError(
        code="rerun.nobody", what=what, todo=f"`tiercast job show {job.id}` shows its targets. Nothing was done."
    )
