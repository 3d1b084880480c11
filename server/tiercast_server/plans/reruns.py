"""What may be done with a plan that has ended: forget it, or run it again as another plan."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.errors import UsageError
from tiercast_server.plans import rows as plan_rows
from tiercast_server.plans.again import rest, without_past
from tiercast_server.plans.checks import Planned
from tiercast_server.plans.plans import Plans
from tiercast_server.plans.rows import PlanRow
from tiercast_server.region import Region


class PlanReruns:
    """Plans of a region that have ended."""

    def __init__(self, region: Region, plans: Plans) -> None:
        self._region, self._plans = region, plans

    async def delete(self, name: str) -> dict[str, Any]:
        """Forget a plan that has ended; its jobs are jobs like any other.

        Raises:
            UsageError: plan.unknown or plan.open.
        """
        async with self._region.db.write() as connection:
            plan = await plan_rows.get(connection, name)
            if plan.state == "running":
                todo = f"`tiercast plan cancel {plan.id}` first, or wait until it has ended."
                raise UsageError("plan.open", f"The plan {plan.id} has not ended.", todo=todo)
            await plan_rows.forget(connection, plan.id)
        return {"plan": plan.id}

    async def rerun(self, name: str, by: str, *, failed: bool) -> tuple[PlanRow, dict[str, list[str]]]:
        """Run a plan that has ended again, all of it or what did not end well; the times left out, by step.

        Raises:
            UsageError: plan.unknown, plan.open, plan.nothing; as `run`.
        """
        async with self._region.db.read() as connection:
            first = await plan_rows.get(connection, name)
        if first.state == "running":
            todo = f"Wait until it has, or `tiercast plan cancel {first.id}`. Nothing was done."
            raise UsageError("plan.open", f"The plan {first.id} has not ended.", todo=todo)
        steps = [Planned(row.step, row.request) for row in first.steps]
        if failed:
            steps = rest(steps, {row.step.name: row.state for row in first.steps})
        if not steps:
            todo = f"`tiercast plan rerun {first.id}` without --failed runs all of it again. Nothing was done."
            raise UsageError("plan.nothing", f"All steps of {first.id} that were needed ended well.", todo=todo)
        steps, dropped = without_past(steps, self._region.clock())
        return await self._plans.run(first.name, first.note, steps, by), dropped
