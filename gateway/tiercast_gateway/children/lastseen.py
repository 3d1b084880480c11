"""When each child came or went last, kept over restarts of this node.

Rules
- Written when presence changes, never per message: an idle tree writes nothing.
- Only what people are shown stands here; presence itself is told by the children, at every start anew.
- A disk that is full costs the memory of a change, not the change.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import structlog

from tiercast_gateway.children.children import Children
from tiercast_protocol.errors import TiercastError
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.topics import JOIN_PREFIX

log = structlog.get_logger(__name__)

SCHEMA = "CREATE TABLE last_seen(child TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;"


class LastSeen:
    """The table `last_seen` of the node's database, for the children in `children`."""

    def __init__(self, db: Database, children: Children) -> None:
        self._db, self._children = db, children

    async def load(self) -> None:
        """Give every child the moment of its last change; once, at start."""
        for name, at in await self._db.read(lambda c: c.execute("SELECT child, at FROM last_seen").fetchall()):
            self._children.get(name).since = at

    async def note(self, names: Iterable[str]) -> None:
        """These have just come or gone."""
        rows = [(n, self._children.get(n).since) for n in names if not n.startswith(JOIN_PREFIX)]
        if rows:
            await self._write(
                "INSERT INTO last_seen(child, at) VALUES (?, ?) ON CONFLICT(child) DO UPDATE SET at = excluded.at", rows
            )

    async def forget(self, name: str) -> None:
        """It is no child any more."""
        await self._write("DELETE FROM last_seen WHERE child = ?", [(name,)])

    async def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        try:
            await self._db.write(lambda c: c.executemany(statement, rows))
        except (TiercastError, sqlite3.Error) as error:
            log.warning("last seen not kept", error=str(error))
