"""From entry lists and chunks to a whole, synced tree in staging (docs/on-the-endpoint.md).

Rules
- Each chunk is proved where it is read (`ChunkReader`), each file as a whole by its entry's digest, the order
  and completeness of the entries by `TreeCheck`; what the manifest says is checked, never believed.
- Bounded memory: one list, two batches (one being read, one being written), a few raw chunks (packs of small files
  are read once).
- Chunks are read and proved a few at a time, those of small files for a group of files at once, while a thread writes
  the batch before.  Of a tree of many files whose chunks are here, each stretch of a list is read and written by one
  thread (wholesale.py), two at a time; what is left of one is read chunk by chunk.
- A tree of few files is synced batch by batch; one of many as a whole, at its end: until then what was put here into
  large files is in no index (what came straight to its place is), and such a tree is indexed when it stands.
- It may begin while chunks still come: what is not ready is waited for by whoever calls (`advance`), at any chunk.
- Chunks of large files that are asked for go straight to their places (`expect`, placing.py); what an earlier attempt
  left of such files is taken over where it proves true.  Small files are written anew.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees.batches import Batch, Write, cut, groups, running, write_batch
from tiercast_endpoint.trees.growing import GrowingFile
from tiercast_endpoint.trees.kept import ChunkReader, KeptChunks, ManyReader
from tiercast_endpoint.trees.placing import Place, Placing
from tiercast_endpoint.trees.tree import PLAIN_MODES, TreeError
from tiercast_endpoint.trees.treewriter import TreeWriter
from tiercast_endpoint.trees.walk import Found, Walk, is_large
from tiercast_endpoint.trees.wholesale import Stretch, Wholesale
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part, Root, TreeCheck
from tiercast_protocol.content.sealed.paths import folded
from tiercast_protocol.errors import TiercastError
from tiercast_protocol.node.chunks.port import Reading
from tiercast_protocol.transfer.ranges import RangeSet

Digest = bytes
#: Gives what reads these chunks, or some of them, in a worker thread.
OpenReading = Callable[[Sequence[Digest]], Reading]
#: Whether all of these chunks can be read now.
Ready = Callable[[Sequence[Digest]], bool]

#: Files of a tree, each of which is synced as it ends; of more, all are at the end.
FEW_FILES = 64
#: Chunks of a file that are read at the same time.
_AHEAD = 8
#: Bytes of disk that a file, a folder or a link costs beyond its content.
ENTRY_COST = 4096
#: Stretches that are written at a time: one reads and proves while the other one writes.
_STRETCHES = 2

_Batches = AsyncGenerator[list[Write] | Stretch, None]


class Assembler:
    """Builds one tree.

    Args:
        folder: a staging folder: empty, or left by an earlier attempt.
        read: gives chunks.
        read_many: gives several at once, for what it does not give `read` is asked.
        reading: gives several at once in worker threads; as `read_many`.
        on_progress: told the bytes written so far, after each batch.
        placing: takes chunks that are expected to their places.
        name: of the tree in the index of sources.
        modes: the permission bits that are applied.
        case_collisions: whether the definition lets names differ in capitals alone.
    """

    def __init__(
        self,
        folder: Path,
        read: ChunkReader,
        on_progress: Callable[[int], None] | None = None,
        *,
        read_many: ManyReader | None = None,
        reading: OpenReading | None = None,
        placing: Placing | None = None,
        name: str = "",
        modes: int = PLAIN_MODES,
        case_collisions: bool = False,
    ) -> None:
        self._folder = folder
        self._kept = KeptChunks(read, read_many)
        self._reading = reading
        self._wholesale: Wholesale | None = None
        self._turn, self._leftovers = asyncio.Lock(), asyncio.Lock()
        self._tell = on_progress
        self._placing = placing
        self._name = name
        self._walk: Walk | None = None
        self._modes = modes
        self._case_collisions = case_collisions
        self._many = False
        self._writer: TreeWriter | None = None
        #: No batch is being written.
        self._idle = asyncio.Event()
        self._idle.set()
        self._batches: _Batches | None = None
        self._ready: Ready | None = None
        self.written = 0

    async def run(self, root: Root, lists: AsyncIterator[Sequence[Entry]]) -> None:
        """Write all entries and sync everything.

        Raises:
            TreeError: the tree can't be as the manifest says.
            ProtocolError: the lists contradict each other or the root.
            OSError: the disk's own (ENOSPC, EDQUOT, EIO).
            ChunkMissing, ChunkCorrupt: as `read`.
        """
        try:
            await self.begin(root, lists)
            await self.end()
        finally:
            await self.close()

    async def begin(
        self,
        root: Root,
        lists: AsyncIterator[Sequence[Entry]],
        *,
        again: AsyncIterator[Sequence[Entry]] | None = None,
        claimed: Mapping[str, RangeSet] | None = None,
    ) -> None:
        """Open the folder; `advance`, `end` and in any case `close` follow.

        Args:
            root: of the package.
            lists: its entries.
            again: the same, for `expect`.
            claimed: which bytes of which files an earlier attempt left in the folder.
        """
        self._many = root.files > FEW_FILES
        self._writer = await in_thread(
            lambda: TreeWriter(str(self._folder), modes=self._modes, claimed=claimed, many=self._many)
        )
        if self._many and self._reading is not None:
            self._wholesale = Wholesale(self._writer)
        self._batches = self._read_on(root, lists)
        if again is not None:
            self._walk = Walk(again)

    async def expect(self, digests: Sequence[Digest]) -> None:
        """These will come, in the order of the lists: those of large files go to their places."""
        if self._walk is None or self._placing is None or not (found := await self._walk.find(digests)):
            return
        try:
            for digest, place in await in_thread(self._places, found):
                self._placing.expect(digest, place)
        except (TreeError, OSError, ValueError):
            return  # whoever assembles comes to the same place, and says what is wrong

    async def advance(self, ready: Ready | None = None) -> bool:
        """Write as far as chunks are `ready` (None: all are); whether that is to the end.  Raises as `run`."""
        writer, batches = self._begun()
        self._ready = ready
        batch = await _next(batches)
        while batch:
            if isinstance(batch, Stretch):
                batch = await self._write_stretches(batch)
                continue
            # Both are waited for whatever becomes of the other: nothing goes on behind a step that has failed.
            self._idle.clear()
            wrote, following = await asyncio.gather(
                self._write_batch(writer, batch), _next(batches), return_exceptions=True
            )
            if isinstance(wrote, BaseException):
                raise wrote
            if isinstance(following, BaseException):
                raise following
            if self._placing is not None and not self._many:
                self._placing.placed(self._index_of(batch))
            self._count(wrote)
            batch = following
        return batch is None

    async def _write_batch(self, writer: TreeWriter, batch: list[Write]) -> int:
        try:
            return await in_thread(write_batch, writer, batch)
        finally:
            self._idle.set()

    async def end(self) -> None:
        """Write the rest and sync everything.  Raises as `run`."""
        await self.advance()
        await in_thread(self._begun()[0].finish)

    async def close(self) -> None:
        """Close what is open; of what was not ended, the large files are kept in the index."""
        if self._batches is not None:
            await self._batches.aclose()
        if self._walk is not None:
            await self._walk.close()
        if self._placing is not None:
            self._placing.withdraw(self._name)
            with suppress(OSError, sqlite3.Error, TiercastError):
                await self._placing.sync()
        if self._writer is not None:
            await in_thread(self._writer.close)

    def tell_to(self, on_progress: Callable[[int], None]) -> None:
        """From now on, tell this one."""
        self._tell = on_progress

    def _places(self, found: Sequence[Found]) -> list[tuple[Digest, Place]]:
        writer, _ = self._begun()
        return [
            (digest, Place(self._name, file, at, length))
            for digest, path, at, length in found
            if not (file := writer.grow(path)).covers(at, length)
        ]

    def _index_of(self, batch: Sequence[Write]) -> Iterator[tuple[Digest, Place]]:
        """The whole chunks that a batch has put into large files."""
        for step in batch:
            if step.file is not None and step.data is not None and step.digest:
                yield step.digest, Place(self._name, step.file, step.at, len(step.data))

    def _count(self, wrote: int) -> None:
        self.written += wrote
        if self._tell is not None:
            self._tell(self.written)

    async def _write_stretches(self, first: Stretch) -> list[Write] | Stretch | None:
        """Write this one and those that follow, some at a time; the batch behind them."""
        _, batches = self._begun()
        following: Stretch | list[Write] | None = first

        async def work() -> None:
            nonlocal following
            while True:
                async with self._turn:
                    if not isinstance(following, Stretch):
                        return
                    mine, following = following, None  # whatever goes wrong now, no other one is begun
                    following = await _next(batches)
                try:
                    await self._write_stretch(mine)
                except BaseException:
                    following = None
                    raise

        for ended in await asyncio.gather(*(work() for _ in range(_STRETCHES)), return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended
        return following

    async def _write_stretch(self, stretch: Stretch) -> None:
        writer, _ = self._begun()
        if self._wholesale is None or self._reading is None:
            raise RuntimeError("nothing is written in stretches here")
        wrote, left = await in_thread(self._wholesale.write, stretch.entries, self._reading(stretch.digests))
        self._count(wrote)
        async with self._leftovers:  # the writer has one small file begun at a time
            for entry in left:
                async for step in self._steps(entry):
                    if step is not None and (step.file is None or not step.last):
                        self._count(await in_thread(write_batch, writer, [step]))
                if is_large(entry):
                    await in_thread(self._wholesale.ended, entry)

    def _begun(self) -> tuple[TreeWriter, _Batches]:
        if self._writer is None or self._batches is None:
            raise RuntimeError("assembling was not begun")
        return self._writer, self._batches

    async def _read_on(self, root: Root, lists: AsyncIterator[Sequence[Entry]]) -> _Batches:
        """Batches in the manifest's order; an empty one where the next chunks are not ready."""
        check = TreeCheck()
        seen: set[int] = set()
        batch = Batch()
        async for entries in lists:
            while self._wholesale is not None and not self._may_begin(entries):
                yield []
            if self._wholesale is not None and self._ready is None:
                if batch.steps:
                    yield batch.take()
                await self._idle.wait()  # folders of a batch that is being written come before those of this list
                for stretch in await in_thread(self._take_in, self._wholesale, entries, check, seen):
                    yield stretch
                continue
            check.add(entries)
            async for step in self._each_step(entries, seen):
                if step is None:
                    yield []
                elif batch.add(step):
                    yield batch.take()
        check.finish(files=root.files, size=root.size)
        if batch.steps:
            yield batch.take()

    def _may_begin(self, entries: Sequence[Entry]) -> bool:
        """Whether the first chunk of a list is ready: until then, it may still come to be written in stretches."""
        first = next((part.digest for entry in entries for part in entry.parts), None)
        return self._ready is None or first is None or self._ready([first])

    async def _each_step(self, entries: Sequence[Entry], seen: set[int]) -> AsyncIterator[Write | None]:
        for group in groups(entries):
            if self._ready is None:  # else who assembles waits for chunks
                await self._kept.read_together(p.digest for e in group if not is_large(e) for p in e.parts)
            for entry in group:
                self._unlike(entry, seen)
                if (small := self._small(entry)) is not None:
                    yield small
                    continue
                async for step in self._steps(entry):
                    yield step

    def _take_in(
        self, wholesale: Wholesale, entries: Sequence[Entry], check: TreeCheck, seen: set[int]
    ) -> list[Stretch]:
        check.add(entries)
        for entry in entries:
            self._unlike(entry, seen)
        return wholesale.take_in(entries)

    def _small(self, entry: Entry) -> Write | None:
        """The one step of a small file all of whose chunks are at hand; None of all else."""
        if not entry.parts or self._ready is not None or is_large(entry):
            return None
        parts: list[memoryview] = []
        raw: bytes | None = None
        for part in entry.parts:
            raw = self._kept.get(part.digest)
            if raw is None:
                return None
            parts.append(cut(entry, part, raw))
        # A file that is one whole chunk has the digest of that chunk, and the chunk was proved.
        only = entry.parts[0]
        proved = len(parts) == 1 and only.digest == entry.digest and raw is not None and len(raw) == only.length
        return Write(entry, None, last=True, whole=parts, proved=proved)

    def _unlike(self, entry: Entry, seen: set[int]) -> None:
        """Refuse names that differ in capitals alone: what can't be told apart on every system is no name."""
        if entry.start or self._case_collisions:
            return
        # 8 bytes per path instead of the path: 100,000 files fit, and two of them meet by chance once in 10^9 packages.
        key = hash(folded(entry.path))
        if key in seen:
            raise TreeError("tree.collision", f"{entry.path!r} differs from another path in capitals alone")
        seen.add(key)

    async def _steps(self, entry: Entry) -> AsyncIterator[Write | None]:
        if entry.kind is not Kind.FILE or not entry.parts:
            yield Write(entry, None, last=True)
            return
        file = await in_thread(self._begun()[0].grow, entry.path) if is_large(entry) else None
        at = entry.start
        whole = file is not None and file.covers(at, entry.end - at)
        for first in range(0, 0 if whole else len(entry.parts), _AHEAD):
            some = entry.parts[first : first + _AHEAD]
            placed = [(at + before, part) for before, part in running(some)]
            at += sum(part.length for part in some)
            parts = placed if file is None else await self._lacking(file, placed)
            while self._ready is not None and not self._ready([part.digest for _, part in parts]):
                yield None
                parts = parts if file is None else await self._lacking(file, parts)
            raws = await self._kept.all_of([part.digest for _, part in parts])
            for (place, part), raw in zip(parts, raws, strict=True):
                data = cut(entry, part, raw)
                if file is None:
                    yield Write(entry, data, last=place + part.length == entry.end)
                else:
                    named = part.digest if len(data) == len(raw) else b""
                    yield Write(entry, data, last=False, file=file, at=place, digest=named)
        if file is not None and not entry.more:
            yield Write(entry, None, last=True, file=file)

    async def _lacking(self, file: GrowingFile, parts: Sequence[tuple[int, Part]]) -> list[tuple[int, Part]]:
        """Those of `parts` that are not in the file; what is only claimed is proved first."""
        claimed = [
            (at, part.length, part.digest)
            for at, part in parts
            if file.claims(at, part.length) and not file.covers(at, part.length)
        ]
        if claimed:
            await in_thread(file.prove, claimed)
        return [(at, part) for at, part in parts if not file.covers(at, part.length)]


async def _next(batches: _Batches) -> list[Write] | Stretch | None:
    return await anext(batches, None)
