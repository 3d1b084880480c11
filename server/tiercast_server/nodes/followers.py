"""Jobs that follow their groups: whoever joins later gets what is still wanted of its members.

Rules
- A job follows the groups that its target names until it expires or is cancelled; also when it was done with all that
  were members before.  The whole target is asked again, for the newcomers alone: who joined a group and is excluded by
  another part of the expression does not get it.
- Who is a target already stays what he is: nothing runs twice, and who leaves a group and joins it again is not new.
- Of several jobs about one package a newcomer gets the newest only; the older ones were overtaken.
- Of a job that is site-held a gateway adds whoever is directly below it (`site_jobs`).
- Newcomers are an order of the next revision, for them alone; those who were ordered before never hear of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.target import names_of
from tiercast_protocol.errors import UsageError
from tiercast_server import site_jobs
from tiercast_server.database.tables import jobs, targets
from tiercast_server.jobs import late_needs
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.life import TargetsAdded
from tiercast_server.jobs.rows import Job
from tiercast_server.nodes.nodes import Node
from tiercast_server.region import Region
from tiercast_server.targeting import Targeting, parsed

_log = structlog.get_logger(__name__)
_MANY = 10_000


async def follow(
    region: Region,
    targeting: Targeting,
    connection: AsyncConnection,
    joined: Mapping[str, Collection[str]],
    *,
    by_themselves: bool = False,
) -> list[str]:
    """In this transaction nodes joined groups (`joined`: by node): order them what follows these; the jobs.

    The caller holds `targeting.lock`.  `by_themselves`: by what they said, which their gateways heard too.
    """
    touched: list[str] = []
    if not joined:
        return touched
    for job in await job_rows.following(connection, region.clock()):
        asked = names_of(parsed(job.target), "group")
        candidates = [node for node, groups in joined.items() if not asked.isdisjoint(groups)]
        if by_themselves and candidates:
            decided = await site_jobs.elsewhere(connection, job.id, candidates)
            candidates = [node for node in candidates if node not in decided]
        if not candidates:
            continue
        try:
            picked = await targeting.pick(connection, parsed(job.target), jobtypes.of(job.type).role, candidates)
        except UsageError as error:
            _log.warning("job does not follow", job=job.id, code=error.code, reason=error.what)
            continue
        fresh = await _fresh(connection, job, picked.nodes)
        if fresh:
            names = tuple(node.name for node in fresh)
            touched += await late_needs.order_needs(region, connection, job, fresh)
            await job_rows.add_targets(connection, job, fresh, region.clock())
            await job_rows.advance(region, connection, job, TargetsAdded(names))
            _log.info("job follows", job=job.id, nodes=len(names))
            touched.append(job.id)
    return touched


async def _fresh(connection: AsyncConnection, job: Job, found: list[Node]) -> list[Node]:
    """Those of `found` that are no targets of the job, nor of a newer one about the same package."""
    query = select(targets.c.node).join(jobs, jobs.c.id == targets.c.job)
    query = query.where((jobs.c.id == job.id) | ((jobs.c.package == job.package) & (jobs.c.number > job.number)))
    if not job.package:
        query = select(targets.c.node).where(targets.c.job == job.id)
    held: set[str] = set()
    names = [node.name for node in found if node.role == jobtypes.of(job.type).role]
    for at in range(0, len(names), _MANY):
        held.update((await connection.execute(query.where(targets.c.node.in_(names[at : at + _MANY])))).scalars())
    return [node for node in found if node.name in set(names) - held]
