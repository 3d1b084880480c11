"""A package's own check, asked on this machine (docs/jobs.md, "Conditions").

Rules
- It is asked when everything else lets the job begin, right before it does; where the check needs nothing but the
  machine, before the fetch too.  What begins in that same instant goes by that answer.
- It looks and changes nothing, so it may run again after a crash; what an earlier life left of it is ended first.
- No is no: a wrong status, a signal, a time-out, and a program that could not be started.  The job waits and it is
  asked again after its time, or ends as skipped, as the order says; between two answers nothing asks it.
- Its answer and its output stand in the receipt; of several answers the last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from tiercast_endpoint.facts.judging import said_of
from tiercast_endpoint.jobs import journal, programs
from tiercast_endpoint.jobs.becoming import command_as
from tiercast_endpoint.jobs.install import INSTALL, Event, Judged, Outcome, Step, StepDone, TurnCame, prepared
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.threads import in_thread
from tiercast_protocol.content.jobs.jobtypes import OFFER
from tiercast_protocol.content.jobs.reason import Reason, because, words
from tiercast_protocol.content.jobs.receipt import ProgramResult
from tiercast_protocol.content.package import check as content
from tiercast_protocol.content.package.check import Check
from tiercast_protocol.errors import TiercastError
from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)

_FOLDER = Path("/")
#: Longest part of the output that stands in a reason, in characters.
_SAID = 300
#: In place of a status: the program was not started.
NOT_STARTED = -1000


class Checking(Protocol):
    """Asks packages' checks (`Checks`)."""

    def begins(self, job: Job, event: Event) -> bool:
        """Whether what comes next may begin the installation, or the fetch."""
        ...

    async def ask(self, job: Job, judged: Judged, now: int) -> tuple[Job, Judged]:
        """What is judged once the check has answered."""
        ...


class Checks:
    """Asks them.

    Args:
        db: the agent's journal.
        root: the install root.
        sealed: gives the check in the sealed definition of a job's package, once that is here.
        elsewhere: asks the check where that is another half's.
    """

    def __init__(
        self,
        db: Database,
        root: Path,
        sealed: Callable[[Job], Awaitable[Check | None]],
        elsewhere: Callable[[Job, Sequence[str]], Awaitable[ProgramResult]] | None = None,
    ) -> None:
        self._db, self._root, self._sealed, self._elsewhere = db, root, sealed, elsewhere
        #: By job and revision: until when its no counts, and the reason.
        self._no: dict[tuple[str, int], Reason] = {}

    def begins(self, job: Job, event: Event) -> bool:
        """As `Checking`."""
        if job.type not in {INSTALL, OFFER}:  # a repair runs nothing of the package
            return False
        if isinstance(event, TurnCame):
            return job.snapshot.step in {Step.WAIT, Step.HOLD}
        again = isinstance(event, StepDone) and event.step is job.snapshot.step is Step.UNDO
        return prepared(event) or again or job.snapshot.step is Step.BEFORE

    async def ask(self, job: Job, judged: Judged, now: int) -> tuple[Job, Judged]:
        """As `Checking`."""
        before = job.snapshot.step is Step.WAIT
        if judged.end is not None or (judged.fetch if before else judged.install) is not None:
            return job, judged
        no = self._no.get(key := (job.job, job.revision))
        if no is not None and now < no.until:
            return job, replace(judged, fetch=no if before else None, install=no)
        self._no.pop(key, None)
        check = await self._check_of(job, before=before)
        if check is None or (before and check.needs != content.MACHINE):
            return job, judged
        job, answer = await self._run(job, check)
        if answer == "":
            said = f"Its check {check.argv[0]} said yes."
            return job, replace(judged, values=f"{judged.values} {said}".strip())
        if said_of(job).skip:
            reason = because("check.false", program=check.argv[0], answer=answer)
            return job, replace(judged, end=Outcome("done", "condition.skipped", f"Skipped: {words(reason)}."))
        no = because("check.false", program=check.argv[0], answer=answer, until=now + check.every_s * 1000)
        self._no = {old: kept for old, kept in self._no.items() if kept.until > now} | {key: no}
        return job, replace(judged, fetch=no if before else None, install=no)

    async def _check_of(self, job: Job, *, before: bool) -> Check | None:
        if before:
            return said_of(job).check
        try:
            return await self._sealed(job)
        except TiercastError as error:  # the step after this one says what is wrong with the package
            log.warning("check not read", job=job.job, reason=str(error))
            return None

    async def _run(self, job: Job, check: Check) -> tuple[Job, str]:
        """The job with the result among its programs, and what the check said: "" is yes."""
        if self._elsewhere is None:
            job, result = await ask_check(self._db, self._root, job, check)
        else:
            result = await self._elsewhere(job, check.argv)
        if result.exit == NOT_STARTED:
            return replace(job, running=""), result.output
        earlier = tuple(one for one in job.programs if one.argv != result.argv)
        job = replace(job, running="", programs=(*earlier, result))
        if result.exit == 0 and not result.timed_out:
            return job, ""
        how = f"was killed after {result.seconds:.0f} s" if result.timed_out else f"ended with status {result.exit}"
        last = result.output.strip().splitlines()[-1:]
        return job, how + (f": {last[0][:_SAID]}" if last else "")


async def ask_check(db: Database, root: Path, job: Job, check: Check) -> tuple[Job, ProgramResult]:
    """Ask the check of `job` once; one that could not be started has the status `NOT_STARTED`, and why as output."""
    if job.running:
        await in_thread(programs.kill_leftover, job.running)
    tree = root / job.tree if job.tree and check.needs != content.MACHINE else _FOLDER

    async def started(pid: int) -> None:
        identity = programs.identity_of(pid)
        await db.write(lambda connection: journal.set_running(connection, job.n, identity))

    try:
        path = await in_thread(programs.executable, check.argv[0], tree)
        ran = await programs.run_program(
            command_as(None, path, check.argv[1:]),
            cwd=tree,
            env=programs.environment(package=job.package, version=job.version, job=job.job, tree=tree),
            timeout_s=check.timeout_s,
            output_limit=check.output_limit,
            on_started=started,
            gated=True,
        )
    except OSError as error:
        return replace(job, running=""), not_started(check.argv, f"could not be started: {error.strerror}")
    return replace(job, running=""), ran.result(check.argv)


def not_started(argv: Sequence[str], why: str) -> ProgramResult:
    """The result of a program that could not be asked."""
    return ProgramResult(argv=list(argv), exit=NOT_STARTED, timed_out=False, seconds=0.0, output=why)
