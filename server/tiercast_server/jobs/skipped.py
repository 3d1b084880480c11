"""Targets that a job passed over, for its condition was not true there (docs/jobs.md, "Conditions").

Rules
- Their receipts say `done` with the code `condition.skipped`: nothing is missing, so the job ends as `done`, and a gate
  takes them as such.  But nothing was installed, so wherever targets are counted for people they stand as `skipped`.
- Only jobs that were ordered to skip can have any: for all others nothing is asked of the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import provisos
from tiercast_server.database.rollout_tables import rollout_jobs
from tiercast_server.database.tables import targets
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.rows import Job

CODE, SKIPPED, DONE = "condition.skipped", "skipped", "done"


def may_skip(options: Mapping[str, object]) -> bool:
    """Whether an order with these options passes machines over."""
    return options.get(provisos.CONDITION_FALSE) == provisos.SKIP


async def split(connection: AsyncConnection, jobs: Iterable[Job], counted: MutableMapping[str, dict[str, int]]) -> None:
    """Take those that were skipped out of `done`, in the counts by job."""
    asked = [job.id for job in jobs if may_skip(job.options) and counted.get(job.id, {}).get(DONE)]
    if not asked:
        return
    c = targets.c
    query = select(c.job, func.count().label("n")).where(c.job.in_(asked), c.state == DONE, c.code == CODE)
    for row in await connection.execute(query.group_by(c.job)):
        counted[row.job] = apart(counted[row.job], row.n)


async def of_job(connection: AsyncConnection, job: str, counts: dict[str, int]) -> dict[str, int]:
    """The same for one job."""
    found = await job_rows.find(connection, job) if counts.get(DONE) else None
    counted = {job: counts}
    if found is not None:
        await split(connection, [found], counted)
    return counted[job]


async def of_waves(
    connection: AsyncConnection,
    options: Mapping[str, object],
    rollout: str,
    by_wave: MutableMapping[int, dict[str, int]],
) -> None:
    """The same for the counts of a rollout's waves; its gates and breaker go by what the receipts say."""
    if not may_skip(options):
        return
    query = (
        select(rollout_jobs.c.wave, func.count().label("n"))
        .join(targets, targets.c.job == rollout_jobs.c.job)
        .where(rollout_jobs.c.rollout == rollout, targets.c.state == DONE, targets.c.code == CODE)
        .group_by(rollout_jobs.c.wave)
    )
    for row in await connection.execute(query):
        by_wave[row.wave] = apart(by_wave[row.wave], row.n)


def apart(counts: Mapping[str, int], skipped: int) -> dict[str, int]:
    """The counts with so many of those that are done as skipped."""
    done = counts.get(DONE, 0) - skipped
    found = {state: n for state, n in counts.items() if state != DONE}
    return dict(sorted({**found, **({DONE: done} if done else {}), **({SKIPPED: skipped} if skipped else {})}.items()))
