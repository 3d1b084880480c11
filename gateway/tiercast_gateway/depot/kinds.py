"""Which file groups of a package are for machines below: a depot is filled with no other (ADR 9).

Rules
- By what the machines below said of themselves last, each takes one group, as it will choose by itself.
- In doubt all of it: where nobody below said anything yet, where no group is for any of them, or where judging them
  takes more than the time that conditions have.
- It is a choice of what is brought unasked.  What a machine wants after all comes for it, as ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from sqlite3 import Connection

import msgspec

from tiercast_protocol.content.facts.condition import TIME_LIMIT_S
from tiercast_protocol.content.facts.inventory import Inventory
from tiercast_protocol.content.package.definition import parse_definition
from tiercast_protocol.content.package.filegroups import FileGroup, group_for
from tiercast_protocol.content.sealed.manifest import Root
from tiercast_protocol.errors import MessageInvalid, UsageError
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec

_PART = 500


class Kinds:
    """Asks the inventories of those below, in the node's database `db`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def left_out(self, head: Root) -> frozenset[str]:
        """Folders at the top of the package whose files nobody below takes."""
        groups = (await asyncio.to_thread(parse_definition, head.definition)).files if head.definition else ()
        if not groups:
            return frozenset()
        taken: set[str] = set()
        after, end = "", time.monotonic() + TIME_LIMIT_S
        while len(taken) < len(groups):
            rows = await self._db.read(lambda connection, after=after: _inventories(connection, after))  # type: ignore[misc]
            if not rows:
                break
            if time.monotonic() > end:
                return frozenset()
            taken |= await asyncio.to_thread(_taken, groups, rows)
            after = rows[-1][0]
        return frozenset(one.folder for one in groups) - taken if taken else frozenset()


def _inventories(connection: Connection, after: str) -> list[tuple[str, bytes]]:
    query = "SELECT node, data FROM inventories WHERE node > ? ORDER BY node LIMIT ?"
    return connection.execute(query, (after, _PART)).fetchall()


def _taken(groups: Sequence[FileGroup], rows: Sequence[tuple[str, bytes]]) -> set[str]:
    """Folders that one of these takes.  Blocking (CPU)."""
    found: set[str] = set()
    for node, data in rows:
        if len(found) == len(groups):
            break
        try:
            facts = msgspec.json.encode(codec.decode(data, Inventory).facts).decode()
            group = group_for(groups, node, facts)
        except (UsageError, MessageInvalid):  # of another version: it says itself what it takes
            return {one.folder for one in groups}
        if group is not None:
            found.add(group.folder)
    return found
