"""Performs the confirmation of a package: runs its health program, and looks for parents (docs/transactions.md).

Rules
- Every other step is handed on: this is a performer around another.
- The health program runs in the new tree, as often as it takes; of two halves the root half runs it, as it does all
  programs of packages.
- What was counted stands in the journal, synced, before the next try: a kill loses nothing of it but that try.
- Parents are sought only where the package needs one and none is connected: a connection to the address of each that
  the region names, which says nothing and is closed at once.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from tiercast_endpoint.jobs import journal, programs
from tiercast_endpoint.jobs.confirm import Confirm, Confirmed, Count, GoBack, Keep, Tried, TryAt
from tiercast_endpoint.jobs.events import Event, StepDone, StepFailed
from tiercast_endpoint.jobs.faults import translated
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees.materials import Materials, Progress
from tiercast_endpoint.trees.selection import Selection
from tiercast_protocol.content.jobs.receipt import ProgramResult
from tiercast_protocol.content.package.confirmed import Confirmation
from tiercast_protocol.content.package.variables import fill
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.roaming import Roaming
from tiercast_protocol.node.upstream import Upstream

log = structlog.get_logger(__name__)

#: What was counted for a job that is being confirmed.
SCHEMA = """
CREATE TABLE confirming (
    n INTEGER PRIMARY KEY, spent INTEGER NOT NULL, outage INTEGER NOT NULL, lives INTEGER NOT NULL
);
"""
_OUTPUT = 16 << 10
#: Seconds for which a parent's address may take to answer.
_KNOCK_S = 3.0
#: Asks a program of the job where it may run, and tells by its words what was asked; it never fails.
Elsewhere = Callable[[Job, Sequence[str]], Awaitable[ProgramResult]]
_CLASS = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Parents:
    """What is known of parents: whether one is connected, and the addresses of all that the region names."""

    connected: Callable[[], bool]
    urls: Callable[[], Iterable[str]]


class Confirming:
    """Performs that step, and has `steps` perform all others.

    Args:
        db: the agent's journal.
        materials: the package's definition.
        root: the install root.
        steps: performs the other steps.
        parents: whom a package may need.
        elsewhere: asks the health program where that is another half's; it answers whatever came of it.
        now_ms: a clock that never goes back.
        sleep: waits so many seconds of that clock.
    """

    def __init__(
        self,
        *,
        db: Database,
        materials: Materials,
        root: Path,
        steps: Performer,
        parents: Parents,
        elsewhere: Elsewhere | None = None,
        now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._db, self._materials, self._root, self._steps = db, materials, root, steps
        self._parents, self._now_ms, self._sleep, self._elsewhere = parents, now_ms, sleep, elsewhere

    async def perform(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        """Perform `step` of `job`."""
        if step is not Step.CONFIRM:
            return await self._steps.perform(job, step, tell)
        return await translated(job, step, lambda: self._confirm(job, step), self._materials.free)

    async def _confirm(self, job: Job, step: Step) -> tuple[Job, Event]:
        if (terms := terms_of(await self._materials.selection(job))) is None:
            return job, StepDone(step)
        machine = Confirm(terms, await self._db.read(lambda c: _counted(c, job.n)), now=self._now_ms())
        await self._keep(job, machine.count)
        while True:
            job, result = await self._try(job, terms)
            tried = replace(await self._seen(terms), ok=result.exit == 0 and not result.timed_out)
            for command in machine.handle(tried, now=self._now_ms()):
                match command:
                    case Keep(count):
                        await self._keep(job, count)
                    case TryAt(at):
                        await self._sleep(max(0, at - self._now_ms()) / 1000)
                    case Confirmed():
                        await self._forget(job)
                        return replace(job, programs=(*job.programs, result)), StepDone(step)
                    case GoBack(detail):
                        log.warning("not confirmed", job=job.job, package=job.package, detail=detail)
                        await self._forget(job)
                        failed = StepFailed(step, "confirm.timeout", detail)
                        return replace(job, programs=(*job.programs, result)), failed

    async def _try(self, job: Job, terms: Confirmation) -> tuple[Job, ProgramResult]:
        if self._elsewhere is None:
            return await ask_health(self._db, self._root, job, terms)
        return job, await self._elsewhere(job, terms.argv)

    async def _seen(self, terms: Confirmation) -> Tried:
        connected = self._parents.connected()
        if not terms.needs_gateway or connected:
            return Tried(ok=False, connected=connected)
        urls = list(dict.fromkeys(self._parents.urls()))
        knocks = [knock(url) for url in urls]
        return Tried(
            ok=False,
            connected=False,
            reachable=any(await asyncio.gather(*knocks)),
            network=await in_thread(network_up, urls),
        )

    async def _keep(self, job: Job, count: Count) -> None:
        row = (job.n, count.spent, count.outage, count.lives)
        await self._db.write(lambda c: c.execute("INSERT OR REPLACE INTO confirming VALUES (?,?,?,?)", row))

    async def _forget(self, job: Job) -> None:
        await self._db.write(lambda c: c.execute("DELETE FROM confirming WHERE n=?", (job.n,)))


async def ask_health(db: Database, root: Path, job: Job, terms: Confirmation) -> tuple[Job, ProgramResult]:
    """Ask the health program of the tree of `job` once."""
    if job.running:
        await in_thread(programs.kill_leftover, job.running)
    tree = root / job.tree

    async def started(pid: int) -> None:
        identity = programs.identity_of(pid)
        await db.write(lambda connection: journal.set_running(connection, job.n, identity))

    try:
        path = await in_thread(programs.executable, terms.argv[0], tree)
        ran = await programs.run_program(
            [str(path), *terms.argv[1:]],
            cwd=tree,
            env=programs.environment(package=job.package, version=job.version, job=job.job, tree=tree),
            timeout_s=terms.timeout_s,
            output_limit=_OUTPUT,
            on_started=started,
        )
    except OSError as error:
        # It may be there the next time; what never starts never confirms.
        output = f"could not be started: {error.strerror}"
        return job, ProgramResult(argv=list(terms.argv), exit=127, timed_out=False, seconds=0.0, output=output)
    return replace(job, running=""), ran.result(terms.argv)


def terms_of(taken: Selection) -> Confirmation | None:
    """The confirmation of a package's sealed definition, with its variables filled in."""
    if (terms := taken.definition.confirm) is None:
        return None
    return replace(terms, argv=(terms.argv[0], *(fill(one, taken.values) for one in terms.argv[1:])))


def _counted(connection: sqlite3.Connection, n: int) -> Count | None:
    row = connection.execute("SELECT spent, outage, lives FROM confirming WHERE n=?", (n,)).fetchone()
    return Count(*row) if row else None


async def knock(url: str) -> bool:
    """Whether somebody answers at the address of a broker."""
    parts = urlsplit(url)
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(_KNOCK_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 1883)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            return True
    return False


def network_up(urls: Iterable[str], folder: Path = _CLASS) -> bool:
    """Whether a network by which these could be reached is up: for parents on this very machine it always is."""
    if any((urlsplit(url).hostname or "") in {"127.0.0.1", "::1", "localhost"} for url in urls):
        return True
    with suppress(OSError):
        for one in folder.iterdir():
            with suppress(OSError):
                if one.name != "lo" and (one / "operstate").read_text(encoding="ascii").strip() in {"up", "unknown"}:
                    return True
    return False


def around(
    steps: Performer,
    db: Database,
    materials: Materials,
    root: Path,
    upstream: Upstream,
    roaming: Roaming,
    elsewhere: Elsewhere | None,
) -> Confirming:
    """The performer that confirms by this agent's own parents."""

    def urls() -> list[str]:
        now = roaming.machine.standing
        return [now.present.url, now.home.parent.url, *(one.parent.url for one in now.candidates)]

    parents = Parents(lambda: upstream.connected, urls)
    return Confirming(db=db, materials=materials, root=root, steps=steps, parents=parents, elsewhere=elsewhere)
