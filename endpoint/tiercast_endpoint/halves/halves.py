"""The network half: fetches, and has the root half do what changes the machine (docs/agent.md, "Two halves").

Rules
- Content is fetched into this half's own store; nothing is written into the install root, and nothing is placed there.
- Every step from assembling on is asked of the root half, with the order as it was signed; it answers the step's event.
- The root half is begun by its socket: an answer that does not come because it ended is asked for again, for it knows
  from its own journal what it did.  One that can't be reached for `PATIENCE_S` fails the step.
- What is installed is mirrored after each step, for whoever asks this half: inventory, `packages`, patches.
- The line is closed when nothing was asked for a few seconds: only then can the root half go.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import structlog

from tiercast_endpoint.facts.checking import not_started
from tiercast_endpoint.halves.borrowed import TOGETHER
from tiercast_endpoint.halves.line import Line, Refusal
from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.events import Event, StepDone, StepFailed
from tiercast_endpoint.jobs.faults import translated
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.jobs.story import REMOVE, Plan, Step
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.holdings import Installed, Tree
from tiercast_endpoint.trees.materials import Failed, Materials, Progress
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.sources import Sources
from tiercast_endpoint.trees.verifying import Beyond
from tiercast_protocol.content.jobs.receipt import ActionResult, ProgramResult
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, MessageInvalid, StoreFull
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import OrderBundle

log = structlog.get_logger(__name__)

#: Orders as they were signed, for the root half.
SCHEMA = """
CREATE TABLE signed (
    job TEXT NOT NULL, revision INTEGER NOT NULL, expires INTEGER NOT NULL, bundle BLOB NOT NULL,
    PRIMARY KEY (job, revision)
) WITHOUT ROWID;
"""
#: Seconds for which the root half may be away, and between two tries.
PATIENCE_S, AGAIN_S = 30.0, 0.5
#: The line is closed so long after the last question.
CLOSE_S = 5.0
#: Digests in one question.
_MOST = 2048
#: Orders to remove others that are shown with one.
_BESIDE = 50
#: Steps that only this half can do.
_OWN = frozenset({Step.KEEP, Step.LOOK, Step.RESTART})


class Halves:
    """Performs steps by asking the root half (`Performer`).

    Args:
        db: this half's journal, with the table of `SCHEMA`.
        materials: content, and how it is fetched.
        own: performs what changes nothing.
        path: the root half's socket.
    """

    def __init__(self, *, db: Database, materials: Materials, own: Performer, path: Path) -> None:
        self._db = db
        self._materials = materials
        self._own = own
        self._path = path
        self._line: Line | None = None
        self._opening = asyncio.Lock()
        self._tasks: asyncio.TaskGroup | None = None
        self._runs = asyncio.Event()
        #: Who hears how far a job's step has come.
        self._tells: dict[str, Progress] = {}
        materials.use_sources(Asked(self.ask))

    async def run(self) -> None:
        """Keep the line, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._runs.set()
            await asyncio.Event().wait()

    async def hear(self, bundle: OrderBundle, job: str, revision: int, expires: int) -> None:
        """Keep an order that was proved, until long after its end; before anything of it is journaled."""
        kept = codec.encode(msgspec.structs.replace(bundle, offers=[]))

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM signed WHERE expires<?", (expires - 2 * journal.KEEP_MS,))
            connection.execute("INSERT OR IGNORE INTO signed VALUES (?,?,?,?)", (job, revision, expires, kept))

        await self._db.write(write)

    async def perform(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        """Perform `step` of `job`."""
        if step in _OWN:
            return await self._own.perform(job, step, tell)
        return await translated(job, step, lambda: self._perform(job, step, tell), self._materials.free)

    async def beyond(self, job: Job) -> Beyond:
        """How what the installed version did outside of its tree stands, by the root half's word."""
        try:
            said = await self.ask("verify", package=job.package)
            return Beyond(*msgspec.convert(said, tuple[list[tuple[str, str]], int, list[str]]))
        except Refusal:
            # One of an earlier version, which knows of no such question.
            return Beyond(unseen=["what actions did: the root half is older than this question"])
        except ValueError as error:
            raise Failed("agent.bug", f"The root half's answer can't be read: {error}.") from error

    async def inside(self, one: Installed) -> tuple[list[tuple[str, str]], int]:
        """How the tree of an installed package stands, by the root half, which may read all of it."""
        try:
            return msgspec.convert(await self.ask("inside", package=one.package), tuple[list[tuple[str, str]], int])
        except Refusal as error:
            raise Failed(error.code, error.detail) from error
        except ValueError as error:
            raise Failed("agent.bug", f"The root half's answer can't be read: {error}.") from error

    async def health(self, job: Job, argv: Sequence[str]) -> ProgramResult:
        """The answer of the package's health program, which the root half asks."""
        return await self._program("health", job, argv)

    async def check(self, job: Job, argv: Sequence[str]) -> ProgramResult:
        """The answer of the package's own check, which the root half asks."""
        return await self._program("check", job, argv)

    async def reboot(self, job: Job) -> tuple[bool, int, bool]:
        """Have the root half restart the machine; whether its command ended well, its status, whether it took too long.

        Raises:
            Failed: it won't, or can't be reached.
        """
        try:
            return msgspec.convert(await self._errand("reboot", job), tuple[bool, int, bool])
        except Refusal as error:
            raise Failed(error.code, error.detail) from error

    async def _program(self, verb: str, job: Job, argv: Sequence[str]) -> ProgramResult:
        try:
            return msgspec.convert(await self._errand(verb, job), ProgramResult)
        except (Refusal, Failed) as error:
            return not_started(argv, f"could not be asked: {error.detail}")

    async def _errand(self, verb: str, job: Job) -> Any:
        bundle = await self._bundle(job, job.revision)
        if bundle is None:
            raise Failed("half.order-missing", "The order came before the agent had two halves; order it again.")
        return await self.ask(verb, bundle=bundle)

    async def _perform(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        materials = self._materials
        if step is Step.PLAN:
            tell(0, 0)
            await materials.head(job)
            await materials.store.sync()
        elif step is Step.FETCH:
            await materials.fetch(job, tell)
            await materials.sync()
            return job, StepDone(step)
        done, event = await self._asked(job, step, tell)
        ended = step is Step.DISCARD and done.snapshot.outcome is not None
        if (step is Step.SETTLE or (ended and _in_order(done))) and isinstance(event, StepDone):
            await materials.evict_of(done)
        elif step is Step.DELETE:
            await materials.evict_unneeded()
        return done, event

    async def _asked(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        bundle, further = await self._bundle(job, job.revision), await self._bundle(job, job.answers)
        if bundle is None:
            raise Failed("half.order-missing", "The order came before the agent had two halves; order it again.")
        outcome = job.snapshot.outcome
        said = None if outcome is None else [outcome.state, outcome.code, outcome.detail]
        self._tells[job.job] = tell
        beside = await self._beside(job) if step in {Step.TAKE, Step.UNLINK} else []
        try:
            answer = await self.ask(
                "perform", bundle=bundle, further=further, step=step.value, outcome=said, beside=beside
            )
        except Refusal as error:
            return job, StepFailed(step, error.code, error.detail)
        finally:
            self._tells.pop(job.job, None)
        return await self._take(job, step, answer)

    async def _beside(self, job: Job) -> list[bytes]:
        """The signed orders by which others are to be removed as well: they do not need what this one removes."""
        rows = await self._db.read(journal.open_jobs)
        others = [one for one in rows if one.type == REMOVE and one.job != job.job]
        found = [await self._bundle(one, one.revision) for one in others[:_BESIDE]]
        return [one for one in found if one is not None]

    async def _bundle(self, job: Job, revision: int) -> bytes | None:
        """The order of this revision, as it was signed."""
        query = "SELECT bundle FROM signed WHERE job=? AND revision=?"
        row = await self._db.read(lambda c: c.execute(query, (job.job, revision)).fetchone())
        return None if row is None else bytes(row[0])

    async def _take(self, job: Job, step: Step, answer: Any) -> tuple[Job, Event]:
        try:
            event = _event_of(answer["event"])
            if event.step is not step:
                raise MessageInvalid("an answer to another step")  # noqa: TRY301 - one way for all
            programs = tuple(msgspec.convert(answer["programs"], list[ProgramResult]))
            actions = tuple(msgspec.convert(answer.get("actions", []), list[ActionResult]))
            job = replace(job, programs=programs, actions=actions, **_columns_of(answer["job"]))
            await self._mirror(job.package, answer["installed"])
        except (KeyError, TypeError, ValueError, MessageInvalid) as error:
            raise Failed("agent.bug", f"The root half's answer can't be read: {error}.") from error
        return job, event

    async def _mirror(self, package: str, shown: Mapping[str, Any]) -> None:
        installed = [Installed(**one) for one in shown["installed"]]
        trees = [Tree(**one) for one in shown["trees"]]
        if not package:
            return

        def write(connection: sqlite3.Connection) -> None:
            for tree in holdings.trees(connection, package):
                holdings.remove_tree(connection, tree.tree)
            holdings.unset_installed(connection, package)
            for tree in trees:
                holdings.add_tree(connection, tree)
            for one in installed:
                holdings.set_installed(connection, one)

        await self._db.write(write)

    # -- the line --------------------------------------------------------------------------------------

    async def ask(self, verb: str, **args: Any) -> Any:
        """The root half's answer; it is begun for that where it does not run.

        Raises:
            Refusal: it won't.
            Failed: it can't be reached.
        """
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                line = await self._open()
                return await line.ask(verb, **args)
            except OSError as error:
                if asyncio.get_running_loop().time() > deadline:
                    detail = f"The root half does not answer at {self._path}: {error.strerror or error}."
                    raise Failed("half.away", f"{detail} See `systemctl status tiercast-root.socket`.") from error
            await asyncio.sleep(AGAIN_S)

    async def _open(self) -> Line:
        async with self._opening:
            if self._line is not None and not self._line.ended:
                return self._line
            await self._runs.wait()
            if self._tasks is None:
                raise RuntimeError("not running")
            reader, writer = await asyncio.open_unix_connection(str(self._path), limit=1 << 20)
            self._line = Line(reader, writer, self._answer)
            self._tasks.create_task(self._live(self._line))
            self._tasks.create_task(self._close_when_idle(self._line))
            return self._line

    async def _live(self, line: Line) -> None:
        try:
            await line.run()
        except MessageInvalid as error:
            log.warning("root half sent garbage", reason=str(error))

    async def _close_when_idle(self, line: Line) -> None:
        while not line.ended:
            before = line.count
            await asyncio.sleep(CLOSE_S)
            if line.count == before and not line.busy:
                line.close()

    async def _answer(self, verb: str, args: Mapping[str, Any]) -> Any:
        if verb == "progress" and (tell := self._tells.get(str(args.get("job")))) is not None:
            tell(int(args.get("done", 0)), int(args.get("total", 0)))
        elif verb == "chunk":
            return await self._stored(args.get("digest"))
        elif verb == "chunks" and isinstance(digests := args.get("digests"), list):
            return [await self._stored(digest) for digest in digests[:TOGETHER]]
        elif verb == "fetch" and isinstance(digests := args.get("digests"), list):
            return await self._fetched([one for one in digests if isinstance(one, bytes)], str(args.get("job", "")))
        return None

    async def _fetched(self, digests: Sequence[bytes], job: str) -> bool:
        """Bring these from above, as far as they are not here; whether all came."""
        try:
            await self._materials.bring(digests, job)
        except (ChunkMissing, StoreFull):
            return False
        return True

    async def _stored(self, digest: Any) -> bytes | None:
        with suppress(ChunkMissing, ChunkCorrupt):
            return await self._materials.store.get(digest) if isinstance(digest, bytes) else None
        return None


class Asked(Sources):
    """Chunks of installed files, as the root half reads them."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    async def known(self, digests: Sequence[bytes]) -> set[bytes]:
        """As `Sources`."""
        return set(await self._many("known", digests))

    async def lengths(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        """As `Sources`."""
        return dict(await self._many("lengths", digests))

    async def read(self, digest: bytes) -> bytes:
        """As `Sources`; proved by the root half, and again here."""
        try:
            raw = await self._ask("read", digests=[digest])
        except (Refusal, Failed) as error:
            raise ChunkMissing(digest) from error
        if not isinstance(raw, bytes) or digest_of(raw) != digest:
            raise ChunkMissing(digest)
        return raw

    async def _many(self, verb: str, digests: Sequence[bytes]) -> list[Any]:
        found: list[Any] = []
        try:
            for at in range(0, len(digests), _MOST):
                found += await self._ask(verb, digests=list(digests[at : at + _MOST]))
        except (Refusal, Failed) as error:
            log.warning("root half does not say what it holds", reason=str(error))
        return found


class SeenRoot(RootFolder):
    """The install root as the network half sees it: it only looks."""

    @property
    def there(self) -> Path:
        """The nearest folder that exists: the root half makes the root itself."""
        path = self.path
        while not path.exists() and path != path.parent:
            path = path.parent
        return path

    def free(self) -> int:
        """Bytes free on its file system."""
        state = os.statvfs(self.there)
        return state.f_bavail * state.f_frsize


def _event_of(said: Any) -> StepDone | StepFailed:
    kind, fields = said
    if kind == StepDone.__name__:
        plan = fields.pop("plan", None)
        return StepDone(Step(fields.pop("step")), Plan(**plan) if plan else None, **fields)
    if kind == StepFailed.__name__:
        return StepFailed(Step(fields.pop("step")), **fields)
    raise MessageInvalid(f"an event {str(kind)[:40]!r}")


def _columns_of(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("running", "tree", "made", "previous")}


def _in_order(job: Job) -> bool:
    """Whether what ended it is no failure: what failed may be ordered again, and keeps its chunks."""
    outcome = job.snapshot.outcome
    return outcome is not None and outcome.state in {"done", "cancelled", "expired"}
