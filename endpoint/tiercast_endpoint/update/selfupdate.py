"""The agent's own package: its job ends when the new version has reached a parent (docs/agent.md, "Its own update").

Rules
- Only where the starter started this agent: nobody else could go back.
- It is the package's run-after that waits: run in this version, then again in the new one.  So it must be declared
  idempotent, and what does not come back in time is undone as any failed run-after is: the link goes back.
- The new version is good when it is connected to any parent that its region allows it.
- The start in between waits for programs of other jobs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from tiercast_endpoint.jobs.events import Event, StepDone, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.restart import Restart
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.update import starter, trial

log = structlog.get_logger(__name__)

_LOOK_S = 0.5
Progress = Callable[[int, int], None]


class SelfUpdate:
    """Performs steps through `inner`, and of the agent's own package what follows its switch.

    Args:
        inner: performs all others.
        folder: the agent's, where the starter remembers versions.
        package: the agent's own.
        running: the tree that runs; "" is what came with the machine, None that no starter started it.
        restart: has the agent start again.
        connected: whether a parent is reached.
    """

    def __init__(
        self,
        inner: Performer,
        *,
        folder: Path,
        package: str,
        running: str | None,
        restart: Restart,
        connected: Callable[[], bool],
    ) -> None:
        self._inner = inner
        self._file = folder / starter.FILE
        self._package = package
        self._running = running
        self._restart = restart
        self._connected = connected

    async def perform(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        """Perform `step` of `job`."""
        if self._running is None or job.package != self._package or step is not Step.AFTER:
            return await self._inner.perform(job, step, tell)
        record = await in_thread(starter.load, self._file)
        if record.refused == job.tree:
            return job, StepFailed(step, "agent.unconfirmed", f"The new agent was taken back. {record.why}")
        job, event = await self._inner.perform(job, step, tell)
        if not isinstance(event, StepDone):
            return job, event
        if self._running != job.tree:
            log.info("agent starts in its new version", job=job.job, tree=job.tree)
            self._restart.but = job.job
            self._restart.asked.set()
            await asyncio.Event().wait()
        while not self._connected():  # noqa: ASYNC110 - a look now and then, for as long as the starter gives
            await asyncio.sleep(_LOOK_S)
        await self._good()
        return job, event

    async def _good(self) -> None:
        record = await in_thread(starter.load, self._file)
        if record.good != self._running:
            await in_thread(starter.save, self._file, trial.reached(record, self._running or ""))
            log.info("agent is good", tree=self._running)


def shown(folder: Path) -> dict[str, str]:
    """What `status` says of versions: the tree that runs ("": the first installation), what is on trial or refused."""
    running = running_tree()
    if running is None:
        return {}
    record = starter.load(folder / starter.FILE)
    return {"tree": running, "trial": record.trial, "refused": record.refused, "why": record.why}


def running_tree() -> str | None:
    """The tree that the starter started; None without a starter."""
    return os.environ.get(starter.TREE)
