"""What the root half does for a job besides its steps: asks its programs, and restarts the machine (docs/agent.md).

Rules
- The signed order comes with each question and is proved like that of a step; what is run stands in the order or in the
  sealed definition, or is root's own setting, and nothing of it in the question.
- A health program is asked for what was switched and is not over, a check for what is prepared or needs nothing of the
  package: both only look, so they may be asked as often as the network half likes, one at a time for each job.
- The machine is restarted for a job that has that before it, once: the id of its present life is written down first.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import structlog

from tiercast_endpoint.facts.checking import ask_check
from tiercast_endpoint.facts.judging import said_of
from tiercast_endpoint.halves.allowed import Past
from tiercast_endpoint.halves.line import Refusal
from tiercast_endpoint.jobs.confirming import ask_health, terms_of
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.powering import PowerSettings, run_command
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees.materials import Failed, Materials
from tiercast_protocol.content.jobs.receipt import ProgramResult
from tiercast_protocol.content.package import check as content
from tiercast_protocol.content.package.check import Check
from tiercast_protocol.content.package.reboots import LATER
from tiercast_protocol.errors import TiercastError
from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)

#: In which life of the machine a job had it restarted.
SCHEMA = "CREATE TABLE restarted (n INTEGER PRIMARY KEY, life TEXT NOT NULL);"
HEALTH, CHECK, REBOOT = "health", "check", "reboot"
VERBS = frozenset({HEALTH, CHECK, REBOOT})


class Errands:
    """Runs them.

    Args:
        db: root's own journal.
        root: the install root.
        materials: the sealed definitions.
        settings: how the machine is restarted.
    """

    def __init__(self, *, db: Database, root: Path, materials: Materials, settings: PowerSettings) -> None:
        self._db, self._root, self._materials, self._settings = db, root, materials, settings
        self._one: dict[str, asyncio.Lock] = {}

    async def run(self, verb: str, job: Job, past: Past) -> Any:
        """The answer, as plain data; raises Refusal."""
        if past.over:
            raise Refusal("half.over", "The job is over.")
        job = replace(job, snapshot=replace(job.snapshot, plan=past.plan))
        async with self._one.setdefault(job.job, asyncio.Lock()):
            try:
                match verb:
                    case "health":
                        return msgspec.to_builtins(await self._health(job, past))
                    case "check":
                        return msgspec.to_builtins(await self._check(job, past))
                    case _:
                        return await self._reboot(job, past)
            except Failed as error:
                raise Refusal(error.code, error.detail) from error
            except (TiercastError, OSError) as error:
                raise Refusal("half.question", f"It can't be asked: {error}.") from error

    async def _health(self, job: Job, past: Past) -> ProgramResult:
        if "switch" not in past.done:
            raise Refusal("half.order", "Nothing of it stands that could be confirmed.")
        if (terms := terms_of(await self._materials.selection(job))) is None:
            raise Refusal("half.step", "The package has no health program.")
        _, result = await ask_health(self._db, self._root, job, terms)
        return result

    async def _check(self, job: Job, past: Past) -> ProgramResult:
        ready = past.plan.ready or "assemble" in past.done
        check: Check | None = await self._materials.check(job) if ready else said_of(job).check
        if check is None or (not ready and check.needs != content.MACHINE):
            raise Refusal("half.order", "There is no check of it that could be asked now.")
        _, result = await ask_check(self._db, self._root, job, check)
        return result

    async def _reboot(self, job: Job, past: Past) -> list[Any]:
        """[whether it did not work, status, whether it took too long]; it is not answered where the machine is gone."""
        if past.plan.reboot in {"", LATER} or "switch" not in past.done:
            raise Refusal("half.order", "The machine is not to be restarted for it now.")
        life = await in_thread(Path(self._settings.boot_id).read_text, "utf-8")
        before = await self._db.read(lambda connection: _life(connection, job.n))
        if before not in {None, life}:
            raise Refusal("half.order", "The machine was restarted for it.")
        await self._db.write(lambda c: c.execute("INSERT OR IGNORE INTO restarted VALUES (?,?)", (job.n, life)))
        log.info("restarting the machine", job=job.job, package=job.package)
        ran = await run_command(self._settings.reboot_command, job.job)
        return [ran.ok, ran.exit, ran.timed_out]


def _life(connection: sqlite3.Connection, n: int) -> str | None:
    row = connection.execute("SELECT life FROM restarted WHERE n=?", (n,)).fetchone()
    return str(row[0]) if row else None
