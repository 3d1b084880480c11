"""What the owners of the region's machines chose of their jobs: who put what off, how often, until when.

Rules (docs/on-the-endpoint.md, "The owner's word")
- Computed from the rows of targets, each of which holds the newest word of its machine: nothing is added up.
- Rows without a choice cost nothing: an index holds the others alone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from tiercast_gateway.facts.owners import asked_of
from tiercast_protocol.content.jobs import chosen
from tiercast_protocol.content.jobs.chosen import Said
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.node.control.verbs import Call
from tiercast_server.database.tables import jobs, members, placings, targets
from tiercast_server.jobs import rows as job_rows
from tiercast_server.region import Region

_ENDED = tuple(state for state, final in STATES.items() if final)


class Owners:
    """Answers `owner.said` for a region."""

    def __init__(self, region: Region) -> None:
        self._region = region

    async def said(self, call: Call) -> dict[str, Any]:
        """Who put what off, how often, until when; counted by site, group or job."""
        asked = asked_of(call)
        rows = await self._rows(asked["job"], ended=asked["ended"], groups=asked["by"] == chosen.GROUP)
        return chosen.summary(rows, by=asked["by"], now=self._region.clock(), most=asked["most"])

    async def _rows(self, job: str, *, ended: bool, groups: bool) -> list[Said]:
        c = targets.c
        site = func.coalesce(func.nullif(placings.c.parent, ""), c.parent).label("site")
        query = (
            select(c.job, jobs.c.package, jobs.c.version, c.node, site, c.state, c.owner)
            .join(jobs, jobs.c.id == c.job)
            .outerjoin(placings, placings.c.node == c.node)
            .where(c.owner != "")
        )
        async with self._region.db.read() as connection:
            if job:
                query = query.where(c.job == (await job_rows.get(connection, job)).id)
            if not ended:
                query = query.where(c.state.not_in(_ENDED))
            found = (await connection.execute(query)).all()
            of: dict[str, list[str]] = {}
            if groups and found:
                belongs = select(members.c.node, members.c.group_name).order_by(members.c.group_name)
                for row in await connection.execute(belongs):
                    of.setdefault(row.node, []).append(row.group_name)
        return [
            Said(
                job=row.job,
                package=row.package,
                version=row.version,
                node=row.node,
                site=row.site,
                state=row.state,
                ended=STATES.get(row.state, False),
                chosen=said,
                groups=tuple(of.get(row.node, ())),
            )
            for row in found
            if (said := chosen.read(row.owner)) is not None
        ]
