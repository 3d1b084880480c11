"""Tells the region what this machine is, and which groups it wants to be in (docs/protocol.md, section 13).

Rules
- Said at every start, when something is another than was said, and when a job asks for it; but for a job's, only while
  the parent is there, so that a cut fills no outbox.  Its number is committed before it is sent.
- In which groups it wants to be stands with its facts (`owngroups.py`).
- What another parent may hold already is told by its number alone, and whole to one that asks; a list of software
  goes whole the first time, and then by its difference (`lists.py`).
- A package is told of while its name leads to a tree in the install root: what somebody deleted by hand is gone.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from tiercast_endpoint.facts import lists, owngroups
from tiercast_endpoint.facts.facts import read_facts, settled
from tiercast_endpoint.facts.lists import Listed
from tiercast_endpoint.facts.ownfacts import Found, OwnFacts
from tiercast_endpoint.facts.owngroups import OwnGroups
from tiercast_endpoint.trees import holdings
from tiercast_protocol.content.facts.inventory import Facts, Inventory, sign_inventory
from tiercast_protocol.errors import MessageInvalid, TiercastError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.post import Post
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.facts import Inventories, InventoryAsk, InventoryEntry, InventorySame

log = structlog.get_logger(__name__)

SCHEMA = f"""
CREATE TABLE inventory (one INTEGER PRIMARY KEY, seq INTEGER NOT NULL, data BLOB NOT NULL, signature BLOB NOT NULL);
{owngroups.SCHEMA}
"""
#: Seconds between two looks at the system; between two looks whether the parent is there; in which changes gather.
EVERY_S, AWAY_S, GATHER_S = 60.0, 0.5, 0.2


class Parent(Protocol):
    """The way up (`Upstream`)."""

    @property
    def parent(self) -> str:
        """Its name."""
        ...

    @property
    def connected(self) -> bool:
        """Whether it is there."""
        ...


@dataclass(frozen=True, slots=True)
class Owned:
    """What the owner's settings say: `labels`, and `groups` that the machine always wants to be in.

    `programs` say facts of his own; `wakes` is the hardware address by which it is woken, where that is another.
    """

    labels: Mapping[str, str]
    groups: tuple[str, ...] = ()
    programs: OwnFacts | None = None
    wakes: str = ""


def _nothing() -> dict[str, str]:
    return {}


class Informer:
    """Says what this machine is.

    Args:
        db: the agent's journal.
        me: who this node is.
        folder: on the disk that is told of.
        owned: what the owner set.
        post: the outbox.
        upstream: the way to the parent.
        now_ms: the clock.
        stands: whether a package's tree is where it was put; looks at the disk.
        software: reads what is installed; networks: reads in which networks the machine is.  Both block.
    """

    def __init__(
        self,
        *,
        db: Database,
        me: Enrolled,
        folder: Path,
        owned: Owned,
        post: Post,
        upstream: Parent,
        now_ms: Callable[[], int],
        stands: Callable[[str], bool],
        software: Callable[[], Mapping[str, str]] = _nothing,
        networks: Callable[[], dict[str, str]] = _nothing,
    ) -> None:
        self._db, self._me, self._folder, self._owned = db, me, folder, owned
        self._post, self._upstream, self._now_ms = post, upstream, now_ms
        self._stands, self._software, self._networks = stands, software, networks
        self._found: Mapping[str, str] = {}
        self._listed: Listed | None = None
        self._looking = asyncio.Event()
        self._again = True
        #: What the machine wants to be in.
        self.groups = OwnGroups(db, owned.groups, me.generation, self.changed)

    def changed(self) -> None:
        """Something may be another than was said."""
        self._looking.set()

    async def retell(self) -> None:
        """Another parent: what the one before it was told may be lost with it."""
        self._again = True
        self._looking.set()

    async def run(self) -> None:
        """Say what changes, until cancelled."""
        while True:
            self._looking.clear()
            connected = self._upstream.connected
            if connected:
                try:
                    await self._look()
                except (TiercastError, OSError) as error:  # a full disk, for one: it is said when there is room
                    log.warning("inventory not told", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S if connected else AWAY_S):
                    await self._looking.wait()
            await asyncio.sleep(GATHER_S)

    async def facts(self) -> Facts:
        """What this machine is now, as it would be said."""
        said = await self._said()
        return settled(await self.now(), said.facts if said is not None else None)

    async def now(self) -> Facts:
        """What this machine is now, to the byte."""
        installed = await self._db.read(holdings.installed)
        hurt = await self._db.read(holdings.damaged)
        own = await self._owned.programs.ask() if self._owned.programs is not None else Found()

        def read() -> Facts:
            whole = [one for one in installed if one.tree not in hurt and self._stands(one.package)]
            packages = {one.package: one.version for one in whole}
            facts = read_facts(self._me.name, self._folder, packages, self._owned.labels)
            networks = self._networks()
            if self._owned.wakes and self._owned.wakes not in networks:
                networks[self._owned.wakes] = next(iter(networks.values()), "")
            more = {"custom": own.facts, "failed": own.failed, "networks": networks}
            return msgspec.structs.replace(facts, **more)

        return await asyncio.to_thread(read)

    async def software(self) -> Mapping[str, str]:
        """What is installed on this machine now."""
        return await asyncio.to_thread(self._software)

    async def afresh(self) -> None:
        """Say what this machine is though nothing changed, to the byte; it is in the outbox then."""
        if self._owned.programs is not None:
            await self._owned.programs.ask(anew=True)
        await self._say(await self.now(), await self.groups.wanted(), await self._listing(), urgent=True)

    async def asked(self, message: InventoryAsk) -> None:
        """The parent holds less than this machine told: say it whole."""
        listed = await self._db.read(lists.load)
        wanted = listed.whole() if message.whole or listed.digest in message.lists else []
        entries = await self._entries(urgent=True) if message.whole else []
        if entries or wanted:
            await self._post.send(self._upstream.parent, Inventories(entries=entries, lists=wanted))

    async def _listing(self) -> Listed:
        """The list of what is installed now, as it is to be told."""
        found = await self.software()
        if self._listed is None or found != self._found:
            held = await self._db.read(lists.load)
            self._listed, self._found = await asyncio.to_thread(lists.after, held, found), found
        return self._listed

    async def _look(self) -> None:
        said, facts = await self._said(), await self.facts()
        groups, listed = await self.groups.wanted(), await self._listing()
        # A wish that waits for its answer is said under a new number: what was said before is answered already.
        anew = await self.groups.unsaid()
        present = (facts, groups, self._me.generation, listed.digest)
        if anew or said is None or (said.facts, said.groups, said.generation, said.software) != present:
            await self._say(facts, groups, listed, urgent=anew or said is None)
        elif self._again:
            same = InventorySame(generation=said.generation, seq=said.seq)
            await self._post.send(self._upstream.parent, same)
        self._again = False
        self.groups.said()

    async def _say(self, facts: Facts, groups: list[str], listed: Listed, *, urgent: bool) -> None:
        """Write the next word, and send it with what is new of its list."""
        held = await self._db.read(lists.load)
        await self._db.write(partial(self._write, facts, groups, listed))
        news = listed.news() if listed.digest != held.digest else []
        await self._post.send(
            self._upstream.parent, Inventories(entries=await self._entries(urgent=urgent), lists=news)
        )

    async def _entries(self, *, urgent: bool) -> list[InventoryEntry]:
        row = await self._db.read(lambda c: c.execute("SELECT seq, data, signature FROM inventory").fetchone())
        me = self._me
        if row is None:
            return []
        seq, data, signature = row
        return [
            InventoryEntry(
                node=me.name, generation=me.generation, seq=seq, data=data, signature=signature, urgent=urgent
            )
        ]

    async def _said(self) -> Inventory | None:
        row = await self._db.read(lambda c: c.execute("SELECT data FROM inventory").fetchone())
        try:
            return codec.decode(row[0], Inventory) if row is not None else None
        except MessageInvalid:  # of a later version that was here before
            return None

    def _write(self, facts: Facts, groups: list[str], listed: Listed, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT seq FROM inventory").fetchone()
        seq = row[0] + 1 if row else 1
        me = self._me
        now = self._now_ms()
        said = Inventory(
            region=me.region,
            node=me.name,
            generation=me.generation,
            seq=seq,
            at=now,
            facts=facts,
            groups=groups,
            software=listed.digest,
        )
        data, signature = sign_inventory(said, me.key)
        connection.execute("INSERT OR REPLACE INTO inventory VALUES (1, ?, ?, ?)", (seq, data, signature))
        lists.keep(connection, listed)

    def register(self, verbs: Verbs) -> None:
        """Put what the owner may see and wish into the socket's table."""
        verbs.add("inventory", "viewer", self._show)
        self.groups.register(verbs)

    async def _show(self, call: Call) -> dict[str, Any]:
        """What this machine is, as the region is told."""
        del call
        found: dict[str, Any] = msgspec.to_builtins(await self.facts())
        return found
