"""The verbs of activity plans."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_server.plans.checks import Planned, read_steps
from tiercast_server.plans.plans import Plans
from tiercast_server.plans.reruns import PlanReruns
from tiercast_server.plans.rows import PlanRow

Handler = Callable[[Call], Awaitable[Any]]
_LIST = 50
_MAX_NAME, _MAX_NOTE = 255, 1_000


class PlanVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, plans: Plans) -> None:
        self._plans, self._reruns = plans, PlanReruns(plans.region, plans)

    async def check(self, call: Call) -> dict[str, Any]:
        """Look at a plan as `run` would; nothing is ordered or kept."""
        name, _, steps = _read(call)
        return {"name": name, "steps": await self._plans.check(steps, call.user)}

    async def run(self, call: Call) -> dict[str, Any]:
        """Accept a plan and begin it."""
        name, note, steps = _read(call)
        return _made(await self._plans.run(name, note, steps, call.user))

    async def show(self, call: Call) -> dict[str, Any]:
        """One plan and its steps."""
        return await self._plans.view.show(call.text("plan"))

    async def list_(self, call: Call) -> list[dict[str, Any]]:
        """The newest plans."""
        return await self._plans.view.list_(min(max(1, call.number("limit", _LIST)), 1_000))

    async def cancel(self, call: Call) -> dict[str, Any]:
        """Begin nothing more, and cancel what is open."""
        return await self._plans.cancel(call.text("plan"))

    async def suspend(self, call: Call) -> dict[str, Any]:
        """Begin nothing more until it is resumed."""
        return await self._plans.suspend(call.text("plan"), on=True)

    async def resume(self, call: Call) -> dict[str, Any]:
        """Go on."""
        return await self._plans.suspend(call.text("plan"), on=False)

    async def delete(self, call: Call) -> dict[str, Any]:
        """Forget one that has ended."""
        return await self._reruns.delete(call.text("plan"))

    async def rerun(self, call: Call) -> dict[str, Any]:
        """Run one that has ended again."""
        failed = call.flag("failed", default=False)
        plan, dropped = await self._reruns.rerun(call.text("plan"), call.user, failed=failed)
        return _made(plan) | {"origin": call.text("plan"), "dropped": dropped}

    async def watch(self, call: Call) -> AsyncIterator[dict[str, Any]]:
        """Snapshots of a plan until it has ended."""
        async for snapshot in self._plans.view.watch(call.text("plan")):
            yield snapshot


def _made(plan: PlanRow) -> dict[str, Any]:
    jobs = {row.step.name: row.job for row in plan.steps if row.job}
    return {"plan": plan.id, "name": plan.name, "steps": len(plan.steps), "jobs": jobs}


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
    verbs.add("plan.watch", "viewer", handlers.watch)
    for name in ("suspend", "resume", "delete", "rerun"):
        verbs.add(f"plan.{name}", "operator", audited(getattr(handlers, name)))
    verbs.add("plan.run", "operator", audited(handlers.run))
    verbs.add("plan.cancel", "operator", audited(handlers.cancel))
