"""Room in a depot: what goes, when, and what it says before.

Rules (docs/operations.md)
- Own bytes count, never the file system's: chunks, what their sections can't give back, index and ballast.
- At the high mark it begins by itself and goes on down to the low one; what comes without room waits for it.
- What goes is planned first (`eviction.plan`) and planned from what is true at that moment; the store refuses
  besides whatever is leased when it comes to it.
- A package's row goes after its chunks, so that a kill in between leaves a package that can still name them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from tiercast_gateway.depot.eviction import Candidate, Plan, plan
from tiercast_gateway.depot.marks import Marks
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ProtocolError, TiercastError, UsageError
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.fetch import package_digests
from tiercast_protocol.node.leases import KEEP, ORDER, PIN

if TYPE_CHECKING:
    from tiercast_gateway.depot.packages import KnownPackages

log = structlog.get_logger(__name__)

Digest = bytes
#: Seconds after an eviction that could not free enough before the next one is tried.
FULL_SECONDS = 30.0
#: Chunks let go before it is asked whether the plan still holds.
PORTION = 256


@dataclass(frozen=True, slots=True)
class Gone:
    """What an eviction did, or would do: chunks, bytes, names of packages, and bytes of what stays by reason."""

    chunks: int
    bytes: int
    packages: tuple[str, ...]
    kept: dict[str, int]
    enough: bool

    def shown(self) -> dict[str, Any]:
        """As verbs answer it."""
        return {
            "chunks": self.chunks,
            "bytes": self.bytes,
            "freed": self.bytes,
            "packages": list(self.packages),
            "kept": self.kept,
            "enough": self.enough,
        }


async def nothing_more(_root: Digest) -> set[Digest]:
    """No patch leads anywhere."""
    return set()


class Room:
    """Makes room in one store.

    Args:
        store: what is emptied.
        packages: what is known of packages here.
        needed: gives the roots that open jobs need.
        patches: gives the chunks of the patches that lead to a package: they stay and go with it.
        marks: when to begin and where to stop.
        library: true on the server: nothing goes by itself.
    """

    def __init__(
        self,
        store: DiskStore,
        packages: KnownPackages,
        *,
        needed: Callable[[], Awaitable[set[Digest]]],
        patches: Callable[[Digest], Awaitable[set[Digest]]],
        marks: Marks,
        library: bool,
    ) -> None:
        self._store, self._packages, self._needed, self._patches = store, packages, needed, patches
        self._marks, self._library = marks, library
        self._turn = asyncio.Lock()
        self._high = asyncio.Event()
        self._not_before = 0.0
        #: What stood in the way of the last eviction that could not free enough.
        self.refused: Gone | None = None

    def limits(self) -> tuple[int, int]:
        """(high, low) in bytes, as the disk stands now."""
        return self._marks.bytes_of(self._store.capacity)

    def grown(self) -> None:
        """A chunk came in: perhaps it is time to let something go."""
        if not self._library and not self._high.is_set() and time.monotonic() >= self._not_before:
            high, low = self.limits()
            if low < high <= self._store.own_bytes:
                self._high.set()

    async def run(self) -> None:
        """Let go whenever the high mark is reached, until cancelled."""
        while True:
            await self._high.wait()
            try:
                gone = await self.make(max(0, self._store.own_bytes - self.limits()[1]))
                log.info("depot.high_mark", freed=gone.bytes, packages=gone.packages, enough=gone.enough)
                if not gone.enough:
                    self._not_before = time.monotonic() + FULL_SECONDS
            except (TiercastError, OSError, sqlite3.Error) as error:
                log.warning("depot.high_mark", reason=str(error), again_s=FULL_SECONDS)
                self._not_before = time.monotonic() + FULL_SECONDS
            finally:
                self._high.clear()

    async def make(self, target: int) -> Gone:
        """Free at least `target` bytes if what nobody relies on allows."""
        async with self._turn:
            before = self._store.usage()
            while True:
                changes = self._packages.changes
                freed = before.bytes - self._store.usage().bytes
                decided = await self._plan(max(0, target - freed))
                if await self._carry_out(decided, changes):
                    break
            names = self._names(decided.packages)
            await self._packages.forget([r for r in decided.packages if self._store.size(r) is None])
            after = self._store.usage()
        gone = Gone(
            before.chunks - after.chunks,
            before.bytes - after.bytes,
            names,
            decided.kept,
            enough=decided.enough,
        )
        self.refused = None if gone.enough else gone
        return gone

    async def _carry_out(self, decided: Plan, changes: int) -> bool:
        """Let go what was decided; False when an order, a pin or the like came meanwhile: then it is decided anew."""
        for at in range(0, len(decided.chunks), PORTION):
            if self._packages.changes != changes:
                return False
            await self._store.evict(decided.chunks[at : at + PORTION])
        return True

    async def would(self, target: int) -> Gone:
        """What `make(target)` would do now."""
        decided = await self._plan(target)
        names = self._names(decided.packages)
        return Gone(len(decided.chunks), decided.freed, names, decided.kept, enough=decided.enough)

    async def drop(self, root: Digest) -> int:
        """Let one package go (an order to purge it): bytes freed; what other packages keep stays.

        Raises:
            UsageError: an open job still needs it.
        """
        if root in await self._needed():
            raise UsageError(
                code="depot.needed", what="An open job still needs the package", todo="Cancel the job first"
            )
        async with self._turn:
            going = await self._digests(root)
            for other in self._packages.all():
                if other.root != root:
                    going = going - await self._digests(other.root)
            for other_root in await self._needed():
                going = going - await self._digests(other_root)
            before = self._store.usage().bytes
            if going:
                await self._store.evict([*(going - {root}), *(going & {root})])
            await self._packages.forget([root])
            return before - self._store.usage().bytes

    async def expire(self, retention: float) -> None:
        """Let go the packages that nobody asked for in `retention` seconds, and that nothing holds."""
        now = self._packages.clock()
        needed = await self._needed()
        for package in self._packages.all():
            if package.asked < now - int(retention * 1000) and not self._why(package.root, needed):
                log.info("depot.retention", package=package.name, version=package.version)
                await self.drop(package.root)

    async def _plan(self, target: int) -> Plan:
        needed = await self._needed()
        known = {p.root: p.asked for p in self._packages.all()} | dict.fromkeys(needed - self._packages.roots(), 0)
        candidates = [
            Candidate(root, asked, await self._digests(root), self._why(root, needed)) for root, asked in known.items()
        ]
        held = await self._store.sizes()
        relied = self._store.leases.reason
        return await asyncio.to_thread(plan, held, candidates, target=target, relied=relied)

    def _why(self, root: Digest, needed: set[Digest]) -> str:
        package = self._packages.get(root)
        if root in needed:
            return ORDER
        if package is None:
            return ""
        if package.pinned:
            return PIN
        return KEEP if package.keep_until > self._packages.clock() else ""

    async def members(self, root: Digest) -> set[Digest]:
        """Every chunk of the package that its root and lists name, as far as they are held."""
        return await self._digests(root)

    async def named(self) -> set[Digest]:
        """Every chunk that some known package names."""
        found: set[Digest] = set()
        for root in await self._needed() | self._packages.roots():
            found |= await self._digests(root)
        return found

    async def _digests(self, root: Digest) -> set[Digest]:
        patches = await self._patches(root)
        try:
            return patches | await package_digests(root, self._store)
        except (ChunkMissing, ChunkCorrupt, ProtocolError):
            return patches | {root}

    def _names(self, roots: tuple[Digest, ...]) -> tuple[str, ...]:
        found = (self._packages.get(root) for root in roots)
        return tuple(f"{p.name}={p.version}" for p in found if p is not None)
