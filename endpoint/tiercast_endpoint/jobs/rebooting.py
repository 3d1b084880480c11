"""Restarts of the machine amid an installation, which goes on behind them (docs/transactions.md, "Restarts").

Rules
- The id of the machine's present life is journaled before anything else: in another life the step is done, whoever
  restarted the machine; where only the agent was killed, it is not.
- The command that restarts is the machine's own setting (`power.reboot_command`), and so is where the id is read; where
  the agent is two halves, the root half runs its own.
- The owner may put off what is to be now, and says when what is asked: over any restart of the agent.
- Every other step is handed on: this is a performer around another.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from tiercast_endpoint.jobs.events import Event, StepDone, StepFailed
from tiercast_endpoint.jobs.faults import translated
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.powering import PowerSettings, run_command
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees.materials import Failed, Progress
from tiercast_protocol.content.package.reboots import ASK, LATER
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)

#: Jobs that wait for a restart: in which life they began to, not before when, and whether the owner said so.
SCHEMA = """
CREATE TABLE rebooting (
    n INTEGER PRIMARY KEY, job TEXT NOT NULL, life TEXT NOT NULL, mode TEXT NOT NULL, until INTEGER NOT NULL DEFAULT 0,
    said INTEGER NOT NULL DEFAULT 0
);
"""
#: Seconds between two looks at the clock.
_LOOK_S = 15.0
#: Longest that an owner puts it off at a time.
LONGEST_S = 7 * 86_400


class Rebooting:
    """Performs that step, and has `steps` perform all others.

    Args:
        db: the agent's journal.
        settings: the command, and where the id of the machine's life stands.
        steps: performs the other steps.
        now_ms: the clock.
        free: bytes free, for what is told of a full disk.
        elsewhere: restarts the machine where that is another half's.
    """

    def __init__(
        self,
        *,
        db: Database,
        settings: PowerSettings,
        steps: Performer,
        now_ms: Callable[[], int],
        free: Callable[[], int],
        elsewhere: Callable[[Job], Awaitable[tuple[bool, int, bool]]] | None = None,
    ) -> None:
        self._db, self._settings, self._steps, self._now_ms, self._free = db, settings, steps, now_ms, free
        self._elsewhere, self._look = elsewhere, asyncio.Event()

    async def perform(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        """Perform `step` of `job`."""
        if step is not Step.REBOOT:
            return await self._steps.perform(job, step, tell)
        return await translated(job, step, lambda: self._reboot(job, step), self._free)

    async def _reboot(self, job: Job, step: Step) -> tuple[Job, Event]:
        mode, life = job.snapshot.plan.reboot, await in_thread(self._life)
        row = (job.n, job.job, life, mode)
        await self._db.write(lambda c: c.execute("INSERT OR IGNORE INTO rebooting VALUES (?,?,?,?,0,0)", row))
        while True:
            self._look.clear()
            before, until, said = await self._db.read(
                lambda c: c.execute("SELECT life, until, said FROM rebooting WHERE n=?", (job.n,)).fetchone()
            )
            if before != life:
                await self._db.write(lambda c: c.execute("DELETE FROM rebooting WHERE n=?", (job.n,)))
                return job, StepDone(step)
            due = mode != LATER and (said or mode != ASK) and self._now_ms() >= until
            if due and (failed := await self._run(job, step)) is not None:
                await self._db.write(lambda c: c.execute("DELETE FROM rebooting WHERE n=?", (job.n,)))
                return job, failed
            with suppress(TimeoutError):
                # Told to restart, the machine ends this life; what did nothing is begun again by the next one.
                async with asyncio.timeout(None if due else _LOOK_S):
                    await self._look.wait()

    async def _run(self, job: Job, step: Step) -> StepFailed | None:
        argv = self._settings.reboot_command
        log.info("restarting the machine", job=job.job, package=job.package)
        if self._elsewhere is not None:
            ok, exit_, timed_out = await self._elsewhere(job)
            shown = "The root half's command"
        else:
            shown = argv[0]
            try:
                ran = await run_command(argv, job.job)
            except OSError as error:
                return StepFailed(step, "program.start", f"{shown} could not be started: {error.strerror}.")
            ok, exit_, timed_out = ran.ok, ran.exit, ran.timed_out
        if ok:
            return None
        how = "took too long" if timed_out else f"ended with status {exit_}"
        return StepFailed(step, "program.failed", f"{shown}, which was to restart the machine, {how}.")

    def _life(self) -> str:
        try:
            return Path(self._settings.boot_id).read_text("utf-8").strip()
        except OSError as error:
            detail = f"{self._settings.boot_id} can't be read ({error.strerror}): a restart could not be told."
            raise Failed("reboot.life", detail) from error

    def register(self, verbs: Verbs) -> None:
        """Put `reboots` and `reboot` into `verbs`."""

        async def waiting(_call: Call) -> list[dict[str, Any]]:
            return await self._db.read(_waiting)

        async def reboot(call: Call) -> list[dict[str, Any]]:
            return await self._choose(call.number("later_s", 0))

        verbs.add("reboots", "viewer", waiting)
        verbs.add("reboot", "operator", reboot)

    async def _choose(self, later_s: int) -> list[dict[str, Any]]:
        """The owner's word on all that wait for a restart: now, or so much later.

        Raises:
            UsageError: reboot.none or reboot.long.
        """
        if not 0 <= later_s <= LONGEST_S:
            what = f"It can't be put off by {later_s:,} s."
            raise UsageError("reboot.long", what, "--later", "Say at most 7d; and again, then.")
        until = self._now_ms() + later_s * 1000 if later_s else 0

        def write(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            connection.execute("UPDATE rebooting SET until=?, said=?", (until, not later_s))
            return _waiting(connection)

        found = await self._db.write(write)
        if not found:
            raise UsageError("reboot.none", "Nothing waits for a restart here.", "", "See tiercast-endpoint list.")
        self._look.set()
        return found


def _waiting(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = connection.execute("SELECT job, mode, until, said FROM rebooting ORDER BY n")
    return [dict(zip(("job", "mode", "until", "said"), row, strict=True)) for row in rows]
