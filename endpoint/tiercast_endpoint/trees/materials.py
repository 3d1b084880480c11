"""What a job is made from: its manifest, the chunks at hand, and the room they need.

Rules
- The manifest (root and lists) is fetched when it is not held, and stays held as long as its tree stands.
- A chunk comes from the store, else from installed files, else from above; whichever it is, its bytes are proved.
- What no tier above holds is asked for again a few times before the job fails: a tier may be coming up just now.
- Chunks of large files are fetched straight into the tree in the making (placing.py); they take no room in the store.
- Chunks are given up when their tree stands, when nobody orders them any more, and when their room is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.install import INSTALL
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees import checked, holdings
from tiercast_endpoint.trees.assemble import ENTRY_COST
from tiercast_endpoint.trees.partial import PartialTrees, staging_of
from tiercast_endpoint.trees.patches import Patches
from tiercast_endpoint.trees.placing import Placing
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.selection import Chooser, Selection
from tiercast_endpoint.trees.sources import Sources
from tiercast_endpoint.trees.supplies import EvictingStore, Patient, Wanting
from tiercast_endpoint.trees.tree import ALL_MODES, PLAIN_MODES
from tiercast_endpoint.trees.walk import is_large
from tiercast_protocol.content.package.check import Check
from tiercast_protocol.content.package.definition import Definition, parse_definition
from tiercast_protocol.content.package.variables import fill
from tiercast_protocol.content.sealed.chunk import pack
from tiercast_protocol.content.sealed.manifest import Entry, Root
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ProtocolError, UsageError
from tiercast_protocol.node import fetch
from tiercast_protocol.node.database import Database
from tiercast_protocol.transfer.calendar import Window

log = structlog.get_logger(__name__)

Digest = bytes
#: Told bytes done and bytes in all of the present step.
Progress = Callable[[int, int], None]
#: Chunks that the store is asked about at a time.
_LOOKUP = 2048
#: Roots and definitions that are kept decoded: those of the jobs at work.
_HEADS = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What the installer keeps to.

    Attributes:
        reserve: bytes to leave free on every disk.
        keep_previous: whether one older version is kept for undo.
        ask_again_s: pauses before chunks are asked for again that no tier above held: one may be coming up just now.
        windows: the owner's, in which packages may be installed; none is always.
    """

    reserve: int = 64 << 20
    keep_previous: bool = True
    ask_again_s: tuple[float, ...] = (1.0, 5.0)
    windows: tuple[Window, ...] = ()


class Failed(Exception):
    """The step can't be done: a stable code and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(code)


class Materials:
    """Chunks for the jobs of one agent.

    Args:
        db: the agent's journal.
        root: the install root.
        store: staged chunks.
        placing: in front of the store: where the fetcher's chunks go.
        fetcher: brings chunks.
        store_free: bytes free for us where the store lies, and whether that is the root's file system.
        limits: see `Limits`.
        chooser: says what of a package this machine takes; None takes all of it, and knows no variables.
    """

    def __init__(
        self,
        *,
        db: Database,
        root: RootFolder,
        store: EvictingStore,
        placing: Placing,
        fetcher: Wanting,
        store_free: Callable[[], tuple[int, bool]],
        limits: Limits,
        chooser: Chooser | None = None,
    ) -> None:
        self._db = db
        self.chooser = chooser
        self._root = root
        self.store = store
        self.placing = placing
        self._heads: dict[Digest, Selection] = {}
        self.partial = PartialTrees(db, root)
        self._wants = fetcher
        self._fetcher = Patient(fetcher, limits.ask_again_s)
        self._store_free = store_free
        self._limits = limits
        self.sources = Sources(db, root.path)
        self.patches = Patches(db, store, self.sources, fetcher)

    def use_sources(self, sources: Sources) -> None:
        """Installed files are read by these: where this half of the agent may not."""
        self.sources = sources
        self.patches = Patches(self._db, self.store, sources, self._wants)

    async def bring(self, digests: Sequence[Digest], job: str) -> None:
        """Have these come from above, as far as the store lacks them.  Raises ChunkMissing or StoreFull."""
        held = self.placing.held(digests)
        if lacking := [digest for digest in digests if digest not in held]:
            await self._fetcher.fetch(lacking, job)

    def free(self) -> int:
        """Bytes free for us where the store lies."""
        return self._store_free()[0]

    def expect(self, root: bytes, job: str) -> None:
        """Have the root of an ordered package come before the job's turn; `head` takes it from there."""
        if self.store.size(root) is None:
            self._wants.want([root], job)

    def forget(self, root: bytes) -> None:
        """The job that expected it is over."""
        self._wants.unwant([root])

    async def head(self, job: Job) -> tuple[Root, Definition]:
        """Root (with the counts of what is taken here) and definition, with root and lists held."""
        found = await self.selection(job)
        return found.root, found.definition

    async def selection(self, job: Job, *, afresh: bool = False) -> Selection:
        """What this machine takes of the job's package; `afresh`: by what the machine is now.

        Raises:
            Failed: platform.none, variable.unset, variable.invalid.
        """
        known = self._heads.get(job.root)
        if not afresh and known is not None and self.at_hand([job.root, *known.root.lists]):
            _compare(job, known.root)
            return known
        head, definition = await self._read_head(job)
        try:
            chosen = await self.chooser.choose(head, definition, self.store) if self.chooser else None
        except UsageError as error:
            raise Failed(error.code, error.what) from error
        self._heads[job.root] = found = chosen or Selection(head, definition)
        while len(self._heads) > _HEADS:
            del self._heads[next(iter(self._heads))]
        return found

    async def shown(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """What this machine would take of a package; as `Chooser.shown`."""
        return await self.chooser.shown(args) if self.chooser else {}

    async def entries(self, job: Job) -> AsyncIterator[Sequence[Entry]]:
        """The entries of the job's package that are taken here, in the order of a tree, many at a time."""
        found = await self.selection(job)
        async for entries in found.entries(self.store):
            yield entries

    async def check(self, job: Job) -> Check | None:
        """The package's own check, as its sealed definition has it, with this machine's values of its variables."""
        taken = await self.selection(job)
        check = taken.definition.check
        if check is None:
            return None
        return replace(check, argv=(check.argv[0], *(fill(one, taken.values) for one in check.argv[1:])))

    async def _read_head(self, job: Job) -> tuple[Root, Definition]:
        await self.patches.index(job.root, job.job)
        await self._fetcher.fetch([job.root], job.job)
        head = await fetch.read_root(job.root, self.store)
        _compare(job, head)
        await self._fetcher.fetch(list(dict.fromkeys(head.lists)), job.job)
        return head, parse_definition(head.definition, f"{head.name}={head.version}")

    async def stored_form(self, digest: bytes) -> bytes:
        """The chunk in its stored form, out of staging or of installed files; raises `ChunkMissing`."""
        try:
            return await self.store.get(digest)
        except (ChunkMissing, ChunkCorrupt):
            raw = await self.sources.read(digest)
            return await in_thread(pack, raw)

    async def staged(self, root: bytes) -> tuple[int, int]:
        """Chunks of the package that are held, in staging or in files, and their bytes, as far as its lists tell."""
        try:
            names = await fetch.package_digests(root, self.store)
        except (ChunkMissing, ChunkCorrupt, ProtocolError):
            names = {root}
        held = self.placing.held(list(names))
        placed = await self.sources.lengths([digest for digest in names if digest not in held])
        return len(held) + len(placed), sum(held.values()) + sum(placed.values())

    async def modes(self, job: Job) -> int:
        """The permission bits that the package's definition lets its files have."""
        _, definition = await self.head(job)
        return ALL_MODES if definition.allow_setuid else PLAIN_MODES

    async def standing(self, job: Job, current: str | None) -> str | None:
        """A tree of this content that stands whole, the current one first."""
        known = await self._db.read(lambda connection: holdings.trees(connection, job.package))
        found = sorted((t.tree for t in known if t.root == job.root), key=lambda tree: tree != current)
        for tree in found:
            problem = await checked.first_difference(
                self._root.path / tree, self.entries(job), modes=await self.modes(job)
            )
            if problem is None:
                return tree
            log.warning("installed tree differs", job=job.job, package=job.package, tree=tree, problem=problem)
        return None

    async def check_space(self, head: Root, job: Job) -> None:
        """Refuse, with figures, what would not fit; chunks that nobody needs go first.

        Raises:
            Failed: "disk.short".
        """
        if self._short(head.size, head.size + ENTRY_COST * (head.files + 1)) is None:
            return  # it would fit though nothing of it were here: no need to look at each file
        small, placed = await self._lacking(job)
        built = head.size + ENTRY_COST * (head.files + 1) - placed
        if (short := self._short(small, built)) is None:
            return
        await self.evict_unneeded()
        if (short := self._short(small, built)) is not None:
            raise Failed("disk.short", short)

    async def _lacking(self, job: Job) -> tuple[int, int]:
        """Bytes of the chunks that would be fetched into the store, and what lies in the tree in the making already."""
        name = staging_of(job)
        ranges = await self._db.read(lambda connection: holdings.placed_parts(connection, name))
        small: dict[Digest, int] = {}
        async for entries in self.entries(job):
            for entry in entries:
                if not is_large(entry):
                    for part in entry.parts:
                        small[part.digest] = small.get(part.digest, 0) + part.length
        here = await self._here(small)
        fetched = sum(length for digest, length in small.items() if digest not in here)
        return fetched, sum(placed.total for placed in ranges.values())

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

    async def fetch(self, job: Job, tell: Progress, asked: Callable[[Sequence[Digest]], None] | None = None) -> None:
        """Bring the data chunks that no store or file here holds and no patch makes; `asked` hears of each first."""
        taken = await self.selection(job)
        size = taken.root.size
        told: Callable[[int], None] = lambda made: tell(min(made, size), size)  # noqa: E731 - shorter than a method
        await self.patches.content(job.root, job.job, self._needed, self._wanted, told)
        if taken.choice.whole and await self._all_here(taken.root):
            tell(taken.root.size, taken.root.size)
            return
        chunks: dict[Digest, int] = {}
        async for entries in taken.entries(self.store):
            for entry in entries:
                for part in entry.parts:
                    chunks[part.digest] = chunks.get(part.digest, 0) + part.length
        here = await self._here(chunks)
        await fetch.fetch_chunks(
            chunks,
            self._fetcher,
            job=job.job,
            have=here.__contains__,
            size=taken.root.size,
            asked=asked,
            on_progress=tell,
        )

    async def _wanted(self, root: Digest) -> Collection[Digest] | None:
        """Data chunks of the package that this machine would take; None for all.  Root and lists are held."""
        head = await fetch.read_root(root, self.store)
        definition = parse_definition(head.definition, f"{head.name}={head.version}")
        if not definition.files or self.chooser is None:
            return None
        try:
            choice = (await self.chooser.choose(head, definition, self.store)).choice
        except UsageError:  # a version on the way that is none for this machine: it holds nothing of it
            return ()
        return {
            part.digest
            async for entries in fetch.read_entries(head, self.store)
            for entry in entries
            if choice.takes(entry.path)
            for part in entry.parts
        }

    async def _all_here(self, root: Root) -> bool:
        """Whether nothing has to be fetched; told by names alone, list by list, up to the first that is not here."""
        async for names in fetch.named_chunks(root, self.store):
            if len(await self._here(names)) < len(names):
                return False
        return True

    async def sync(self) -> None:
        """All that was fetched is durable when this returns; raises as the disk."""
        await self.placing.sync()
        await self.store.sync()

    async def _here(self, chunks: Collection[Digest]) -> set[Digest]:
        """Those that the store or an installed file holds; many to a question."""
        digests = list(chunks)
        here: set[Digest] = set()
        for at in range(0, len(digests), _LOOKUP):
            here.update(self.placing.held(digests[at : at + _LOOKUP]))
            await asyncio.sleep(0)  # the store answers in this thread
        here.update(await self.sources.known([digest for digest in digests if digest not in here]))
        return here

    def at_hand(self, digests: Sequence[Digest]) -> bool:
        """Whether all of these are in the store, or were placed just now."""
        return len(self.placing.held(digests)) == len(set(digests))

    async def raw(self, digest: Digest) -> bytes:
        """Raw bytes of a chunk: out of the store, else of files, else from above."""
        try:
            if (placed := await self.placing.raw(digest)) is not None:
                return placed
            return await self.store.raw(digest)
        except ChunkCorrupt:
            log.warning("staged chunk damaged", digest=digest.hex())
            await self.store.evict([digest])
        except ChunkMissing:
            try:
                return await self.sources.read(digest)
            except ChunkMissing:
                pass
        await self._fetcher.fetch([digest])
        return await self.store.raw(digest)

    async def evict_of(self, job: Job) -> None:
        """Give up this package's chunks that nobody needs any more."""
        mine = await fetch.package_digests(job.root, self.store)
        keep = await self._needed(but=job.n)
        await self.store.evict([digest for digest in mine if digest not in keep])

    async def evict_unneeded(self) -> None:
        """Give up every chunk and every part of a tree that no open job and no manifest needs."""
        await self.partial.drop_unneeded()
        # In this order: what arrives for a job while we look is no candidate.
        held = await self.store.digests()
        keep = await self._needed()
        await self.store.evict([digest for digest in held if digest not in keep])

    async def _needed(self, *, but: int = 0) -> set[Digest]:
        """Chunks of open jobs (except the job numbered `but`), and the manifests of all trees that stand."""
        jobs = await self._db.read(journal.open_jobs)
        keep: set[Digest] = set()
        for job in jobs:
            if job.n != but and job.snapshot.type == INSTALL:
                keep |= await fetch.package_digests(job.root, self.store)
        for tree in await self._db.read(holdings.trees):
            keep.add(tree.root)
            if await self.store.has(tree.root):
                keep.update((await fetch.read_root(tree.root, self.store)).lists)
        return keep


def _compare(job: Job, head: Root) -> None:
    if (head.name, head.version, head.revision) != (job.package, job.version, job.package_revision):
        raise Failed(
            "order.mismatch",
            f"The order says {job.package}={job.version} revision {job.package_revision},"
            f" its content is {head.name}={head.version} revision {head.revision}.",
        )
