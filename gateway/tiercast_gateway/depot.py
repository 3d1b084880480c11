"""What this node holds for those below it: a disk store, the packages it belongs to, and what may go.

Rules (docs/protocol.md, sections 6 and 9)
- A chunk that just passed is in the store's memory for a moment, for it is about to be sent down (cut-through).
- The depot knows packages by their root: the root and the held entry lists name their chunks.
- Kept: what an open job needs, what is pinned, what the node's own work has leased.  Evicted, when room is
  needed: first chunks of no known package, then packages in the order in which nobody asked for them.
- Accounting is by the store's own bytes, never by the file system's.
- The server's depot is the library: nothing is evicted there but by its own deletion.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from sqlite3 import Connection

import structlog

from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ProtocolError, StoreFull, UsageError
from tiercast_protocol.node.chunks.disk import DiskStore, Usage
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.fetch import package_digests

log = structlog.get_logger(__name__)

Digest = bytes
#: Room made beyond what was asked, so that a full depot does not evict for every chunk.
SLACK_BYTES = 32 << 20
#: Seconds for which nothing is fetched after there was no room; those below ask again in the meantime.
FULL_SECONDS = 2.0
FLUSH_SECONDS = 60.0


@dataclass(slots=True)
class HeldPackage:
    """One package that an order or a pin named here; `asked` is milliseconds since 1970."""

    root: Digest
    name: str
    version: str
    revision: int
    asked: int
    pinned: bool = False


class Depot:
    """The chunk store of a node with children; a `WritableStore` itself.

    Args:
        store: the disk store below.
        db: the node's database, with the tables of `tables.SCHEMA`.
        needed: gives the roots that open jobs need.
        library: true on the server: nothing is evicted.
        retention: seconds after which a package that nobody asked for goes; None keeps it while there is room.
    """

    def __init__(
        self,
        store: DiskStore,
        db: Database,
        *,
        needed: Callable[[], Awaitable[set[Digest]]],
        library: bool = False,
        retention: float | None = None,
    ) -> None:
        self.store = store
        self.packages: dict[Digest, HeldPackage] = {}
        self._db = db
        self._needed = needed
        self._library = library
        self._retention = retention
        self._touched: set[Digest] = set()
        self._evicting = asyncio.Lock()
        self._full: StoreFull | None = None
        self._full_until = 0.0

    async def load(self) -> None:
        """Read the known packages; once, at start."""
        rows = await self._db.read(
            lambda c: c.execute("SELECT root, name, version, revision, asked, pinned FROM packages").fetchall()
        )
        self.packages = {
            row[0]: HeldPackage(row[0], row[1], row[2], row[3], row[4], pinned=bool(row[5])) for row in rows
        }

    async def run(self) -> None:
        """Write down who was asked for, and let go what the retention says, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()
            if self._retention is not None and not self._library:
                await self._expire(self._retention)

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

    def size(self, digest: Digest) -> int | None:
        """Bytes of the stored form, or None when it is not held; cheap."""
        return self.store.size(digest)

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """Verify and keep; makes room first if it must.  Raises `ChunkCorrupt`, `StoreFull`."""
        try:
            return await self.store.put(digest, stored)
        except StoreFull as full:
            if self._library or not await self.make_room(len(stored) + SLACK_BYTES):
                self._full_until = time.monotonic() + FULL_SECONDS
                self._full = full
                raise
            log.info("depot.made_room", needed=full.needed)
            return await self.store.put(digest, stored)

    @property
    def full(self) -> StoreFull | None:
        """Why nothing more is to be fetched now; None when there is room as far as is known."""
        return self._full if self._full is not None and time.monotonic() < self._full_until else None

    def usage(self) -> Usage:
        """Chunks, bytes, quota and what the disk has left."""
        return self.store.usage()

    # -- packages --------------------------------------------------------------------------------------

    async def know(self, root: Digest, name: str, version: str, revision: int) -> None:
        """An order or a pin named this package."""
        now = _now()
        held = self.packages.get(root)
        self.packages[root] = HeldPackage(root, name, version, revision, now, held.pinned if held else False)
        await self._db.write(
            lambda c: c.execute(
                "INSERT INTO packages(root, name, version, revision, asked) VALUES (?,?,?,?,?)"
                " ON CONFLICT(root) DO UPDATE SET asked = excluded.asked",
                (root, name, version, revision, now),
            )
        )

    def asked(self, digests: Iterable[Digest]) -> None:
        """Somebody below asked for these; what is a known root counts as asked for now."""
        for digest in digests:
            if digest in self.packages:
                self.packages[digest].asked = _now()
                self._touched.add(digest)

    async def flush(self) -> None:
        """Write down when packages were last asked for."""
        rows = [(self.packages[root].asked, root) for root in self._touched if root in self.packages]
        self._touched.clear()
        if rows:
            await self._db.write(lambda c: c.executemany("UPDATE packages SET asked = ? WHERE root = ?", rows))

    def find(self, package: str) -> HeldPackage:
        """The newest package called "name", "name=version", or by its root's hex digits.

        Raises:
            UsageError: no such package is known here.
        """
        name, _, version = package.partition("=")
        found = [
            p
            for p in self.packages.values()
            if (p.name == name and version in {"", p.version}) or p.root.hex() == package.lower()
        ]
        if not found:
            raise UsageError(
                code="package.unknown",
                what=f"The package {package} is not known in this depot",
                todo="See what is there with: tiercast depot show",
            )
        return max(found, key=lambda p: p.asked)

    async def pin(self, package: str, *, pinned: bool = True) -> HeldPackage:
        """Keep the package until it is unpinned; raises `UsageError` when it is not known."""
        held = self.find(package)
        held.pinned = pinned
        await self._db.write(
            lambda c: c.execute("UPDATE packages SET pinned = ? WHERE root = ?", (int(pinned), held.root))
        )
        return held

    # -- letting go ------------------------------------------------------------------------------------

    async def make_room(self, target: int) -> bool:
        """Evict at least `target` bytes if what is unneeded allows; whether anything went."""
        async with self._evicting:
            before = self.usage().bytes
            kept = await self._kept()
            known = set(kept)
            for package in self.packages.values():
                known |= await self._digests(package.root)
            await self._evict([d for d in await self.store.digests() if d not in known], target)
            for package in sorted(self.packages.values(), key=lambda p: p.asked):
                freed = before - self.usage().bytes
                if freed >= target:
                    break
                await self._let_go(package, kept)
            return self.usage().bytes < before

    async def drop(self, root: Digest) -> int:
        """Let one package go (an order to purge it): bytes freed; what other packages keep stays.

        Raises:
            UsageError: an open job still needs it.
        """
        if root in await self._needed():
            raise UsageError(
                code="depot.needed", what="An open job still needs the package", todo="Cancel the job first"
            )
        async with self._evicting:
            before = self.usage().bytes
            held = self.packages.get(root) or HeldPackage(root, "", "", 0, 0)
            held.pinned = False
            kept = await self._kept()
            for other in self.packages.values():
                if other.root != root:
                    kept |= await self._digests(other.root)
            await self._let_go(held, kept)
            return before - self.usage().bytes

    async def evict_unneeded(self) -> tuple[int, int]:
        """Let go all that no open job needs and no pin holds: chunks and bytes freed.

        Raises:
            UsageError: this depot is the library.
        """
        if self._library:
            raise UsageError(
                code="depot.library",
                what="The server's depot is the library: nothing is evicted from it",
                todo="Delete packages instead: tiercast package delete NAME=VERSION",
            )
        before = self.usage()
        await self.make_room(before.bytes + 1)
        after = self.usage()
        return before.chunks - after.chunks, before.bytes - after.bytes

    async def _expire(self, retention: float) -> None:
        limit = _now() - int(retention * 1000)
        async with self._evicting:
            kept = await self._kept()
            old = [p for p in self.packages.values() if p.asked < limit and p.root not in kept]
            for package in self.packages.values():
                if package.asked >= limit:
                    kept |= await self._digests(package.root)
            for package in old:
                log.info("depot.retention", package=package.name, version=package.version)
                await self._let_go(package, kept)

    async def _kept(self) -> set[Digest]:
        roots = await self._needed() | {p.root for p in self.packages.values() if p.pinned}
        kept: set[Digest] = set()
        for root in roots:
            kept |= await self._digests(root)
        return kept

    async def _digests(self, root: Digest) -> set[Digest]:
        try:
            return await package_digests(root, self.store)
        except (ChunkMissing, ChunkCorrupt, ProtocolError):
            return {root}

    async def _let_go(self, package: HeldPackage, kept: set[Digest]) -> None:
        if package.root in kept:
            return
        # The root goes last, so that a kill in between leaves a package that can still name its chunks.
        digests = await self._digests(package.root)
        lists = digests - kept - {package.root}
        await self._evict(list(lists))
        await self._evict([package.root])
        self.packages.pop(package.root, None)
        await self._db.write(lambda c: _delete(c, package.root))

    async def _evict(self, digests: list[Digest], target: int | None = None) -> None:
        """Evict all of these, or as many as free `target` bytes."""
        if target is not None:
            freed, some = 0, []
            for digest in digests:
                if freed >= target:
                    break
                some.append(digest)
                freed += self.size(digest) or 0
            digests = some
        if digests:
            await self.store.evict(digests)


def _delete(connection: Connection, root: Digest) -> None:
    connection.execute("DELETE FROM packages WHERE root = ?", (root,))


def _now() -> int:
    return time.time_ns() // 1_000_000
