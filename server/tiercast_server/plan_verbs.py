"""The verbs of activity plans."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_server.plan_checks import Planned, read_steps
from tiercast_server.plans import Plans

Handler = Callable[[Call], Awaitable[Any]]
_LIST = 50
_MAX_NAME, _MAX_NOTE = 255, 1_000


class PlanVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, plans: Plans) -> None:
        self._plans = plans

    async def check(self, call: Call) -> dict[str, Any]:
        """Look at a plan as `run` would; nothing is ordered or kept."""
        name, _, steps = _read(call)
        return {"name": name, "steps": await self._plans.check(steps, call.user)}

    async def run(self, call: Call) -> dict[str, Any]:
        """Accept a plan and begin it."""
        name, note, steps = _read(call)
        plan = await self._plans.run(name, note, steps, call.user)
        jobs = {row.step.name: row.job for row in plan.steps if row.job}
        return {"plan": plan.id, "name": plan.name, "steps": len(plan.steps), "jobs": jobs}

    async def show(self, call: Call) -> dict[str, Any]:
        """One plan and its steps."""
        return await self._plans.view.show(call.text("plan"))

    async def list_(self, call: Call) -> list[dict[str, Any]]:
        """The newest plans."""
        return await self._plans.view.list_(min(max(1, call.number("limit", _LIST)), 1_000))

    async def cancel(self, call: Call) -> dict[str, Any]:
        """Begin nothing more, and cancel what is open."""
        return await self._plans.cancel(call.text("plan"))


def _read(call: Call) -> tuple[str, str, list[Planned]]:
    name, note, steps = call.text("name"), call.text("note", ""), call.args.get("steps")
    if not name or len(name) > _MAX_NAME or len(note) > _MAX_NOTE or not isinstance(steps, list):
        todo = f"A name of 1 to {_MAX_NAME} characters, a note of at most {_MAX_NOTE}, and steps. Nothing was done."
        raise UsageError("plan.invalid", f"The plan {name[:60]!r} has no sound name, note or steps.", todo=todo)
    return name, note, read_steps(steps)


def add_plan_verbs(verbs: Verbs, plans: Plans, audited: Callable[[Handler], Handler]) -> None:
    """Put them into `verbs`."""
    handlers = PlanVerbs(plans)
    verbs.add("plan.check", "viewer", handlers.check)
    verbs.add("plan.show", "viewer", handlers.show)
    verbs.add("plan.list", "viewer", handlers.list_)
    verbs.add("plan.run", "operator", audited(handlers.run))
    verbs.add("plan.cancel", "operator", audited(handlers.cancel))
