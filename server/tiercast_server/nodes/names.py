"""Names for completion: what a shell offers after `tiercast job show <Tab>`.

Rules
- Packages and cabinets that the caller may not read are not offered.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_server.database.assignment_tables import assignments
from tiercast_server.database.plan_tables import plans
from tiercast_server.database.rollout_tables import rollouts
from tiercast_server.database.tables import (
    cabinets,
    groups,
    job_requests,
    jobs,
    nodes,
    packages,
    templates,
)
from tiercast_server.packages import cabinet_rights
from tiercast_server.region import Region

_MOST = 1_000


async def names(region: Region, call: Call) -> list[str]:
    """The names of one kind of thing, at most a thousand; jobs newest first.

    Raises:
        UsageError: kind.unknown.
    """
    of_jobs = select(jobs.c.id, jobs.c.number)
    every_job = of_jobs.union(select(job_requests.c.job, job_requests.c.number)).subquery()  # drafts too
    kinds: dict[str, Select[Any]] = {
        "node": select(nodes.c.name).where(nodes.c.state != "removed").order_by(nodes.c.name),
        "gateway": select(nodes.c.name)
        .where(nodes.c.state != "removed", nodes.c.role == "gateway")
        .order_by(nodes.c.name),
        "endpoint": select(nodes.c.name)
        .where(nodes.c.state != "removed", nodes.c.role == "endpoint")
        .order_by(nodes.c.name),
        "group": select(groups.c.name).order_by(groups.c.name),
        "package": select(packages.c.name).distinct().order_by(packages.c.name),
        "cabinet": select(cabinets.c.name).order_by(cabinets.c.name),
        "job": select(every_job.c.id).order_by(every_job.c.number.desc()),
        "plan": select(plans.c.id).order_by(plans.c.number.desc()),
        "rollout": select(rollouts.c.id).order_by(rollouts.c.number.desc()),
        "assignment": select(assignments.c.name).order_by(assignments.c.name),
        "template": select(templates.c.name).order_by(templates.c.name),
    }
    kind = call.text("kind")
    if kind not in kinds:
        raise UsageError(
            code="kind.unknown", what=f"There are no names of {kind!r}.", todo=f"Kinds: {', '.join(kinds)}."
        )
    async with region.db.read() as connection:
        found = await cabinet_rights.rights(connection)
        seen = cabinet_rights.readable(found, cabinet_rights.caller_of(call))
        if len(seen) < len(found):
            kinds["package"] = kinds["package"].where(packages.c.cabinet.in_(sorted(seen)))
            kinds["cabinet"] = kinds["cabinet"].where(cabinets.c.name.in_(sorted(seen)))
        return list((await connection.execute(kinds[kind].limit(_MOST))).scalars())
