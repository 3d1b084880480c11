"""The verbs commit, accept and undo: a job in two phases is moved on by hand, all of it or a part.

Rules
- A verb is one transaction: refused, it leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.package import phases
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.jobs.parts import Part, chosen
from tiercast_server.region import Region
from tiercast_server.rollouts import sets
from tiercast_server.rollouts.set_life import Said

Handler = Callable[[Call], Awaitable[Any]]


class Sets:
    """The verbs commit, accept and undo."""

    def __init__(self, region: Region, jobs: Jobs) -> None:
        self._region, self._jobs = region, jobs

    async def say(self, job: str, step: str, part: Part, *, force: bool = False) -> dict[str, Any]:
        """Order the open targets of `job`, or those of `part`, to go so far.

        Raises:
            UsageError: job.unknown, job.closed, job.draft, set.single, set.undone, set.few, set.uncommitted; `chosen`.
        """
        async with self._region.db.write() as connection:
            found = await job_rows.get(connection, job)
            jobtypes.check(step, type_=found.type, state=found.shown_state, job=found.id)
            if not phases.step_of(found.options):
                raise UsageError(
                    "set.single",
                    f"The job {found.id} is not in two phases: there is nothing to {step}.",
                    "",
                    "Order it with --two-phase. What is installed: tiercast rollout undo, or another version.",
                )
            names = await chosen(connection, found, part, self._jobs.targeting) if part else []
            meant = await sets.counted(connection, found.id, names)
            for command in sets.life(found).handle(Said(step, meant, tuple(names), force)):
                await sets.order(self._region, connection, found, command)
        self._jobs.told(found.id)
        return {"job": found.id, "step": step, "targets": names, "open": meant.open}


def add_set_verbs(verbs: Verbs, said: Sets, audited: Callable[[Handler], Handler]) -> None:
    """job.commit, job.accept and job.undo."""

    def word(step: str) -> Handler:
        async def handle(call: Call) -> dict[str, Any]:
            part = Part(*(tuple(call.texts(name, [])) for name in ("nodes", "groups", "below")))
            return await said.say(call.text("job"), step, part, force=call.flag("force", default=False))

        return handle

    for step in (phases.COMMIT, phases.ACCEPT, phases.UNDO):
        verbs.add(f"job.{step}", "operator", audited(word(step)))
