"""What this node holds for those below it: a disk store, the packages it belongs to, and what may go.

Rules (docs/protocol.md, sections 6 and 9)
- A chunk that just passed is in the store's memory for a moment, for it is about to be sent down (cut-through).
- The depot knows packages by their root: the root and the held entry lists name their chunks (packages.py).
- What goes and what stays when room is needed: room.py.  Nothing goes that anybody relies on.
- The server's depot is the library: nothing is evicted there but by its own deletion.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from tiercast_gateway.depot.marks import Marks
from tiercast_gateway.depot.packages import HeldPackage, KnownPackages
from tiercast_gateway.depot.room import Room, nothing_more
from tiercast_protocol.errors import StoreFull, UsageError
from tiercast_protocol.node.chunks.disk import DiskStore, Usage
from tiercast_protocol.node.chunks.port import Taken
from tiercast_protocol.node.database import Database

__all__ = ["Depot", "HeldPackage"]

log = structlog.get_logger(__name__)

Digest = bytes
#: Room made beyond what was asked, so that a full depot does not evict for every chunk.
SLACK_BYTES = 32 << 20
#: Seconds for which nothing is fetched after there was no room; those below ask again in the meantime.
FULL_SECONDS = 2.0
#: So much longer it counts as short of room, for people: whoever was refused asks again within that time.
SHORT_SECONDS = 30.0
FLUSH_SECONDS = 60.0


class Depot:
    """The chunk store of a node with children; a `WritableStore` itself.

    Args:
        store: the disk store below.
        db: the node's database, with the tables of `tables.SCHEMA`.
        needed: gives the roots that open jobs need.
        patches: gives the chunks of the patches that lead to a package.
        library: true on the server: nothing is evicted.
        retention: seconds after which a package that nobody asked for goes; None keeps it while there is room.
        marks: high and low mark.
    """

    def __init__(
        self,
        store: DiskStore,
        db: Database,
        *,
        needed: Callable[[], Awaitable[set[Digest]]],
        patches: Callable[[Digest], Awaitable[set[Digest]]] = nothing_more,
        library: bool = False,
        retention: float | None = None,
        marks: Marks | None = None,
    ) -> None:
        self.store = store
        self.packages = KnownPackages(db)
        self.room = Room(store, self.packages, needed=needed, patches=patches, marks=marks or Marks(), library=library)
        self.library = library
        #: Bytes that were put since the start.
        self.bytes_in = 0
        self._retention = retention
        self._full: StoreFull | None = None
        self._full_until = 0.0

    async def load(self) -> None:
        """Read the known packages; once, at start."""
        await self.packages.load()

    async def run(self) -> None:
        """Write down who was asked for, and let go what marks and retention say, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.room.run())
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.packages.flush()
                if self._retention is not None and not self.library:
                    await self.room.expire(self._retention)

    # -- a store ---------------------------------------------------------------------------------------

    async def get(self, digest: Digest) -> bytes:
        """The stored form, verified; out of memory when it was put or read lately.

        Raises:
            ChunkMissing: not held here.
            ChunkCorrupt: it was held, and its bytes are damaged; from now on it is missing.
        """
        return await self.store.get(digest)

    async def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        """`get` of each, in this order; what must come from the disk comes together."""
        return await self.store.get_many(digests)

    async def has(self, digest: Digest) -> bool:
        """Whether the chunk is held."""
        return self.store.size(digest) is not None

    def held(self, digests: Sequence[Digest]) -> dict[Digest, int]:
        """Those of `digests` that are held, with the bytes of their stored forms; one look-up for all."""
        return self.store.held(digests)

    def size(self, digest: Digest) -> int | None:
        """Bytes of the stored form, or None when it is not held; cheap."""
        return self.store.size(digest)

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """Verify and keep; makes room first if it must.  Raises `ChunkCorrupt`, `StoreFull`."""
        (result,) = await self.put_many([(digest, stored)])
        if isinstance(result, Exception):
            raise result
        return result

    async def put_many(self, chunks: Sequence[tuple[Digest, bytes | memoryview]]) -> list[Taken]:
        """`put` of each; what became of it, in their order."""
        results = await self.store.put_many(chunks)
        full = [n for n, result in enumerate(results) if isinstance(result, StoreFull)]
        if full:
            reason = results[full[0]]
            if not await self._make_room(sum(len(chunks[n][1]) for n in full)):
                self._refuse(reason)
                return results
            log.info("depot.made_room", chunks=len(full))
            for n, result in zip(full, await self.store.put_many([chunks[n] for n in full]), strict=True):
                results[n] = result
        else:
            self._full = None
            self.room.grown()
        self.bytes_in += sum(len(stored) for (_, stored), taken in zip(chunks, results, strict=True) if taken is True)
        return results

    def _refuse(self, reason: Taken) -> None:
        if isinstance(reason, StoreFull):
            self._full_until = time.monotonic() + FULL_SECONDS
            self._full = reason

    async def _make_room(self, needed: int) -> bool:
        if self.library:
            return False
        low = self.room.limits()[1]
        gone = await self.room.make(max(needed + SLACK_BYTES, self.store.own_bytes + needed - low))
        return gone.bytes > 0

    @property
    def full(self) -> StoreFull | None:
        """Why nothing more is to be fetched now; None when there is room as far as is known."""
        return self._full if self._full is not None and time.monotonic() < self._full_until else None

    @property
    def short(self) -> StoreFull | None:
        """The last refusal for want of room, while nothing was stored since and it was not long ago."""
        return self._full if self._full is not None and time.monotonic() < self._full_until + SHORT_SECONDS else None

    def usage(self) -> Usage:
        """Chunks, bytes, quota and what the disk has left."""
        return self.store.usage()

    # -- packages --------------------------------------------------------------------------------------

    async def know(self, root: Digest, name: str, version: str, revision: int) -> None:
        """An order, a pin or media named this package."""
        await self.packages.know(root, name, version, revision)

    def asked(self, digests: Iterable[Digest]) -> None:
        """Somebody below asked for these; what is a known root counts as asked for now."""
        self.packages.asked(digests)

    async def drop(self, root: Digest) -> int:
        """Let one package go (an order to purge it): bytes freed; raises `UsageError` while an open job needs it."""
        return await self.room.drop(root)

    def check_evictable(self) -> None:
        """Raise `UsageError` where nothing may be evicted: this depot is the library."""
        if self.library:
            raise UsageError(
                code="depot.library",
                what="The server's depot is the library: nothing is evicted from it",
                todo="Delete packages instead: tiercast package delete NAME=VERSION",
            )
