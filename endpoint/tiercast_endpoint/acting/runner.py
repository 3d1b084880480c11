"""Programs of actions: run under a keeper, journaled before they begin, written down when they end.

Rules
- The journal knows a program before it begins anything (`journal.set_running`): the next life ends what is left.
- The environment is clean, there is nobody to answer a question, the time and the output have limits.
- What all programs of a job said has a limit, too: a receipt travels in one message.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiercast_endpoint.acting.keeper import end_strays, kept, left_behind
from tiercast_endpoint.acting.prefix import ActError, Prefix
from tiercast_endpoint.jobs import journal, programs
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.threads import in_thread
from tiercast_protocol.content.jobs.receipt import ProgramResult
from tiercast_protocol.node.database import Database

#: Bytes of output of all programs of one job; then each has so little.
MOST_OUTPUT, LEAST = 192 * 1024, 512
_STARTED_LATE = 127


class JobRunner:
    """Runs the programs of one job's actions; `results` has those that belong into the receipt."""

    def __init__(self, db: Database, job: Job, prefix: Prefix, tree: Path) -> None:
        self._db, self._job, self._prefix, self._tree = db, job, prefix, tree
        self.results: list[ProgramResult] = []

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        timeout_s: int = 60,
        output_limit: int = 4096,
        exits: Sequence[int] | None = (0,),
        quiet: bool = False,
    ) -> ProgramResult:
        """See `natives.Runner`."""
        job = self._job
        own = programs.environment(package=job.package, version=job.version, job=job.job, tree=self._tree)
        own["TIERCAST_PREFIX"] = str(self._prefix.path)
        left = MOST_OUTPUT - sum(len(one.output.encode()) for one in (*job.programs, *self.results))
        limit = output_limit if quiet else max(min(output_limit, left), LEAST)
        try:
            ran = await programs.run_program(
                kept(argv),
                cwd=self._tree if self._tree.is_dir() else Path("/"),
                env={**own, **(env or {})},
                timeout_s=timeout_s,
                output_limit=limit,
                on_started=self._started,
                gated=True,
            )
        except OSError as error:
            raise ActError("program.start", f"{argv[0]} could not be started: {error.strerror}") from error
        finally:
            await self._db.write(lambda connection: journal.set_running(connection, job.n, ""))
        if ran.exit == -signal.SIGKILL and job.job:
            await in_thread(end_strays, job.job)
        result = ran.result(argv)
        if not quiet:
            self.results.append(result)
        _judge(result, ran.output, exits)
        return result

    async def _started(self, pid: int) -> None:
        identity = programs.identity_of(pid)
        await self._db.write(lambda connection: journal.set_running(connection, self._job.n, identity))

    def at(self, tree: Path) -> JobRunner:
        """The same runner for programs of another tree."""
        other = JobRunner(self._db, self._job, self._prefix, tree)
        other.results = self.results
        return other


def _judge(ran: ProgramResult, output: bytes, exits: Sequence[int] | None) -> None:
    name = ran.argv[0]
    if ran.timed_out:
        raise ActError("program.timeout", f"{name} was killed after {ran.seconds:.0f} s")
    if left := left_behind(ran.exit, output):
        raise ActError(
            "program.left", f"{name} ended and left {left} processes behind, which were ended; start services by a unit"
        )
    if ran.exit == _STARTED_LATE and exits is not None and ran.exit not in exits:
        raise ActError("program.start", f"{name} could not be started: {ran.output.strip()[-200:]}")
    if exits is not None and ran.exit not in exits:
        how = f"was ended by signal {-ran.exit}" if ran.exit < 0 else f"ended with status {ran.exit}"
        raise ActError("program.failed", f"{name} {how}: {ran.output.strip()[-300:]}")
