"""Plans as people see them: a step's state, its job, how many of its machines are where, and why it waits.

Rules
- A step for each machine by itself says besides on how many it may still come to begin.
- `watch` pushes a snapshot when something changed, at most two a second, and ends with the final one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tiercast_protocol.content.jobs.reason import shown as reason_shown
from tiercast_server.changes import Changes
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs import skipped
from tiercast_server.plans import rows as plan_rows
from tiercast_server.plans.targets import left
from tiercast_server.plans.why import waits
from tiercast_server.region import Region

#: Seconds between two snapshots of a watch.
PUSH_S = 0.5
#: What is touched (`Changes`) when any plan has moved.
PLANS = "plans"
_LOOK_S = 30.0


class PlanView:
    """Shows the region's plans."""

    def __init__(self, region: Region, changes: Changes) -> None:
        self._region, self._changes = region, changes

    async def show(self, name: str) -> dict[str, Any]:
        """A plan, its steps, and why those wait that do.

        Raises:
            UsageError: plan.unknown.
        """
        async with self._region.db.read() as connection:
            plan = await plan_rows.get(connection, name)
            life = plan.life()
            ends = await plan_rows.ends(connection, plan) if any(map(life.by_machine, life.steps)) else {}
            steps: list[dict[str, Any]] = []
            for row in plan.steps:
                more: dict[str, Any] = {"targets": 0, "counts": {}}
                if row.job:
                    counts = await job_rows.counts(connection, row.job)
                    counts = await skipped.of_job(connection, row.job, counts)
                    more = {"targets": sum(counts.values()), "counts": counts}
                if plan.state == "running" and life.by_machine(row.step.name) and row.state in {"waiting", "running"}:
                    more["left"] = left(life, row.step.name, ends)
                if row.state == "waiting" and (why := waits(plan, row, self._region.server)) is not None:
                    more["why"] = reason_shown(why)
                steps.append(row.shown() | more)
        return plan.shown() | {"steps": steps}

    async def list_(self, limit: int) -> list[dict[str, Any]]:
        """The newest plans."""
        async with self._region.db.read() as connection:
            return await plan_rows.newest(connection, limit)

    async def watch(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """Snapshots as `show` gives them: the present one, each change, the final one."""
        last: dict[str, Any] | None = None
        while True:
            # Counted before the look, so that nothing is lost between the two.
            jobs = [step["job"] for step in last["steps"] if step["job"]] if last else []
            seen = {one: self._changes.count(one) for one in (PLANS, *jobs)}
            now = await self.show(name)
            if now != last:
                yield now
            last = now
            if now["ended"]:
                return
            await self._changes.pace(now["plan"], PUSH_S)
            await self._changes.wait_any(seen, timeout=_LOOK_S)
