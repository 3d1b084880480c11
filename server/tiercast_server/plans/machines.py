"""Steps of plans for each machine by itself, at the database: who may begin, and giving a step's job further targets.

Rules
- Who may begin is reckoned (`plan_targets`) from the rows of targets alone, so a restart finds the same.
- Who is meant by a step is looked up as each machine begins, among those that may: who left a group by then is left
  out; where it can't be looked up when the first may begin, the step has failed.
- A job that was cancelled, or has expired, takes no further machines; its step ends with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.errors import UsageError
from tiercast_server.jobs import life as job_life
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.checks import Request
from tiercast_server.nodes.nodes import Node
from tiercast_server.plans import rows as plan_rows
from tiercast_server.plans.rows import PlanRow
from tiercast_server.plans.targets import Ends, due
from tiercast_server.region import Region
from tiercast_server.targeting import Targeting

log = structlog.get_logger(__name__)


class PlanMachines:
    """The machines of the region's plans; `request` reads the arguments of a step's job."""

    def __init__(
        self, region: Region, targeting: Targeting, request: Callable[[Mapping[str, Any], str], Request]
    ) -> None:
        self._region, self._targeting, self._request = region, targeting, request

    async def due(
        self, connection: AsyncConnection, plan: PlanRow, refused: dict[str, UsageError]
    ) -> dict[str, frozenset[str]]:
        """Who may begin a step for each machine by itself, and has not, by step; what nobody can tell is `refused`."""
        found: dict[str, frozenset[str]] = {}
        life, now = plan.life(), self._region.clock()
        ends = await plan_rows.ends(connection, plan)
        for row in plan.steps:
            step = row.step.name
            if life.cancelling or row.state not in {"waiting", "running"} or not life.by_machine(step):
                continue
            if row.job:
                job = await job_rows.find(connection, row.job)
                if job is None or not job_life.JobLife(job.expires, job.state, job.cancelling).takes_more(now):
                    continue
            may = due(life, step, ends) - ends.get(step, Ends()).targets
            if not may:
                continue
            try:
                # All of it is asked again in the transaction: who is meant may change meanwhile.
                if nodes := await self.pick(connection, plan, step, may):
                    found[step] = frozenset(node.name for node in nodes)
            except UsageError as error:
                log.warning("plan can't tell who is meant", plan=plan.id, step=step, code=error.code, reason=error.what)
                if not row.job:
                    found[step], refused[step] = may, error
        return found

    async def pick(self, connection: AsyncConnection, plan: PlanRow, step: str, due: frozenset[str]) -> list[Node]:
        """Who of `due` is meant by the step.

        Raises:
            UsageError: as `Targeting.pick`.
        """
        request = self._request(plan.named(step).request, plan.created_by)
        # The first time all names are looked at, as for any job; a part of the machines is asked for without that.
        only = due if plan.named(step).job else None
        picked = await self._targeting.pick(connection, request.meant, jobtypes.of(request.type).role, only)
        return [node for node in picked.nodes if node.name in due]

    async def give(self, connection: AsyncConnection, plan: PlanRow, picked: Mapping[str, Sequence[Node]]) -> list[str]:
        """Order the jobs of steps that have begun for further machines; those jobs."""
        given: list[str] = []
        for step, nodes in picked.items():
            job = await job_rows.find(connection, plan.named(step).job) if nodes else None
            if job is not None:
                await job_rows.add_targets(connection, job, nodes, self._region.clock())
                added = job_life.TargetsAdded(tuple(node.name for node in nodes))
                await job_rows.advance(self._region, connection, job, added)
                given.append(job.id)
        return given

    async def last_expiry(self, connection: AsyncConnection, plan: PlanRow, step: str) -> float:
        """Seconds until what comes before the step ends at the latest."""
        life, now = plan.life(), self._region.clock()
        before = [plan.named(other).job for other in (*life.steps[step].after, *life.causes(step))]
        found = [job for name in before if name and (job := await job_rows.find(connection, name)) is not None]
        return max((max(job.expires - now, 0) / 1000 for job in found if job.state == "open"), default=0.0)
