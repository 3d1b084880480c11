"""What the machines below say of themselves, kept and passed upward unchanged (docs/protocol.md, section 13).

Rules
- One row per node; of two the higher generation, then the higher number stands, so duplicates and late ones change
  nothing.  A child may bring its own word and that of nodes below it; anything else is dropped.
- A word is in this database before it is acknowledged, and stays marked until it is in the outbox upward.
- A list of software that words name is kept once, whoever names it (`software_rows.py`); one that is not here is asked
  for from the child that brought the word, and what the tier above lacks it asks for.
- Words gather for a while, so that a thousand machines that installed the same are a few messages; those for which
  somebody waits go at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from sqlite3 import Connection

import structlog
from msgspec.structs import replace

from tiercast_gateway.above import Above
from tiercast_gateway.children.routes import Routes
from tiercast_gateway.facts import software_rows
from tiercast_protocol.content.facts.inventory import Inventory
from tiercast_protocol.errors import MessageInvalid, TiercastError
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.facts import Inventories as Said
from tiercast_protocol.wire.facts import InventoryAsk, InventoryEntry, InventorySame, SoftwareList

log = structlog.get_logger(__name__)

SCHEMA = """
CREATE TABLE inventories(
    node TEXT PRIMARY KEY, generation INTEGER NOT NULL, seq INTEGER NOT NULL, told INTEGER NOT NULL,
    data BLOB NOT NULL, signature BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX inventories_untold ON inventories(told) WHERE told = 0;
"""
#: How long words gather, in seconds: after a silence, and while more and more come.
GATHER_SECONDS, BUSY_SECONDS = 2.0, 5.0
#: And those for which somebody waits.
URGENT_SECONDS = 0.05
#: Numbers stay below this; a word and its signature are at most so many bytes.
_MOST, _LARGEST = 1 << 53, 512 << 10
_BATCH_BYTES, _BATCH = 256 << 10, 500
#: Seconds between two looks for lists that nobody names any more.
_SWEEP_S = 600.0


class Inventories:
    """The inventories of a sub-tree; `news` is called when one is another, or gone."""

    def __init__(
        self,
        db: Database,
        above: Above,
        routes: Routes,
        gather: float = GATHER_SECONDS,
        busy: float = BUSY_SECONDS,
        news: Callable[[], None] = lambda: None,
    ) -> None:
        self._db, self._above, self._routes = db, above, routes
        self._gather, self._busy = gather, busy
        #: Called with nodes whose word was kept.
        self.on_taken: Callable[[set[str]], None] = lambda _nodes: None
        self._news = news
        #: Asks a child for what is not here; set by who has the outbox.
        self.ask: Callable[[str, InventoryAsk], Awaitable[object]] | None = None
        self._swept = time.monotonic()
        self._changed = asyncio.Event()
        self._urgent: set[tuple[str, int, int]] = set()
        self._hurry = asyncio.Event()
        self._changed.set()  # the last life may have left some

    async def take(self, peer: str, said: Said) -> None:
        """Keep what the child `peer` brought; returns when it is committed."""
        good: list[InventoryEntry] = []
        for entry in said.entries:
            if not _sound(entry):
                log.warning("inventory.unsound", peer=peer, node=entry.node[:80])
            elif entry.node == peer or self._routes.below(entry.node, peer):
                good.append(entry)
            else:
                log.warning("inventory.foreign", peer=peer, node=entry.node)
        self._urgent.update(_key(entry) for entry in good if entry.urgent)
        if good:
            await self._db.write(lambda c: _upsert(c, good))
        if said.lists:
            await self._take_lists(peer, said.lists)
        if good:
            self.on_taken({entry.node for entry in good})
            await self._ask_for_lists(peer, good)
        if good or said.lists:
            self._changed.set()
            self._news()
            if self._urgent:
                self._hurry.set()

    async def _take_lists(self, peer: str, given: list[SoftwareList]) -> None:
        bases = {one.base for one in given if one.base}
        digests = {one.digest for one in given}
        here, wanted = await self._db.read(lambda c: (software_rows.held(c, bases), software_rows.named(c, digests)))
        some = [one for one in given if one.digest in wanted | bases]
        rows, wrong = await asyncio.to_thread(software_rows.made, some, here)
        for reason in wrong:
            log.warning("software.unsound", peer=peer, reason=reason)
        if rows:
            await self._db.write(lambda c: software_rows.keep(c, rows))
            # what conditions ask of it may be known now
            named = await self._db.read(partial(_naming, [row[0] for row in rows]))
            self.on_taken(named)

    async def _ask_for_lists(self, peer: str, good: Iterable[InventoryEntry]) -> None:
        nodes = [entry.node for entry in good]
        lacking = await self._db.read(lambda c: software_rows.lacking(c, nodes))
        if lacking and self.ask is not None:
            await self.ask(peer, InventoryAsk(lists=sorted(lacking)))

    async def same(self, peer: str, said: InventorySame) -> None:
        """A child says that a word of it still stands: ask for it, unless it is here with its list."""
        if self.ask is not None and not await self._db.read(partial(_stands, peer, said)):
            await self.ask(peer, InventoryAsk(whole=True))

    async def asked(self, message: InventoryAsk) -> None:
        """The tier above lacks these lists: tell them whole, and ask below for those that are not here."""
        here = await self._db.read(lambda c: set(software_rows.held(c, message.lists)))
        await self._db.write(lambda c: software_rows.tell_whole(c, here))
        missing = await self._db.read(lambda c: software_rows.who_names(c, set(message.lists) - here))
        for digest, node in missing.items():
            via = self._routes.via(node)
            if via is not None and self.ask is not None:
                await self.ask(via, InventoryAsk(lists=[digest]))
        if message.whole:
            await self.tell_again()
        self._changed.set()

    async def tell_again(self, nodes: Iterable[str] | None = None) -> None:
        """Pass upward once more what these said (None: all): there it may have been lost, or dropped."""
        rows = None if nodes is None else [(node,) for node in nodes]
        await self._db.write(partial(_untell, rows))
        self._changed.set()

    async def forget(self, nodes: Iterable[str]) -> None:
        """These are no business of this sub-tree any more."""
        rows = [(node,) for node in nodes]
        await self._db.write(lambda c: c.executemany("DELETE FROM inventories WHERE node = ?", rows))
        self._news()

    async def run(self) -> None:
        """Pass upward what changed, until cancelled."""
        said = -BUSY_SECONDS
        while True:
            await self._changed.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(self._gather, said + self._busy - time.monotonic())):
                    await self._hurry.wait()
                    await asyncio.sleep(URGENT_SECONDS)
            self._hurry.clear()
            said = time.monotonic()
            self._changed.clear()
            try:
                await self._tell()
            except (TiercastError, OSError) as error:  # a full disk, for one: it is said when there is room
                log.warning("inventories not told", reason=str(error))
                self._changed.set()
                await asyncio.sleep(self._busy)

    async def _tell(self) -> None:
        more = True
        while more:
            lists, more = await self._db.read(lambda c: software_rows.untold(c, _BATCH_BYTES))
            batch: list[InventoryEntry] = []
            if not more:  # a word after the list that it names
                batch, more = await self._db.read(_untold)
            if batch or lists:
                entries = [replace(entry, urgent=_key(entry) in self._urgent) for entry in batch]
                await self._above.send(Said(entries=entries, lists=lists))
                await self._db.write(partial(_told, batch, lists))
                self._urgent.difference_update(map(_key, batch))
        if time.monotonic() - self._swept > _SWEEP_S:
            self._swept = time.monotonic()
            await self._db.write(software_rows.sweep)


def _key(entry: InventoryEntry) -> tuple[str, int, int]:
    return entry.node, entry.generation, entry.seq


def _sound(entry: InventoryEntry) -> bool:
    """Whether every tier can keep it; what a neighbour sends may be anything."""
    numbers = (entry.generation, entry.seq)
    return all(0 <= number < _MOST for number in numbers) and len(entry.data) + len(entry.signature) <= _LARGEST


def _software_of(data: bytes) -> bytes:
    """The digest of the list that a word names; nothing is believed by it."""
    try:
        return codec.decode(data, Inventory).software
    except MessageInvalid:
        return b""


def _naming(digests: list[bytes], c: Connection) -> set[str]:
    query = "SELECT node FROM inventories WHERE software = ?"
    return {row[0] for digest in digests for row in c.execute(query, (digest,))}


def _stands(node: str, said: InventorySame, c: Connection) -> bool:
    """Whether this word of the node is here, or a later one, with the list that it names."""
    row = c.execute("SELECT generation, seq FROM inventories WHERE node = ?", (node,)).fetchone()
    return row is not None and tuple(row) >= (said.generation, said.seq) and not software_rows.lacking(c, [node])


def _upsert(c: Connection, entries: list[InventoryEntry]) -> None:
    for e in entries:
        c.execute(
            "INSERT INTO inventories(node, generation, seq, told, data, signature, software) VALUES (?,?,?,0,?,?,?)"
            " ON CONFLICT(node) DO UPDATE SET generation = excluded.generation, seq = excluded.seq, told = 0,"
            " data = excluded.data, signature = excluded.signature, software = excluded.software"
            " WHERE (excluded.generation, excluded.seq) > (inventories.generation, inventories.seq)",
            (e.node, e.generation, e.seq, e.data, e.signature, _software_of(e.data)),
        )


def _untold(c: Connection) -> tuple[list[InventoryEntry], bool]:
    """As many as fit into a message, and whether there are more."""
    found: list[InventoryEntry] = []
    size = 0
    query = "SELECT node, generation, seq, data, signature FROM inventories WHERE told = 0 LIMIT ?"
    for node, generation, seq, data, signature in c.execute(query, (_BATCH,)):
        size += len(data) + len(signature) + 100
        if found and size > _BATCH_BYTES:
            return found, True
        found.append(InventoryEntry(node=node, generation=generation, seq=seq, data=data, signature=signature))
    return found, len(found) == _BATCH


def _told(entries: list[InventoryEntry], lists: list[SoftwareList], c: Connection) -> None:
    software_rows.told(c, lists)
    c.executemany(
        "UPDATE inventories SET told = 1 WHERE node = ? AND generation = ? AND seq = ?",
        [(e.node, e.generation, e.seq) for e in entries],
    )


def _untell(nodes: list[tuple[str]] | None, c: Connection) -> None:
    if nodes is None:
        c.execute("UPDATE inventories SET told = 0")
    else:
        c.executemany("UPDATE inventories SET told = 0 WHERE node = ?", nodes)
