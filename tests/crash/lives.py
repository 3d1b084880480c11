"""Lives of an agent that end by SIGKILL at a chosen instant: one process has all imported and forks each life.

    python -m tests.crash.lives        a line of JSON on stdin per life, a line of JSON on stdout when it has ended

Rules
- A life works on a folder, is given orders, and ends when all of their jobs have ended, or before its instant `fatal`;
  0 never comes.
- A package that restarts the machine runs a stand-in, which gives it another id (`boot_id`): the agent starts again.
- Instants are: the moments of the machine, each change of the file system before it is made, each sync, each start of
  a program and every few milliseconds while it runs, and each commit of the journal, before and after.
- The process that forks has no thread and no loop: what is forked is as good as new, and costs a tenth of a start.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.endpoint.lab import Agent, Region, agent_over, unwatched

from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.powering import PowerSettings
from tiercast_endpoint.jobs.restart import Restart
from tiercast_endpoint.jobs.run import Performer, Watch
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.update import starter, trial
from tiercast_endpoint.update.selfupdate import SelfUpdate
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.package import phases
from tiercast_protocol.node.database import Database

REPOSITORY = Path(__file__).parents[2]
#: A file beside the agent's folder that says that its package is the agent's own.
OWN = "own"
#: Likewise: the id of the machine's present life, and the program that gives it another one.
BOOT_ID, REBOOT = "boot_id", "reboot.sh"
#: Audit events that change a file system; `open` only counts when it writes.
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.chmod", "os.truncate", "os.link"}
SECONDS = 120
#: Between two instants of a program that runs.
TICK_S = 0.004
#: So many times faster goes the time in which a new version is to be confirmed.
PACE = 100.0


class Instants:
    """Counts instants, and ends the process at the fatal one."""

    def __init__(self, fatal: int, last_word: int) -> None:
        self._fatal = fatal
        self._last_word = last_word
        self.seen = 0
        self.steps: list[str] = []
        self.on = False
        self.step = "start"
        self._guard = threading.RLock()
        self._runs = threading.Event()

    def __call__(self, what: str) -> None:
        if self.on:
            with self._guard:
                self._count(what)

    def _count(self, what: str) -> None:
        self.seen += 1
        self.steps.append(self.step)
        if self.seen == self._fatal:
            os.write(self._last_word, f"{self.step} {what}".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def watch_all(self) -> None:
        """See whatever changes something from now on."""

        def hook(event: str, args: tuple[object, ...]) -> None:
            writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
            if event in CHANGES or writes or event == "subprocess.Popen":
                self(event)
            if event == "subprocess.Popen":
                self._runs.set()

        def tick() -> None:
            while self._runs.wait():
                time.sleep(TICK_S)
                self("a program runs")

        sys.addaudithook(hook)
        threading.Thread(target=tick, daemon=True).start()
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._counted(getattr(os, name), name))
        write = Database.write

        async def committed(db: Database, unit: Any) -> Any:
            if "set_running" not in unit.__code__.co_names:
                self._runs.clear()
            self("before a commit")
            done = await write(db, unit)
            self("after a commit")
            return done

        Database.write = committed  # type: ignore[method-assign]
        self.on = True

    def _counted(self, plain: Callable[..., None], name: str) -> Callable[..., None]:
        def counted(fd: int) -> None:
            self(name)
            plain(fd)

        return counted

    async def moment(self, moment: str, step: Step) -> None:
        """What the machine is at."""
        self.step = step.value
        self(moment)


async def live(folder: Path, fatal: int, last_word: int) -> list[str]:
    """One life, or its last word to a descriptor; the step of each of its instants."""
    instants = Instants(fatal, last_word)
    region, chunks, orders = pickle.loads((folder / "orders.pickle").read_bytes())  # noqa: S301 - our own
    instants.watch_all()
    async with ended(folder, region, chunks, orders, instants.moment):
        instants.on = False
    return instants.steps


@asynccontextmanager
async def ended(
    folder: Path, region: Region, chunks: dict[bytes, bytes], orders: list[Order], watch: Watch = unwatched
) -> AsyncIterator[Agent]:
    """An agent all of whose jobs have ended; where it updates itself, after the starts that this takes."""
    while True:
        restart, power = Restart(), power_of(folder)
        wrap = _own(folder / "agent", restart) if (folder / OWN).exists() else None
        async with agent_over(
            folder / "agent", region, watch=watch, chunks=chunks, wrap=wrap, pace=PACE, reboots=power
        ) as agent:
            async with asyncio.TaskGroup() as tasks:
                over = tasks.create_task(carry_out(agent, orders))
                again = tasks.create_task(restart.asked.wait())
                down = tasks.create_task(_restarted(Path(power.boot_id)))
                await asyncio.wait([over, again, down], return_when=asyncio.FIRST_COMPLETED)
                done = over.done()
                for task in (over, again, down):
                    task.cancel()
            if done:
                yield agent
                return


def power_of(folder: Path) -> PowerSettings:
    """What stands in for the command that restarts the machine, and for the id of its present life."""
    return PowerSettings(reboot_command=(str(folder / REBOOT),), boot_id=str(folder / BOOT_ID))


async def _restarted(boot_id: Path) -> None:
    """Until the machine has another life."""
    life = boot_id.read_bytes()
    while boot_id.read_bytes() == life:  # noqa: ASYNC110 - a file that another process writes
        await asyncio.sleep(0.005)


def _own(folder: Path, restart: Restart) -> Callable[[Performer], Performer]:
    """What a starter does before it becomes the agent: choose a version, and remember that."""
    file = folder / starter.FILE
    record, tree = trial.start(starter.load(file), starter.installed(folder / "root", "hello"), int(time.time() * 1000))
    starter.save(file, record)

    def wrap(inner: Performer) -> Performer:
        return SelfUpdate(inner, folder=folder, package="hello", running=tree, restart=restart, connected=lambda: True)

    return wrap


async def carry_out(agent: Agent, orders: list[Order]) -> None:
    """Give all orders, as a parent does that heard nothing, and wait for the ends of their jobs.

    What is ordered in steps is ordered further as each step is done.
    """
    for order in orders:
        await agent.order(order)
        step = phases.step_of(order.options)
        while step and not _far(await agent.row(order.job), step):  # noqa: ASYNC110 - its row is looked up
            await asyncio.sleep(0.005)
    for order in orders:
        if not phases.step_of(order.options):
            await agent.ended(order.job, order.revision)


def _far(job: Job, step: str) -> bool:
    """Whether the job has done this step, or more."""
    waits = {phases.PREPARE: {phases.PREPARED, phases.COMMITTED}, phases.COMMIT: {phases.COMMITTED}}
    return bool(job.finished) or job.code in waits.get(step, set())


def serve() -> None:
    """Fork lives until stdin ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        read_end, write_end = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            os.dup2(2, 1)
            steps = asyncio.run(live(Path(asked["folder"]), asked["fatal"], write_end))
            os.write(write_end, " ".join(steps).encode())
            os._exit(0)
        os.close(write_end)
        _, status = os.waitpid(pid, 0)
        # A program that the life has started may hold this end open: what is there is there.
        os.set_blocking(read_end, False)
        try:
            said = os.read(read_end, 1 << 20).decode()
        except BlockingIOError:
            said = ""
        os.close(read_end)
        sys.stdout.write(json.dumps({"exit": os.waitstatus_to_exitcode(status), "said": said}) + "\n")
        sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Life:
    """How one ended: `at` is "<step> <instant>" of a kill, `steps` those of the instants of one that lived on."""

    killed: bool
    at: str = ""
    steps: tuple[str, ...] = ()


class Nursery:
    """The process that forks lives."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def life(self, folder: Path, fatal: int = 0) -> Life:
        """One life over `folder/agent`, with the orders in `folder/orders.pickle`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), "fatal": fatal}) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        if told["exit"] == -signal.SIGKILL:
            return Life(killed=True, at=told["said"])
        assert told["exit"] == 0, f"the life ended with {told['exit']}"
        return Life(killed=False, steps=tuple(told["said"].split()))


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A process that forks lives, while the block runs."""
    path = ":".join([str(REPOSITORY), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.lives"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Nursery(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(SECONDS)


if __name__ == "__main__":
    serve()
