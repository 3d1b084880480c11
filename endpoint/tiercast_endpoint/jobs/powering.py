"""Jobs that end the machine's present life: shut it down, restart it (docs/power.md).

Rules
- What is run is the command of the machine's own settings; an order says which of the two, and when, and no more.
- It is journaled before it is run.  In a later life the machine knows whether it went down since: then the job is done;
  if only the agent was killed, the command is run again, which does no harm.
- Its owner defers and rejects such a job as any other, as far as the order lets him; it waits for its window too.
- Every other step is handed on: this is a performer around another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tiercast_endpoint.jobs import journal, programs
from tiercast_endpoint.jobs.install import Event, Step, StepDone, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.run import Performer
from tiercast_protocol.content.jobs.power import SHUTDOWN, TYPES
from tiercast_protocol.node.config import Duration, setting
from tiercast_protocol.node.database import Database

#: Such a command only asks the system to go down, and ends.
_TIMEOUT_S, _OUTPUT = 60.0, 4096
#: In place of a process: the command was begun.
_BEGUN = "power"
_STAT = Path("/proc/stat")


def _command(argv: tuple[str, ...]) -> str | None:
    good = bool(argv) and argv[0].startswith("/") and not any("\0" in one for one in argv)
    return None if good else 'a list whose first word is an absolute path: ["/sbin/shutdown", "-h", "+1"]'


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """What ends the machine's present life when the region orders it."""

    shutdown_command: tuple[str, ...] = setting(
        ("/sbin/shutdown", "-h", "+1"), doc="Shuts the machine down.", check=_command
    )
    reboot_command: tuple[str, ...] = setting(
        ("/sbin/shutdown", "-r", "+1"), doc="Restarts the machine.", check=_command
    )
    boot_id: str = setting("/proc/sys/kernel/random/boot_id", doc="A file with another text after each restart.")
    notice: Duration = setting(
        Duration(300.0),
        doc="Jobs that end the machine's present life begin so long after they came, if its owner may put them off.",
    )
    sleep_delay: Duration = setting(
        Duration(300.0),
        doc="A machine that was woken for a job shuts down so long after it; its owner may keep it awake meanwhile.",
    )


def boot_ms() -> int:
    """When the machine was started, in milliseconds since 1970; 0 where that can't be told."""
    try:
        lines = _STAT.read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1000 for line in lines if line.startswith("btime ")), 0)


async def run_command(argv: Sequence[str], job: str = "") -> programs.Ran:
    """Run one of the two commands.

    Raises:
        OSError: it could not be started.
    """
    env = {"PATH": programs.PATH, "LANG": "C.UTF-8", "TIERCAST_JOB": job}
    return await programs.run_program(argv, cwd=Path("/"), env=env, timeout_s=_TIMEOUT_S, output_limit=_OUTPUT)


class Powering:
    """Performs such jobs, and has `others` perform all others.

    Args:
        db: the agent's journal.
        settings: the commands.
        others: performs the steps of all other jobs.
        booted: gives when the machine was started, in milliseconds.
    """

    def __init__(
        self, db: Database, settings: PowerSettings, others: Performer, booted: Callable[[], int] = boot_ms
    ) -> None:
        self._db, self._settings, self._others, self._booted = db, settings, others, booted

    async def perform(self, job: Job, step: Step, tell: Callable[[int, int], None]) -> tuple[Job, Event]:
        """Perform `step` of `job`."""
        if job.type not in TYPES or step is not Step.RUN:
            return await self._others.perform(job, step, tell)
        if job.running == _BEGUN and self._booted() > job.snapshot.begun:
            return replace(job, running=""), StepDone(step, detail="The machine went down, and is up again.")
        down = job.type == SHUTDOWN
        argv = self._settings.shutdown_command if down else self._settings.reboot_command
        await self._db.write(lambda connection: journal.set_running(connection, job.n, _BEGUN))
        try:
            ran = await run_command(argv, job.job)
        except OSError as error:
            return job, StepFailed(step, "program.start", f"{argv[0]} could not be started: {error.strerror}.")
        said = ran.result(argv)
        job = replace(job, running="", programs=(said,))
        if not ran.ok:
            how = f"ended with status {ran.exit}" if not ran.timed_out else "took too long"
            return job, StepFailed(step, "program.failed", f"{argv[0]} {how}; the machine stays as it is.")
        return job, StepDone(step, detail=f"The machine was told to {'shut down' if down else 'restart'}.")
