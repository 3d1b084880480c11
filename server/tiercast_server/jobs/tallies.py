"""How many targets of each job are in which state, for lists of many jobs.

Rules
- Counts are computed from the rows. Those of a job that has ended are kept until it is touched (`Changes`): a late
  receipt, a newcomer or whatever else changes its rows says so after its commit.
- Of what changes while it is read nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_server.changes import Changes
from tiercast_server.database.tables import targets
from tiercast_server.jobs.rows import Job

#: Jobs whose counts are kept; the oldest look goes first.
MOST = 5_000


class Tallies:
    """Counts by state."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        #: By job: when it was closed, how often it had been touched, its counts.
        self._kept: dict[str, tuple[int | None, int, dict[str, int]]] = {}

    async def of(self, connection: AsyncConnection, jobs: Sequence[Job]) -> dict[str, dict[str, int]]:
        """Counts by job, of those that have targets; `connection` reads one state, `jobs` are of it."""
        found: dict[str, dict[str, int]] = {}
        asked: list[Job] = []
        for job in jobs:
            kept = self._kept.get(job.id)
            if kept is not None and job.state != "open" and kept[:2] == (job.closed, self._changes.count(job.id)):
                found[job.id] = kept[2]
            else:
                asked.append(job)
        if not asked:
            return found
        touched = {job.id: self._changes.count(job.id) for job in asked}
        query = (
            select(targets.c.job, targets.c.state, func.count().label("n"))
            .where(targets.c.job.in_([job.id for job in asked]))
            .group_by(targets.c.job, targets.c.state)
        )
        for row in await connection.execute(query):
            found.setdefault(row.job, {})[row.state] = row.n
        for job in asked:
            self._kept.pop(job.id, None)
            if job.state != "open" and self._changes.count(job.id) == touched[job.id]:
                self._kept[job.id] = (job.closed, touched[job.id], found.get(job.id, {}))
        while len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        return found
