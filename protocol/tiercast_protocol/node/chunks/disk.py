"""Chunks on a disk: section files, an index in SQLite, verified on every read (docs/adr/0004).

Rules
- After a crash the store holds exactly what was indexed; the tail behind it is cut off.
- Eviction removes rows (committed), then gives the space back.  A leased chunk is never evicted.
- A full disk is a state like others: what can't be taken is refused, and letting go works.
- How chunks are taken, given and made durable: chunks/durable.py.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.errors import StoreFull, TiercastError
from tiercast_protocol.node.chunks import index, upkeep
from tiercast_protocol.node.chunks.ballast import Ballast
from tiercast_protocol.node.chunks.durable import MIB, DurableChunks, Usage
from tiercast_protocol.node.chunks.index import Place
from tiercast_protocol.node.chunks.sections import Sections
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.files import Files, RealFiles, make_folder
from tiercast_protocol.node.leases import Leases
from tiercast_protocol.node.sqlite import Connect, connect_sqlite

__all__ = ["DiskStore", "Usage"]

log = structlog.get_logger(__name__)

#: Chunks evicted at once on a full disk.
_PORTION = 32


class DiskStore(DurableChunks):
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
        super().__init__(
            db,
            sections,
            folder=folder,
            quota=quota,
            reserve=reserve,
            flush_bytes=flush_bytes,
            flush_after=flush_after,
            keep_verified=keep_verified,
        )
        self._ballast = ballast
        #: What is never evicted while somebody relies on it.
        self.leases = Leases()

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
        chosen = self.leases.free(digests)
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

    async def digests(self) -> list[Digest]:
        """All chunks held, oldest first."""
        await self.sync()
        return await self._db.read(index.digests)

    async def sizes(self) -> dict[Digest, int]:
        """All chunks held with their bytes, in the order of the disk."""
        await self.sync()
        return await self._db.read(index.sizes)

    @property
    def own_bytes(self) -> int:
        """What all of this takes: chunks, what sections can't give back, index and ballast."""
        kept = (self._folder / "index.db", self._folder / "index.db-wal", self._folder / "ballast")
        fixed = sum(self._sections.size_of(path) for path in kept)
        return fixed + self._bytes + self._sections.pending_bytes + sum(self._dead.values())

    @property
    def capacity(self) -> int:
        """The most that `own_bytes` may become: the quota, or what the disk has beyond the reserve."""
        free = max(0, self._sections.free() - self._reserve)
        return self.quota if self.quota is not None else self.own_bytes + free

    # -- proving what is held --------------------------------------------------------------------------

    async def rows_after(self, place: Place | None, most: int) -> list[tuple[Digest, Place]]:
        """At most `most` durable chunks that lie behind `place`, in the order of the disk; None is the beginning."""
        return await self._db.read(lambda connection: index.after(connection, place, most))

    async def check(self, rows: Sequence[tuple[Digest, Place]], *, pool: Executor | None = None) -> dict[Digest, str]:
        """Read and prove these in a thread of `pool`; those that are "damaged" or "lost" become missing, and are given.

        One that was evicted or moved meanwhile is none of them.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(pool or self._pool, upkeep.check_some, self._sections, rows)
        bad: dict[Digest, str] = {}
        for digest, place in rows:
            state = found.get(digest)
            if state is not None and self._place(digest) == place:
                await self._forget_damaged(digest, place)
                bad[digest] = state
        async with self._upkeep:
            for number in sorted({place.section for digest, place in rows if digest in bad}):
                await self._reclaim(number)
        return bad

    async def unindexed(self) -> list[str]:
        """Names of section files that no chunk is in."""
        await self.sync()
        known = {*await self._db.read(index.ends), self._sections.active}
        return [self._sections.path(n).name for n in await self._thread(self._sections.numbers) if n not in known]

    # -- within ----------------------------------------------------------------------------------------

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
