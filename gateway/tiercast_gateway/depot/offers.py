"""The patches that this node heard of: kept, sent down with the orders they serve, and later when they come later.

Rules (docs/protocol.md, section 11)
- An offer is a hint from above, unsigned: of nonsense nothing is kept, of the rest the newest `MOST`.
- An order carries the offers that can lead to its package; what is heard while the order is open goes after it.
- A patch's own chunks belong to the package that it leads to: they stay and go with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Protocol

from tiercast_protocol.content.patches.patch import decode_patch
from tiercast_protocol.content.patches.patchway import leading_to
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE, Digest
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ProtocolError
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.messages import PatchOffer

#: Offers kept, and offers that go with one order.
MOST, WITH_AN_ORDER = 4096, 16
_LARGEST = 1 << 53
SCHEMA = """
CREATE TABLE patch_offers(
    base BLOB NOT NULL, result BLOB NOT NULL, patch BLOB NOT NULL, size INTEGER NOT NULL, plain INTEGER NOT NULL,
    heard INTEGER NOT NULL, PRIMARY KEY(base, result)) WITHOUT ROWID;
"""


class RawReader(Protocol):
    """Gives raw chunks."""

    async def raw(self, digest: Digest) -> bytes:
        """The proved raw bytes of the chunk."""
        ...


class Offers:
    """The table `patch_offers` of one node, in memory."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[tuple[Digest, Digest], PatchOffer] = {}
        self._results: dict[Digest, set[Digest]] = {}

    async def load(self) -> None:
        """Read them; once, at start."""
        rows = await self._db.read(
            lambda c: c.execute("SELECT base, result, patch, size, plain FROM patch_offers ORDER BY heard").fetchall()
        )
        for base, result, patch, size, plain in rows:
            self._enter(PatchOffer(base=base, result=result, patch=patch, size=size, plain=plain))

    def leads_to(self, root: Digest) -> bool:
        """Whether any patch makes this package."""
        return root in self._results

    def leading_to(self, root: Digest) -> list[PatchOffer]:
        """The offers that may serve whoever wants this package."""
        return leading_to(self._known.values(), root, WITH_AN_ORDER) if root in self._results else []

    async def learn(self, offers: Sequence[PatchOffer]) -> list[PatchOffer]:
        """Keep these; those that are news."""
        sound = [offer for offer in offers[:MOST] if _sound(offer)]
        news = [offer for offer in sound if self._known.get((offer.base, offer.result)) != offer]
        if news:
            for offer in news:
                self._enter(offer)
            surplus = list(self._known)[: max(0, len(self._known) - MOST)]
            self._drop(surplus)
            heard = time.time_ns()
            rows = [(o.base, o.result, o.patch, o.size, o.plain, heard + n) for n, o in enumerate(news)]
            await self._db.write(lambda c: _write(c, rows, surplus))
        return news

    async def forget(self, root: Digest) -> None:
        """The package is no more, and neither are the patches that lead to it."""
        gone = [(base, root) for base in self._results.get(root, ())]
        self._drop(gone)
        await self._db.write(lambda c: _write(c, [], gone))

    async def chunks_of(self, root: Digest, store: RawReader) -> set[Digest]:
        """The chunks of all patches that lead to this package, as far as they can be named here."""
        found: set[Digest] = set()
        for base in self._results.get(root, ()):
            patch = self._known[base, root].patch
            found.add(patch)
            try:
                found.update(decode_patch(await store.raw(patch)).pieces)
            except (ChunkMissing, ChunkCorrupt, ProtocolError):
                continue
        return found

    def _enter(self, offer: PatchOffer) -> None:
        key = (offer.base, offer.result)
        self._known.pop(key, None)  # the newest stand last
        self._known[key] = offer
        self._results.setdefault(offer.result, set()).add(offer.base)

    def _drop(self, keys: Iterable[tuple[Digest, Digest]]) -> None:
        for base, result in keys:
            del self._known[base, result]
            self._results[result].discard(base)
            if not self._results[result]:
                del self._results[result]


def waiting_children(c: Connection, root: Digest) -> list[str]:
    """The children through which targets of open orders for this package are reached."""
    rows = c.execute(
        "SELECT DISTINCT t.via FROM order_targets t JOIN orders o USING (job, revision)"
        " WHERE o.open = 1 AND o.root = ? AND t.via != ''",
        (root,),
    )
    return [row[0] for row in rows]


def _sound(offer: PatchOffer) -> bool:
    digests = {len(offer.base), len(offer.result), len(offer.patch)} == {DIGEST_SIZE}
    return digests and offer.base != offer.result and all(0 <= n < _LARGEST for n in (offer.size, offer.plain))


def _write(
    c: Connection, rows: list[tuple[bytes, bytes, bytes, int, int, int]], gone: list[tuple[Digest, Digest]]
) -> None:
    c.executemany("INSERT OR REPLACE INTO patch_offers VALUES (?,?,?,?,?,?)", rows)
    c.executemany("DELETE FROM patch_offers WHERE base = ? AND result = ?", gone)
