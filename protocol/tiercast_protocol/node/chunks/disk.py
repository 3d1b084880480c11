"""Chunks on a disk: section files, an index in SQLite, verified on every read (docs/adr/0004).

Rules
- `put` verifies, writes at the end of a section, and the chunk is readable.  It is durable when its section was synced
  and then indexed, in that order: after 8 MiB, after half a second, or by `sync`.
- After a crash the store holds exactly what was indexed; the tail behind it is cut off.
- Eviction removes rows (committed), then gives the space back.  A leased chunk is never evicted.
- Bytes read from the disk are verified before anyone sees them; what was verified lately is kept (16 MiB), so that
  a chunk that passes through is neither read nor hashed again.  A damaged chunk becomes a missing one.
- Nothing grows with the number of chunks but the index on the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from tiercast_protocol.content.chunk import unseal
from tiercast_protocol.content.digest import Digest
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, StoreFull, TiercastError
from tiercast_protocol.node.chunks import index, upkeep
from tiercast_protocol.node.chunks.ballast import Ballast
from tiercast_protocol.node.chunks.index import Place
from tiercast_protocol.node.chunks.recent import Recent
from tiercast_protocol.node.chunks.sections import Sections, SyncFailed
from tiercast_protocol.node.chunks.upkeep import AuditResult
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.files import Files, RealFiles, make_folder
from tiercast_protocol.node.sqlite import Connect, connect_sqlite

log = structlog.get_logger(__name__)
T = TypeVar("T")

MIB = 1 << 20
#: Threads that verify and write; more gain nothing on the disk and take the CPU from the loop.
_THREADS = 2
#: Unsynced bytes above which `put` waits for the disk.
_MOST_PENDING = 32 * MIB
#: Seconds until a sync that failed is tried again.
_RETRY = 1.0
#: Chunks evicted at once on a full disk.
_PORTION = 32


@dataclass(frozen=True, slots=True)
class Usage:
    """What the store holds: chunks, their bytes, the quota (None: the disk alone), bytes free on the disk."""

    chunks: int
    bytes: int
    quota: int | None
    disk_free: int


class DiskStore:
    """See the module.  Made by `DiskStore.open`."""

    def __init__(
        self,
        db: Database,
        sections: Sections,
        ballast: Ballast,
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
        self._ballast = ballast
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
        self._leases: Counter[Digest] = Counter()
        self._verified = Recent(keep_verified)
        self._chunks = self._bytes = 0
        self._reads: dict[int, int] = {}
        self._read_count = 0
        #: Bytes per section that are no chunk's and could not be given back (no hole punching there).
        self._dead: dict[int, int] = {}
        self.damaged = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        *,
        files: Files | None = None,
        quota: int | None = None,
        reserve: int = 64 * MIB,
        section_size: int = 32 * MIB,
        flush_bytes: int = 8 * MIB,
        flush_after: float = 0.5,
        keep_verified: int = 16 * MIB,
        ballast: int = MIB,
        connect: Connect = connect_sqlite,
        readers: int = 1,
    ) -> AsyncIterator[DiskStore]:
        """Open or make the store in `folder`.

        It takes at most `quota` bytes of chunks and leaves `reserve` bytes of the disk free.

        Raises:
            StateError: made by a newer version, or its index is damaged.
            StoreFull: no room to make it.
        """
        files = files or RealFiles()
        inner = folder / "sections"
        await asyncio.to_thread(make_folder, files, inner)
        repair = "Remove the folder of this file: its chunks are fetched again as they are needed"
        async with Database.open(
            folder / "index.db", index.SCHEMA, connect=connect, readers=readers, repair=repair
        ) as db:
            store = cls(
                db,
                Sections(files, inner, section_size),
                Ballast(files, folder / "ballast", ballast),
                folder=folder,
                quota=quota,
                reserve=reserve,
                flush_bytes=flush_bytes,
                flush_after=flush_after,
                keep_verified=keep_verified,
            )
            failure: Exception | None = None
            try:
                await store._recover()
                async with asyncio.TaskGroup() as tasks:
                    flusher = tasks.create_task(store._flush_in_time())
                    try:
                        yield store
                    except Exception as error:  # noqa: BLE001 - raised below, bare: the group would wrap it
                        failure = error
                    finally:
                        flusher.cancel()
            finally:
                await store._close()
            if failure is not None:
                raise failure

    # -- chunks in and out -----------------------------------------------------------------------------

    async def has(self, digest: Digest) -> bool:
        """Whether the chunk is held."""
        return self._place(digest) is not None

    def size(self, digest: Digest) -> int | None:
        """Bytes of the chunk's stored form; None when it is not held.  One look-up, no thread."""
        place = self._place(digest)
        return place.size if place is not None else None

    async def get(self, digest: Digest) -> bytes:
        """The stored form, verified; see `ChunkStore.get`."""
        stored = self._verified.get(digest)
        if stored is not None:
            return stored
        while (place := self._place(digest)) is not None:
            try:
                stored = await self._thread(upkeep.read_verified, self._sections, digest, place)
            except ChunkCorrupt:
                # Evicted or moved while it was read?  Then its bytes were rightly gone.
                if self._place(digest) == place:
                    await self._forget_damaged(digest, place)
                    raise
                continue
            if self._place(digest) == place:
                self._verified.keep(digest, stored)
            self._read_count += 1
            self._reads[place.section] = self._read_count
            return stored
        raise ChunkMissing(digest)

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """Take a chunk; see `WritableStore.put`.

        Raises:
            ChunkCorrupt: `stored` is not what `digest` names.
            StoreFull: the quota or the disk leaves no room; nothing was kept and the store goes on.
        """
        while (other := self._arriving.get(digest)) is not None:
            await asyncio.wait([other])
        if self._place(digest) is not None:
            return False
        self._check_room(len(stored))
        arrived = self._arriving[digest] = asyncio.get_running_loop().create_future()
        self._arriving_bytes += len(stored)
        try:
            await self._thread(self._take, digest, stored)
        finally:
            self._arriving_bytes -= len(stored)
            del self._arriving[digest]
            arrived.set_result(None)
        self._verified.keep(digest, stored)
        self._written.set()
        if self._sections.pending_bytes >= self._flush_bytes:
            self._enough.set()
        if self._sections.pending_bytes >= _MOST_PENDING:
            await self.sync()
        return True

    async def sync(self) -> None:
        """Everything put before is durable when this returns.

        Raises:
            StoreFull: the disk is full; some of what was put lately may be missing from now on.
            OSError: the disk failed; as before.
        """
        async with self._upkeep:
            await self._flush()

    # -- keeping and letting go ------------------------------------------------------------------------

    @contextmanager
    def lease(self, digests: Iterable[Digest]) -> Iterator[None]:
        """Chunks that are not evicted meanwhile.  Ask `has` after taking it: a lease does not bring one back."""
        leased = list(digests)
        self._leases.update(leased)
        try:
            yield
        finally:
            for digest in leased:
                self._leases[digest] -= 1
                if not self._leases[digest]:
                    del self._leases[digest]

    async def evict(self, digests: Iterable[Digest]) -> int:
        """Let these go, but for leased ones; returns how many went.

        Raises:
            StoreFull: the disk is so full that not even the index can be written.
        """
        digests = list(digests)
        async with self._upkeep:
            try:
                await self._flush()
                return await self._evict(digests)
            except StoreFull:
                # On a full disk: with the room set aside, and in small portions that each give some back.
                if not await self._thread(self._ballast.drop):
                    raise
                log.warning("index without room", folder=str(self._folder))
                with suppress(StoreFull):
                    await self._flush()
                gone = 0
                for at in range(0, len(digests), _PORTION):
                    gone += await self._evict(digests[at : at + _PORTION])
                await self._thread(self._ballast.take_in)
                return gone

    async def _evict(self, digests: Iterable[Digest]) -> int:
        chosen = [digest for digest in dict.fromkeys(digests) if digest not in self._leases]
        # From here on they are missing, so that a `put` of one of them during the commit writes it anew.
        self._leaving.update(chosen)
        try:
            for digest in chosen:
                self._verified.drop(digest)
            places = await self._db.write(lambda connection: index.remove(connection, chosen))
        finally:
            self._leaving.difference_update(chosen)
        self._count(-len(places), -sum(place.size for place in places))
        for number in sorted({place.section for place in places}):
            await self._reclaim(number)
        return len(places)

    async def evict_unused(self, keep: Callable[[Digest], bool], target_bytes: int) -> int:
        """Evict what is neither leased nor kept until at most `target_bytes` are held; returns how many chunks went.

        Sections that were not read for longest go first.
        """
        await self.sync()
        numbers = await self._thread(self._sections.numbers)
        gone = 0
        for number in sorted(numbers, key=lambda n: (self._reads.get(n, 0), n)):
            excess = self._bytes - target_bytes
            if excess <= 0:
                break
            chosen = []
            for digest, place in await self._in_section(number):
                if excess > 0 and digest not in self._leases and not keep(digest):
                    chosen.append(digest)
                    excess -= place.size
            gone += await self.evict(chosen) if chosen else 0
        return gone

    def usage(self) -> Usage:
        """What is held and what is free."""
        pending = self._sections
        return Usage(
            chunks=self._chunks + len(pending.pending),
            bytes=self._bytes + pending.pending_bytes,
            quota=self.quota,
            disk_free=self._sections.free(),
        )

    async def digests(self) -> list[Digest]:
        """All chunks held, oldest first."""
        await self.sync()
        return await self._db.read(index.digests)

    async def audit(self) -> AuditResult:
        """Read and verify everything; what is damaged or lost becomes missing, and is listed."""
        await self.sync()
        result = AuditResult()
        numbers = sorted(await self._db.read(index.ends))
        for number in numbers:
            rows = await self._in_section(number)
            for digest, place in rows:
                state = await self._thread(upkeep.check, self._sections, digest, place)
                if state != upkeep.GOOD and self._place(digest) == place:
                    await self._forget_damaged(digest, place)
                    (result.lost if state == upkeep.LOST else result.damaged).append(digest)
                result.checked += 1
        known = {*numbers, self._sections.active}
        result.extra.extend(self._sections.path(n).name for n in self._sections.numbers() if n not in known)
        return result

    # -- within ----------------------------------------------------------------------------------------

    async def _thread(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    async def _in_section(self, number: int) -> list[tuple[Digest, Place]]:
        return await self._db.read(lambda connection: index.in_section(connection, number))

    def _place(self, digest: Digest) -> Place | None:
        place = self._sections.pending.get(digest)
        if place is not None or digest in self._leaving:
            return place
        return self._db.peek(lambda connection: index.place_of(connection, digest))

    def _take(self, digest: Digest, stored: bytes) -> None:
        unseal(digest, stored)
        self._sections.append(digest, stored)

    def _check_room(self, needed: int) -> None:
        if self.quota is not None:
            held = self._bytes + self._sections.pending_bytes + self._arriving_bytes + sum(self._dead.values())
            if held + needed > self.quota:
                raise StoreFull(needed=needed, free=max(0, self.quota - held), where=f"quota of {self._folder}")
        free = self._sections.free() - self._reserve - self._arriving_bytes
        if needed > free:
            raise StoreFull(needed=needed, free=max(0, free), where=str(self._folder))

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
                self._count(*await self._db.write(lambda connection: index.put(connection, batch.items())))
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

    async def _reclaim(self, number: int) -> None:
        rows = await self._in_section(number)
        dead = await self._thread(upkeep.reclaim, self._sections, number, rows)
        self._dead.pop(number, None)
        if not dead:
            return
        self._dead[number] = dead
        live = sum(place.size for _, place in rows)
        if dead > live and number != self._sections.active:
            # No holes on this file system: what is left moves to the newest section, and the file goes.
            await self._thread(upkeep.move, self._sections, rows)
            await self._flush()
            if await self._in_section(number) == [] and await self._thread(self._sections.drop, number):
                del self._dead[number]

    async def _recover(self) -> None:
        ends = await self._db.read(index.ends)
        removed = await self._thread(self._sections.recover, {number: end for number, (end, _) in ends.items()})
        self._count(*await self._db.read(index.totals))
        await self._thread(self._ballast.take_in)
        if removed:
            log.info("sections removed that no chunk is in", sections=removed)
        for number, (_, live) in ends.items():
            # A crash between eviction and giving back left space behind.
            if self._sections.allocated(number) > live + max(MIB, live // 8):
                await self._reclaim(number)

    async def _close(self) -> None:
        try:
            await self.sync()
        except (TiercastError, OSError, sqlite3.Error) as error:
            log.error("chunks not durable", reason=str(error), folder=str(self._folder))  # noqa: TRY400 - no bug
        await asyncio.to_thread(self._pool.shutdown)
        self._sections.close()
