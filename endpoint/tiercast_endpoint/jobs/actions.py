"""The steps of jobs about no package: run a program, keep a message, say what the machine is, restart (docs/jobs.md).

Rules
- Every other step is handed on: this is a performer around another.
- A program is begun by a small process that becomes it.  It waits for a line first, which comes when the journal knows
  it: killed at any instant, the agent's next life finds what is left, or nothing was begun.
- A program runs with the agent's rights, or, where the agent is root, with those of a user that the order names; the
  same small process gives groups and ids up.
- Which codes count as success is the order's word; a time-out never does.
- Whatever goes wrong, with the disk or with us, ends the job with a code; it never ends the agent.
- A restart is not answered: this life ends before it could be, and the next one knows from the journal.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import structlog

from tiercast_endpoint.jobs import journal, programs
from tiercast_endpoint.jobs.becoming import CanNotBecomeError, User, command_as, user_named
from tiercast_endpoint.jobs.gate import Allowed, Gate
from tiercast_endpoint.jobs.install import Event, Step, StepDone, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.owner import messages
from tiercast_endpoint.threads import in_thread
from tiercast_protocol.content.jobs import times
from tiercast_protocol.content.package import actions
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)

_FOLDER = Path("/")

_OWN = frozenset({Step.RUN, Step.STOP, Step.KEEP, Step.LOOK, Step.RESTART})

Progress = Callable[[int, int], None]


class _CanNotRunError(Exception):
    """The program can't be started: a stable code and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class Actions:
    """Performs those steps, and has `steps` perform all others.

    Args:
        db: the agent's journal.
        steps: performs the steps of jobs with a package.
        restart: set when the agent is to start again.
        look: looks at the machine and says what it is; done when that is in the outbox.
        now_ms: the clock.
        kept: told of a message that was kept: its job, title and text.
    """

    def __init__(
        self,
        *,
        db: Database,
        steps: Performer,
        restart: asyncio.Event,
        look: Callable[[], Awaitable[None]],
        now_ms: Callable[[], int],
        kept: Callable[[str, str, str], None] = lambda _job, _title, _text: None,
    ) -> None:
        self._db = db
        self._steps = steps
        self._restart = restart
        self._look = look
        self._now_ms, self._kept = now_ms, kept

    async def perform(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        """Perform `step` of `job`."""
        if step not in _OWN:
            return await self._steps.perform(job, step, tell)
        try:
            return await self._perform(job, step)
        except _CanNotRunError as error:
            return job, StepFailed(step, error.code, error.detail)
        except StoreFull as error:
            return job, StepFailed(step, "disk.full", f"{error.needed} bytes were to be stored, {error.free} are free.")
        except Exception as error:
            # A job must end, whatever is wrong with us.
            log.exception("step failed", step=step, job=job.job)
            return job, StepFailed(
                step, "agent.bug", f"The agent failed ({type(error).__name__}); its log has the details."
            )

    async def _perform(self, job: Job, step: Step) -> tuple[Job, Event]:
        match step:
            case Step.RUN:
                return await self._run(job)
            case Step.STOP:
                if job.running:
                    await in_thread(programs.kill_leftover, job.running)
                return replace(job, running=""), StepDone(step)
            case Step.KEEP:
                said = actions.read_message(job.options)
                now = self._now_ms()
                await self._db.write(lambda connection: messages.keep(connection, job.job, said.title, said.text, now))
                self._kept(job.job, said.title, said.text)
            case Step.LOOK:
                await self._look()
            case _:
                self._restart.set()
                await asyncio.Event().wait()
        return job, StepDone(step)

    async def _run(self, job: Job) -> tuple[Job, Event]:
        said = actions.read_run(job.options)
        if job.running:
            # An earlier life started it and it still runs: two at once is what nobody declares itself safe for.
            await in_thread(programs.kill_leftover, job.running)
        try:
            user = await in_thread(user_named, said.user)
        except CanNotBecomeError as error:
            raise _CanNotRunError("run.user", str(error)) from error
        program = _found(said.argv[0])
        gate = Gate(times.read(job.options))
        allowed = gate.allowed(said.timeout_s, begun=job.snapshot.begun, now=self._now_ms())
        if allowed.timeout_s <= 0:
            raise _CanNotRunError(allowed.code, f"The program was not started: {allowed.detail}.")
        try:
            ran = await programs.run_program(
                command_as(user, program, said.argv[1:]),
                cwd=_FOLDER,
                env=_environment(job, user),
                timeout_s=allowed.timeout_s,
                grace_s=allowed.grace_s,
                output_limit=said.output,
                on_started=lambda pid: self._started(job, pid),
                gated=True,
            )
        except OSError as error:
            raise _CanNotRunError("program.start", f"{program} could not be started: {error.strerror}.") from error
        result = ran.result(said.argv)
        return replace(job, running="", programs=(result,)), _end_of(said, ran, allowed)

    async def _started(self, job: Job, pid: int) -> None:
        identity = programs.identity_of(pid)
        await self._db.write(lambda connection: journal.set_running(connection, job.n, identity))


def _end_of(said: actions.Run, ran: programs.Ran, allowed: Allowed) -> Event:
    """What the program's end means."""
    if ran.timed_out:
        return StepFailed(
            Step.RUN, allowed.code, f"The program was killed after {ran.seconds:.0f} s: {allowed.detail}."
        )
    if ran.exit not in said.exits:
        how = f"was ended by signal {-ran.exit}" if ran.exit < 0 else f"ended with status {ran.exit}"
        good = ", ".join(map(str, said.exits))
        return StepFailed(Step.RUN, "program.failed", f"The program {how}; these count as success: {good}.")
    detail = f"The program ended with status {ran.exit}, which counts as success." if ran.exit else ""
    return StepDone(Step.RUN, detail=detail)


def _found(program: str) -> str:
    """The program's absolute path."""
    path = program if program.startswith("/") else shutil.which(program, path=programs.PATH)
    if path is None:
        raise _CanNotRunError("program.start", f"{program} is not to be found in {programs.PATH}.")
    if not Path(path).is_file() or not os.access(path, os.X_OK):
        why = "it may not be executed" if Path(path).is_file() else "there is no such file"
        raise _CanNotRunError("program.start", f"{path} could not be started: {why}.")
    return path


def _environment(job: Job, user: User) -> dict[str, str]:
    """The whole environment of the program."""
    return {"TIERCAST_JOB": job.job, "PATH": programs.PATH, "LANG": "C.UTF-8", **user.environment()}
