"""What each step of a job does: the installer's hands (docs/on-the-endpoint.md).

Rules
- One public coroutine, `perform`; it returns the job's new row and the machine's event, and never decides what follows.
- Every step may be performed again after a crash.
- Errors of the disk, the package and the stores become `StepFailed` with a stable code; anything else is a bug
  of ours, is logged, and fails the job with the code `agent.bug`, for a job must end.
- The manifest of what is installed (root and lists) stays in the store; data chunks go when the tree stands.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from tiercast_endpoint import checked, journal, programs
from tiercast_endpoint.assemble import ENTRY_COST, Assembler, is_full
from tiercast_endpoint.install import INSTALL, Event, Plan, Step, StepDone, StepFailed
from tiercast_endpoint.journal import Job
from tiercast_endpoint.root_folder import RootFolder
from tiercast_endpoint.sources import Sources
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.tree import ALL_MODES, PLAIN_MODES, TreeError
from tiercast_protocol.content.chunk import unseal
from tiercast_protocol.content.definition import Definition, Program, parse_definition
from tiercast_protocol.content.manifest import Root
from tiercast_protocol.content.receipt import ProgramResult
from tiercast_protocol.errors import (
    ChunkCorrupt,
    ChunkMissing,
    ConfigError,
    ProtocolError,
    StoreFull,
)
from tiercast_protocol.node import fetch
from tiercast_protocol.node.chunks.port import WritableStore
from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)

Digest = bytes
#: Told bytes done and bytes in all of the present step.
Progress = Callable[[int, int], None]


#: Stored bytes up to which unpacking (some 0.2 ms) costs less than a thread's turn.
_UNSEAL_HERE = 48 << 10


class EvictingStore(WritableStore, Protocol):
    """A store that gives chunks up."""

    async def evict(self, digests: Sequence[Digest]) -> int:
        """Drop these; returns how many went."""
        ...

    async def digests(self) -> list[Digest]:
        """All that is held."""
        ...

    async def sync(self) -> None:
        """All that was put is durable when this returns."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What the installer keeps to.

    Attributes:
        reserve: bytes to leave free on every disk.
        keep_previous: whether one older version is kept for undo.
        ask_again_s: pauses before chunks are asked for again that no tier above held: one may be coming up just now.
    """

    reserve: int = 64 << 20
    keep_previous: bool = True
    ask_again_s: tuple[float, ...] = (1.0, 5.0)


class Failed(Exception):
    """The step can't be done: a stable code and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(code)


class Steps:
    """Performs steps on one install root.

    Args:
        db: the agent's journal.
        root: the install root, open.
        store: staged chunks.
        fetcher: brings chunks into the store.
        store_free: bytes free for us where the store lies, and whether that is the root's file system.
        limits: see `Limits`.
        now_ms: the clock.
    """

    def __init__(
        self,
        *,
        db: Database,
        root: RootFolder,
        store: EvictingStore,
        fetcher: fetch.Fetcher,
        store_free: Callable[[], tuple[int, bool]],
        limits: Limits,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._root = root
        self._store = store
        self._fetcher = _Patient(fetcher, limits.ask_again_s)
        self._store_free = store_free
        self._limits = limits
        self._now_ms = now_ms
        self._sources = Sources(db, root.path)
        self._doing = {
            Step.PLAN: self._plan,
            Step.FETCH: self._fetch,
            Step.ASSEMBLE: self._assemble,
            Step.BEFORE: self._run,
            Step.SWITCH: self._switch,
            Step.AFTER: self._run,
            Step.UNDO: self._undo,
            Step.SETTLE: self._settle,
            Step.DISCARD: self._discard,
            Step.UNLINK: self._unlink,
            Step.DELETE: self._delete,
        }

    async def perform(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:  # noqa: PLR0911 - one per error
        """Perform `step` of `job`."""
        try:
            return await self._doing[step](job, step, tell)
        except Failed as error:
            return job, StepFailed(step, error.code, error.detail)
        except TreeError as error:
            return job, StepFailed(step, error.code, error.detail)
        except StoreFull as error:
            return job, StepFailed(step, "disk.full", f"{error.needed} bytes were to be stored, {error.free} are free.")
        except ChunkMissing as error:
            return job, StepFailed(step, "chunk.missing", f"{error}, nor by any tier above.")
        except (ProtocolError, ConfigError, ChunkCorrupt) as error:
            return job, StepFailed(step, "package.invalid", str(error))
        except OSError as error:
            if is_full(error):
                free = await in_thread(self._root.free)
                return job, StepFailed(
                    step, "disk.full", f"The disk was full while writing; {free} bytes are free now."
                )
            return job, StepFailed(step, "disk.error", f"{error.strerror} ({type(error).__name__})")
        except Exception as error:
            # A job must end, whatever is wrong with us.
            log.exception("step failed", step=step, job=job.job)
            return job, StepFailed(
                step, "agent.bug", f"The agent failed ({type(error).__name__}); its log has the details."
            )

    # -- towards a tree that stands ------------------------------------------------------------------

    async def _plan(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        tell(0, 0)
        await in_thread(self._root.current, job.package)  # a foreign path is told before anything is fetched
        head, definition = await self._head(job)
        # Every later step reads the manifest: a crash must not send one of them back to the network.
        await self._store.sync()
        before = definition.run_before.idempotent if definition.run_before else None
        after = definition.run_after.idempotent if definition.run_after else None
        current = await in_thread(self._root.current, job.package)
        standing = await self._standing(job, head, current)
        if standing is not None:
            plan = Plan(ready=True, current=standing == current, before=before, after=after)
            return replace(job, tree=standing, made=False), StepDone(step, plan)
        await self._check_space(head)
        return job, StepDone(step, Plan(before=before, after=after))

    async def _standing(self, job: Job, head: Root, current: str | None) -> str | None:
        """A tree of this content that stands whole, the current one first."""
        known = await self._db.read(lambda connection: journal.trees(connection, job.package))
        found = sorted((t.tree for t in known if t.root == job.root), key=lambda tree: tree != current)
        for tree in found:
            problem = await checked.first_difference(
                self._root.path / tree, fetch.read_entries(head, self._store), modes=await self._modes(job)
            )
            if problem is None:
                return tree
            log.warning("installed tree differs", job=job.job, package=job.package, tree=tree, problem=problem)
        return None

    async def _check_space(self, head: Root) -> None:
        chunks = await fetch.data_chunks(head, self._store)
        elsewhere = await self._sources.known(list(chunks))
        fetched = 0
        for digest, length in chunks.items():
            if digest not in elsewhere and not await self._store.has(digest):
                fetched += length
        built = head.size + ENTRY_COST * (head.files + 1)
        if (short := self._short(fetched, built)) is None:
            return
        await self._evict_unneeded()
        if (short := self._short(fetched, built)) is not None:
            raise Failed("disk.short", short)

    def _short(self, fetched: int, built: int) -> str | None:
        store_free, same = self._store_free()
        root_free, reserve = self._root.free(), self._limits.reserve
        needs = [(fetched + built, root_free)] if same else [(fetched, store_free), (built, root_free)]
        for need, free in needs:
            if need + reserve > free:
                return (
                    f"{need} bytes are needed ({fetched} to fetch, {built} to build) and {reserve} are to stay free;"
                    f" {free} bytes are free."
                )
        return None

    async def _fetch(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        head, _ = await self._head(job)
        elsewhere = await self._sources.known(list(await fetch.data_chunks(head, self._store)))
        await fetch.fetch_package(job.root, self._fetcher, self._store, have=elsewhere.__contains__, on_progress=tell)
        return job, StepDone(step)

    async def _assemble(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        head, definition = await self._head(job)
        folder = await in_thread(self._root.fresh_staging, job.key)
        assembler = Assembler(
            folder,
            self._raw,
            lambda written: tell(written, head.size),
            modes=await self._modes(job),
            case_collisions=definition.allow_case_collisions,
        )
        await assembler.run(head, fetch.read_entries(head, self._store))
        tree = await in_thread(self._root.adopt, job.key, job.package, job.root)
        row = journal.Tree(tree, job.package, job.version, job.package_revision, job.root, head.files, head.size)
        await self._db.write(lambda connection: journal.add_tree(connection, row))
        return replace(job, tree=tree, made=True), StepDone(step)

    async def _raw(self, digest: Digest) -> bytes:
        """Raw bytes of a chunk: out of the store, else of installed files, else from above."""
        try:
            stored = await self._store.get(digest)
        except ChunkCorrupt:
            log.warning("staged chunk damaged", digest=digest.hex())
            await self._store.evict([digest])
        except ChunkMissing:
            try:
                return await self._sources.read(digest)
            except ChunkMissing:
                pass
        else:
            return await _unseal(digest, stored)
        await self._fetcher.fetch([digest])
        return await _unseal(digest, await self._store.get(digest))

    # -- programs --------------------------------------------------------------------------------------

    async def _run(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        tell(0, 0)
        _, definition = await self._head(job)
        program = definition.run_before if step is Step.BEFORE else definition.run_after
        which = "run-before" if step is Step.BEFORE else "run-after"
        if program is None:
            return job, StepDone(step)
        if job.running:
            # An earlier life started it and it still runs: two at once is what nobody declares itself safe for.
            await in_thread(programs.kill_leftover, job.running)
        tree = self._root.path / job.tree
        try:
            ran = await programs.run_program(
                program.argv,
                cwd=tree,
                env=programs.environment(package=job.package, version=job.version, job=job.job, tree=tree),
                timeout_s=program.timeout_s,
                output_limit=program.output_limit,
                on_started=lambda pid: self._started(job, pid),
            )
        except OSError as error:
            raise Failed("program.start", f"{which} could not be started: {error.strerror}.") from error
        job = replace(job, running="", programs=(*job.programs, _result_of(program, ran)))
        if ran.ok:
            return job, StepDone(step)
        if ran.timed_out:
            return job, StepFailed(
                step, "program.timeout", f"{which} was killed after its {program.timeout_s} seconds."
            )
        how = f"was ended by signal {-ran.exit}" if ran.exit < 0 else f"ended with status {ran.exit}"
        return job, StepFailed(step, "program.failed", f"{which} {how}.")

    async def _started(self, job: Job, pid: int) -> None:
        identity = programs.identity_of(pid)
        await self._db.write(lambda connection: journal.set_running(connection, job.n, identity))

    # -- the name --------------------------------------------------------------------------------------

    async def _switch(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        if job.previous is None:
            job = replace(job, previous=await in_thread(self._root.current, job.package) or "")
            # Written down before the rename: it is what an undo goes back to.
            await self._db.write(lambda connection: journal.set_previous(connection, job.n, job.previous or ""))
        if not await in_thread(self._root.exists, job.tree):
            raise Failed("tree.gone", "The assembled tree is gone from the install root.")
        await in_thread(self._root.switch, job.package, job.tree)
        return job, StepDone(step)

    async def _undo(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        if job.running:
            await in_thread(programs.kill_leftover, job.running)
        if job.previous:
            await in_thread(self._root.switch, job.package, job.previous)
        elif job.previous is not None:
            await in_thread(self._root.unlink, job.package)
        return replace(job, running=""), StepDone(step)

    async def _settle(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        previous = await self._kept_for_undo(job)
        row = journal.Installed(
            *(job.package, job.version, job.package_revision, job.root, job.tree, previous, job.job, self._now_ms())
        )
        await self._db.write(lambda connection: journal.set_installed(connection, row))
        head, _ = await self._head(job)
        if job.made:
            await self._sources.index(job.tree, fetch.read_entries(head, self._store))
        await self._drop_trees(job.package, keep={job.tree, previous})
        await self._evict_of(job)
        return job, StepDone(step)

    async def _kept_for_undo(self, job: Job) -> str:
        """The one older tree that stays: what the name led to before, unless that was a damaged copy of this one."""
        previous = job.previous or ""
        known = await self._db.read(lambda connection: journal.trees(connection, job.package))
        if any(tree.tree == previous and tree.root == job.root for tree in known):
            was = await self._db.read(lambda connection: journal.installed(connection, job.package))
            previous = was[0].previous if was else ""
        if not self._limits.keep_previous or previous == job.tree or not self._root.exists(previous):
            return ""
        return previous

    async def _discard(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        if job.running:
            await in_thread(programs.kill_leftover, job.running)
        await in_thread(self._root.drop_staging, job.key)
        known = await self._db.read(lambda connection: journal.installed(connection, job.package))
        await self._drop_trees(job.package, keep={t for i in known for t in (i.tree, i.previous)})
        outcome = job.snapshot.outcome
        if outcome is None or outcome.state in {"done", "cancelled", "expired"}:
            # What failed may be ordered again: its chunks stay until somebody needs their room.
            await self._evict_of(job)
        return replace(job, running=""), StepDone(step)

    async def _unlink(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        was = await self._db.read(lambda connection: journal.installed(connection, job.package))
        if await in_thread(self._root.unlink, job.package) or was:
            return job, StepDone(step)
        return job, StepDone(step, code="absent", detail="It was not installed.")

    async def _delete(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        await self._db.write(lambda connection: journal.unset_installed(connection, job.package))
        await self._drop_trees(job.package, keep=set())
        await self._evict_unneeded()
        return job, StepDone(step)

    # -- what several steps need -----------------------------------------------------------------------

    async def _head(self, job: Job) -> tuple[Root, Definition]:
        """Root and definition, with root and lists held."""
        await self._fetcher.fetch([job.root])
        head = await fetch.read_root(job.root, self._store)
        await self._fetcher.fetch(list(dict.fromkeys(head.lists)))
        if (head.name, head.version, head.revision) != (job.package, job.version, job.package_revision):
            raise Failed(
                "order.mismatch",
                f"The order says {job.package}={job.version} revision {job.package_revision},"
                f" its content is {head.name}={head.version} revision {head.revision}.",
            )
        return head, parse_definition(head.definition, f"{head.name}={head.version}")

    async def _modes(self, job: Job) -> int:
        _, definition = await self._head(job)
        return ALL_MODES if definition.allow_setuid else PLAIN_MODES

    async def _drop_trees(self, package: str, keep: set[str]) -> None:
        """Delete the package's trees but those in `keep` and the one that its name leads to."""
        current = await in_thread(self._root.current, package)
        for tree in await self._db.read(lambda connection: journal.trees(connection, package)):
            if tree.tree in keep or tree.tree == current:
                continue
            await self._db.write(lambda connection, tree=tree: journal.remove_tree(connection, tree.tree))  # type: ignore[misc]
            await in_thread(self._root.delete_tree, tree.tree)

    async def _evict_of(self, job: Job) -> None:
        """Give up this package's chunks that nobody needs any more."""
        mine = await fetch.package_digests(job.root, self._store)
        keep = await self._needed(but=job.n)
        await self._store.evict([digest for digest in mine if digest not in keep])

    async def _evict_unneeded(self) -> None:
        keep = await self._needed()
        await self._store.evict([digest for digest in await self._store.digests() if digest not in keep])

    async def _needed(self, *, but: int = 0) -> set[Digest]:
        """Chunks of open jobs (except the job numbered `but`), and the manifests of all trees that stand."""
        jobs = await self._db.read(journal.open_jobs)
        keep: set[Digest] = set()
        for job in jobs:
            if job.n != but and job.type == INSTALL:
                keep |= await fetch.package_digests(job.root, self._store)
        for tree in await self._db.read(journal.trees):
            keep.add(tree.root)
            if await self._store.has(tree.root):
                keep.update((await fetch.read_root(tree.root, self._store)).lists)
        return keep


async def _unseal(digest: Digest, stored: bytes) -> bytes:
    if len(stored) <= _UNSEAL_HERE:
        return unseal(digest, stored)
    return await in_thread(unseal, digest, stored)


class _Patient:
    """A fetcher that asks again before it gives up."""

    def __init__(self, inner: fetch.Fetcher, pauses: Sequence[float]) -> None:
        self._inner = inner
        self._pauses = pauses

    async def fetch(self, digests: Sequence[Digest]) -> None:
        """As the inner one."""
        for pause in self._pauses:
            try:
                return await self._inner.fetch(digests)
            except ChunkMissing as error:
                log.info("chunk not above", digest=error.digest.hex(), again_in=pause)
            await asyncio.sleep(pause)
        return await self._inner.fetch(digests)


def _result_of(program: Program, ran: programs.Ran) -> ProgramResult:
    return ProgramResult(
        argv=list(program.argv),
        exit=ran.exit,
        timed_out=ran.timed_out,
        seconds=round(ran.seconds, 3),
        output=ran.output.decode("utf-8", "replace"),
    )


def same_file_system(a: os.PathLike[str], b: os.PathLike[str]) -> bool:
    """Whether two folders share their free space."""
    return os.stat(a).st_dev == os.stat(b).st_dev  # noqa: PTH116 - any path-like
