"""The agent's use of patches: from what is installed to what is ordered (docs/protocol.md, section 11).

Rules
- Nobody names a base: whatever tree stands here is one, and the cheapest way over the offers is taken.
- Base content is read where it lies, staged or installed, and proved; it is never fetched for a patch.
- Whatever fails costs nothing but its chunks, which are fetched like any others; it is logged and counted.
- Who takes a part of the package only (its file group) makes that part only.
- Offers are hints from the parent, unsigned: few are kept, the oldest go first.
- What only served as a step (payloads, versions in between) goes as soon as the last step is done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

import structlog

from tiercast_endpoint.memory import give_back
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.sources import Sources
from tiercast_protocol.content.patches import patch as p
from tiercast_protocol.content.patches.patchway import cheapest_way
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ProtocolError, StoreFull
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.fetch import Fetcher, package_digests, read_root
from tiercast_protocol.node.patching import Patcher, RawStore
from tiercast_protocol.wire.messages import PatchOffer

log = structlog.get_logger(__name__)

Digest = bytes
#: Offers that are kept.
MOST = 256
SCHEMA = """
CREATE TABLE patch_offer (
    id INTEGER PRIMARY KEY,
    base BLOB NOT NULL,
    result BLOB NOT NULL,
    patch BLOB NOT NULL,
    size INTEGER NOT NULL,
    plain INTEGER NOT NULL,
    UNIQUE (base, result)
);
"""


class StagingStore(RawStore, Protocol):
    """What is asked of the store of staged chunks."""

    async def evict(self, digests: Sequence[Digest]) -> int:
        """Drop these; returns how many went."""
        ...


class Patches:
    """Patches of one agent.

    Args:
        db: the agent's journal, with the tables of `SCHEMA`.
        store: staged chunks.
        sources: chunks of installed files.
        fetcher: brings chunks into the store; it need not be patient, for chunks are always a way.
    """

    def __init__(self, db: Database, store: StagingStore, sources: Sources, fetcher: Fetcher) -> None:
        self._db = db
        self._store = store
        self._sources = sources
        self._patcher = Patcher(store, fetcher, read=self._read, has=self._has, give_back=give_back)

    def shown(self) -> dict[str, Any]:
        """As the `status` verb answers it."""
        return self._patcher.tally.shown()

    async def hear(self, offers: Sequence[PatchOffer]) -> None:
        """The parent says that there are these."""
        rows = [
            (o.base, o.result, o.patch, o.size, o.plain)
            for o in offers[:MOST]
            if {len(o.base), len(o.result), len(o.patch)} == {DIGEST_SIZE}
            and 0 <= o.size < 1 << 53
            and 0 <= o.plain < 1 << 53
        ]
        if rows:
            await self._db.write(lambda connection: _keep(connection, rows))

    async def index(self, root: Digest, job: str) -> None:
        """Make root and lists of the package, if a patch leads there; then they are held."""
        if await self._store.has(root):
            return
        for offer in await self._way(root):
            if not await self._step(offer, p.INDEX, job):
                return

    async def content(
        self,
        root: Digest,
        job: str,
        needed: Callable[[], Awaitable[set[Digest]]],
        wanted: Callable[[Digest], Awaitable[Collection[Digest] | None]],
        told: Callable[[int], None],
    ) -> None:
        """Make what a patch makes of the package's data chunks, with its index held.

        `needed` names what must stay when the steps in between are given up; `wanted` those data chunks of a package
        that are taken here, None for all; `told` hears how many of the package's bytes the last step has made so far.
        """
        way = await self._way(root)
        for offer in way:
            taken = await wanted(offer.result)
            last = offer is way[-1]
            if not await self._step(offer, p.CONTENT, job, taken, told if last else None) and not last:
                break  # without the version in between the next step has no base
        if way:
            await self._tidy(way, needed)

    async def _way(self, root: Digest) -> list[PatchOffer]:
        offers = await self._db.read(_offers)
        if not any(offer.result == root for offer in offers):
            return []
        held = {tree.root for tree in await self._db.read(holdings.trees) if await self._is_readable(tree.root)}
        return cheapest_way(offers, held, root)

    async def _is_readable(self, root: Digest) -> bool:
        try:
            lists = (await read_root(root, self._store)).lists
        except (ChunkMissing, ChunkCorrupt, ProtocolError):
            return False
        return all([await self._store.has(digest) for digest in lists])

    async def _step(
        self,
        offer: PatchOffer,
        kind: int,
        job: str,
        wanted: Collection[Digest] | None = None,
        told: Callable[[int], None] | None = None,
    ) -> bool:
        """One patch, as far as `kind` goes; False when something of it has to come as chunks."""
        try:
            patch = await self._patcher.fetch(offer, job)
            return await self._patcher.apply(patch, kind, job, wanted, told)
        except (ChunkMissing, ChunkCorrupt, ProtocolError, StoreFull) as error:
            self._patcher.tally.failed += 1
            log.warning("patch.failed", job=job, patch=offer.patch.hex()[:16], reason=str(error))
            return False

    async def _tidy(self, way: Sequence[PatchOffer], needed: Callable[[], Awaitable[set[Digest]]]) -> None:
        done: set[Digest] = set()
        for offer in way:
            done.add(offer.patch)
            try:
                done.update(p.decode_patch(await self._store.raw(offer.patch)).pieces)
            except (ChunkMissing, ChunkCorrupt, ProtocolError):
                continue
        for offer in way[:-1]:
            done |= await package_digests(offer.result, self._store)
        done -= await needed()
        await self._store.evict(list(done))
        results = [(offer.result,) for offer in way[-1:]]
        await self._db.write(
            lambda connection: connection.executemany("DELETE FROM patch_offer WHERE result=?", results)
        )

    # -- what is held ----------------------------------------------------------------------------------

    async def _has(self, digest: Digest) -> bool:
        return await self._store.has(digest) or digest in await self._sources.known([digest])

    async def _read(self, digest: Digest) -> bytes:
        try:
            return await self._store.raw(digest)
        except ChunkMissing:
            return await self._sources.read(digest)


def _keep(connection: sqlite3.Connection, rows: Iterable[tuple[bytes, bytes, bytes, int, int]]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO patch_offer (base, result, patch, size, plain) VALUES (?,?,?,?,?)", rows
    )
    connection.execute(
        "DELETE FROM patch_offer WHERE id NOT IN (SELECT id FROM patch_offer ORDER BY id DESC LIMIT ?)", (MOST,)
    )


def _offers(connection: sqlite3.Connection) -> list[PatchOffer]:
    rows = connection.execute("SELECT base, result, patch, size, plain FROM patch_offer ORDER BY id")
    return [PatchOffer(base=r[0], result=r[1], patch=r[2], size=r[3], plain=r[4]) for r in rows]
