"""The half of a disk store that takes and gives: put, get, and becoming durable.

Rules
- `put` verifies, writes at the end of a section, and the chunk is readable.  It is durable when its section was synced
  and then indexed, in that order: after 8 MiB, after half a second, or by `sync`.
- Bytes read from the disk are verified before anyone sees them; what was verified lately is kept, so that a chunk
  that passes through is neither read nor hashed again.  A damaged chunk becomes a missing one.
- Nothing grows with the number of chunks but the index on the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from tiercast_protocol.content.sealed.chunk import proved, unpacked, unseal, verify
from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, StoreFull, TiercastError
from tiercast_protocol.node.chunks import index, upkeep
from tiercast_protocol.node.chunks.index import Place
from tiercast_protocol.node.chunks.port import Reading, Taken
from tiercast_protocol.node.chunks.recent import Recent
from tiercast_protocol.node.chunks.sections import Sections, SyncFailed
from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)
T = TypeVar("T")

MIB = 1 << 20
#: Threads that verify and write; more gain nothing on the disk and take the CPU from the loop.
_THREADS = 2
#: Unsynced bytes above which `put` waits for the disk.
_MOST_PENDING = 32 * MIB
#: Bytes read ahead of whoever reads in order, and how many such readers are known at a time.
_READ_AHEAD = MIB
_READERS = 32
#: Seconds until a sync that failed is tried again.
_RETRY = 1.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What the store holds: chunks, their bytes, the quota (None: the disk alone), bytes free on the disk."""

    chunks: int
    bytes: int
    quota: int | None
    disk_free: int


class DurableChunks:
    """Chunks in `sections`, indexed in `db`.  Whoever makes it runs `_flush_in_time`."""

    def __init__(
        self,
        db: Database,
        sections: Sections,
        *,
        folder: Path,
        quota: int | None,
        reserve: int,
        flush_bytes: int,
        flush_after: float,
        keep_verified: int,
    ) -> None:
        self._db = db
        self._sections = sections
        self._folder = folder
        self.quota = quota
        self._reserve = reserve
        self._flush_bytes = flush_bytes
        self._flush_after = flush_after
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="chunks")
        self._upkeep = asyncio.Lock()
        self._written = asyncio.Event()
        self._enough = asyncio.Event()
        self._arriving: dict[Digest, asyncio.Future[None]] = {}
        self._arriving_bytes = 0
        self._leaving: set[Digest] = set()
        self._verified = Recent(keep_verified)
        self._chunks = self._bytes = 0
        self._reads: dict[int, int] = {}
        self._read_count = 0
        #: Where the last reads ended (section, offset).
        self._read_to: deque[tuple[int, int]] = deque(maxlen=_READERS)
        #: Bytes per section that are no chunk's and could not be given back (no hole punching there).
        self._dead: dict[int, int] = {}
        self.damaged = 0
        #: Told of every chunk that turned out to be damaged; it is missing by then.
        self.on_damaged: Callable[[Digest], None] | None = None

    async def has(self, digest: Digest) -> bool:
        """Whether the chunk is held."""
        return self._place(digest) is not None

    def held(self, digests: Sequence[Digest]) -> dict[Digest, int]:
        """Those of `digests` that are held, with the bytes of their stored forms; one look-up for all, no thread."""
        return {digest: place.size for digest, place in self._places(digests).items()}

    def _places(self, digests: Sequence[Digest]) -> dict[Digest, Place]:
        places: dict[Digest, Place] = {}
        ask: list[Digest] = []
        for digest in digests:
            place = self._sections.pending.get(digest)
            if place is not None:
                places[digest] = place
            elif digest not in self._leaving:
                ask.append(digest)
        if ask:
            places.update(self._db.peek(lambda connection: index.places_of(connection, ask)))
        return places

    def size(self, digest: Digest) -> int | None:
        """Bytes of the chunk's stored form; None when it is not held.  One look-up, no thread."""
        place = self._place(digest)
        return place.size if place is not None else None

    async def get(self, digest: Digest) -> bytes:
        """The stored form, verified; see `ChunkStore.get`."""
        stored = self._verified.get(digest)
        if stored is not None:
            return stored
        stored, place = await self._read(upkeep.read_verified, digest)
        if self._place(digest) == place:
            self._verified.keep(digest, stored)
        return stored

    async def raw(self, digest: Digest) -> bytes:
        """The raw bytes of the chunk, for whoever unpacks it here: read, unpacked and proved once, and not kept.

        Raises:
            ChunkMissing, ChunkCorrupt: as `get`.
        """
        stored = self._verified.get(digest)
        if stored is not None:
            return await self._thread(unseal, digest, stored)
        return (await self._read(upkeep.read_raw, digest))[0]

    async def raw_many(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        """`raw` of each that is held and proves true, with one change of threads."""
        places = self._places(digests)
        return await self._thread(upkeep.read_some, self._sections, places, unseal) if places else {}

    def reading(self, digests: Sequence[Digest]) -> Reading:
        """What reads some of these in the thread of whoever calls it; only where they lie is looked up now."""
        places = self._places(digests)

        def read(some: Iterable[Digest], unproved: Collection[Digest]) -> dict[Digest, bytes | memoryview]:
            def make(digest: Digest, stored: memoryview) -> bytes | memoryview:
                return unpacked(digest, stored) if digest in unproved else proved(digest, stored)

            return upkeep.read_some(self._sections, {d: places[d] for d in some if d in places}, make)

        return read

    async def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        """`get` of each, in this order; all that must come from the disk comes with one change of threads.

        Whoever reads on where the last read of the same kind ended gets what follows read ahead.
        """
        places = self._places([digest for digest in digests if self._verified.get(digest) is None])
        for digest, place in self._ahead(places):
            places.setdefault(digest, place)
        read = await self._thread(upkeep.read_some, self._sections, places, upkeep.as_stored) if places else {}
        now = self._places(list(read))
        for digest, stored in read.items():
            if now.get(digest) == places[digest]:
                self._verified.keep(digest, stored)
        for number in {place.section for place in places.values()}:
            self._read_count += 1
            self._reads[number] = self._read_count
        return [read[digest] if digest in read else await self.get(digest) for digest in digests]

    def _ahead(self, places: dict[Digest, Place]) -> list[tuple[Digest, Place]]:
        """What follows these in their section, where they follow what was read before."""
        if not places or not self._verified.limit:
            return []
        first, last = min(places.values()), max(places.values())
        followed = (first.section, first.start) in self._read_to
        more = []
        if followed:
            number, end = last.section, last.start + last.size
            more = self._db.peek(lambda connection: index.following(connection, number, end, _READ_AHEAD))
            last = more[-1][1] if more else last
        self._read_to.append((last.section, last.start + last.size))
        return more

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """Take a chunk; see `WritableStore.put`.

        Raises:
            ChunkCorrupt: `stored` is not what `digest` names.
            StoreFull: the quota or the disk leaves no room; nothing was kept and the store goes on.
        """
        (result,) = await self.put_many([(digest, stored)])
        if isinstance(result, Exception):
            raise result
        return result

    async def put_many(self, chunks: Sequence[tuple[Digest, bytes | memoryview]]) -> list[Taken]:
        """Take chunks with one change of threads; see `WritableStore.put_many`."""
        while others := [self._arriving[digest] for digest, _ in chunks if digest in self._arriving]:
            await asyncio.wait(others)
        results: dict[Digest, Taken] = dict.fromkeys(self.held([digest for digest, _ in chunks]), False)
        new = {digest: stored for digest, stored in chunks if digest not in results}
        if full := self._without_room(new):
            results.update(full)
            new = {digest: stored for digest, stored in new.items() if digest not in full}
        if new:
            results.update(await self._take_in(new))
            self._written.set()
            if self._sections.pending_bytes >= self._flush_bytes:
                self._enough.set()
            if self._sections.pending_bytes >= _MOST_PENDING:
                await self.sync()
        return [results[digest] for digest, _ in chunks]

    async def _take_in(self, chunks: dict[Digest, bytes | memoryview]) -> dict[Digest, Taken]:
        arrived = asyncio.get_running_loop().create_future()
        size = sum(map(len, chunks.values()))
        self._arriving.update(dict.fromkeys(chunks, arrived))
        self._arriving_bytes += size
        try:
            results, kept = await self._thread(self._take, chunks)
        finally:
            self._arriving_bytes -= size
            for digest in chunks:
                del self._arriving[digest]
            arrived.set_result(None)
        for digest, stored in kept:
            if digest in self._sections.pending:  # and not evicted since
                self._verified.keep(digest, stored)
        return results

    async def sync(self) -> None:
        """Everything put before is durable when this returns.

        Raises:
            StoreFull: the disk is full; some of what was put lately may be missing from now on.
            OSError: the disk failed; as before.
        """
        async with self._upkeep:
            await self._flush()

    def usage(self) -> Usage:
        """What is held and what is free."""
        pending = self._sections
        return Usage(
            chunks=self._chunks + len(pending.pending),
            bytes=self._bytes + pending.pending_bytes,
            quota=self.quota,
            disk_free=self._sections.free(),
        )

    # -- within ----------------------------------------------------------------------------------------

    async def _read(self, read: Callable[[Sections, Digest, Place], bytes], digest: Digest) -> tuple[bytes, Place]:
        """What `read` makes of the chunk, and where it lay."""
        while (place := self._place(digest)) is not None:
            try:
                made = await self._thread(read, self._sections, digest, place)
            except ChunkCorrupt:
                # Evicted or moved while it was read?  Then its bytes were rightly gone.
                if self._place(digest) == place:
                    await self._forget_damaged(digest, place)
                    raise
                continue
            self._read_count += 1
            self._reads[place.section] = self._read_count
            return made, place
        raise ChunkMissing(digest)

    async def _thread(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    async def _in_section(self, number: int) -> list[tuple[Digest, Place]]:
        return await self._db.read(lambda connection: index.in_section(connection, number))

    def _place(self, digest: Digest) -> Place | None:
        place = self._sections.pending.get(digest)
        if place is not None or digest in self._leaving:
            return place
        return self._db.peek(lambda connection: index.place_of(connection, digest))

    def _take(self, chunks: dict[Digest, bytes | memoryview]) -> tuple[dict[Digest, Taken], list[tuple[Digest, bytes]]]:
        results: dict[Digest, Taken] = dict.fromkeys(chunks, True)
        good: list[tuple[Digest, bytes | memoryview]] = []
        for digest, stored in chunks.items():
            try:
                verify(digest, stored)
            except ChunkCorrupt as error:
                results[digest] = error
            else:
                good.append((digest, stored))
        at = 0
        try:
            while at < len(good):
                at += len(self._sections.append(good[at:]))
        except StoreFull as error:
            results.update((digest, error) for digest, _ in good[at:])
            del good[at:]
        # Whoever gave us a view takes its memory back.
        kept = [(digest, bytes(stored)) for digest, stored in good] if self._verified.limit else []
        return results, kept

    def _without_room(self, chunks: dict[Digest, bytes | memoryview]) -> dict[Digest, StoreFull]:
        """Those of `chunks` that quota or disk leave no room for; one question to the disk for all."""
        full: dict[Digest, StoreFull] = {}
        held = self._bytes + self._sections.pending_bytes + self._arriving_bytes + sum(self._dead.values())
        free = self._sections.free() - self._reserve - self._arriving_bytes
        for digest, stored in chunks.items():
            needed = len(stored)
            if self.quota is not None and held + needed > self.quota:
                where = f"quota of {self._folder}"
                full[digest] = StoreFull(needed=needed, free=max(0, self.quota - held), where=where)
            elif needed > free:
                full[digest] = StoreFull(needed=needed, free=max(0, free), where=str(self._folder))
            else:
                held += needed
                free -= needed
        return full

    def _count(self, chunks: int, size: int) -> None:
        self._chunks += chunks
        self._bytes += size

    async def _forget_damaged(self, digest: Digest, place: Place) -> None:
        self.damaged += 1
        self._verified.drop(digest)
        log.error("chunk damaged", digest=digest.hex(), section=place.section, offset=place.start, size=place.size)
        if not self._sections.withdraw(digest, place):
            gone = await self._db.write(lambda connection: index.remove_at(connection, digest, place))
            self._count(-gone, -gone * place.size)
        if self.on_damaged is not None:
            self.on_damaged(digest)

    async def _flush(self) -> None:
        self._written.clear()
        self._enough.clear()
        try:
            batch = await self._thread(self._sections.sync)
        except SyncFailed as error:
            # What is kept verified may be among what is lost.
            self._verified.clear()
            raise error.__cause__ or error from None
        if batch:
            try:
                self._count(*await self._db.write(lambda connection: index.put(connection, batch)))
            except BaseException:
                self._written.set()
                raise
            self._sections.settled(batch)

    async def _flush_in_time(self) -> None:
        while True:
            await self._written.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._flush_after):
                    await self._enough.wait()
            try:
                await self.sync()
            except (TiercastError, OSError, sqlite3.Error) as error:
                log.error("chunks not durable", reason=str(error), folder=str(self._folder))  # noqa: TRY400 - no bug
                await asyncio.sleep(_RETRY)
