"""Which child leads to which node (docs/protocol.md, section 5).

Rules
- Learned from what passes down: `Admitted` and `TokenIssued` name a node and its parent.  A node whose parent
  is this one is its own way; any other goes where its parent goes.
- Persisted with the message that taught it, so a route is never lost after the acknowledgement.
- `join-<token>` nodes are routes too, as long as their token lives.
"""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

from tiercast_protocol.node.database import Database


class Routes:
    """Table from node to child, in memory and in the node's database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._via: dict[str, str] = {}

    async def load(self) -> None:
        """Read the table; once, at start."""
        rows = await self._db.read(lambda c: c.execute("SELECT node, via FROM routes").fetchall())
        self._via = dict(rows)

    def via(self, node: str) -> str | None:
        """The child that leads to `node` (the node itself when it is a child); None when it is not below."""
        return self._via.get(node)

    def below(self, node: str, child: str) -> bool:
        """Whether `node` is `child` or below it."""
        return self._via.get(node) == child

    def children(self) -> list[str]:
        """The direct children among all that is known."""
        return sorted(node for node, via in self._via.items() if node == via)

    def all(self) -> dict[str, str]:
        """The whole table."""
        return dict(self._via)

    async def learn(self, node: str, via: str) -> None:
        """From now on `node` is reached through the child `via`."""
        if self._via.get(node) == via:
            return
        await self._db.write(lambda c: _learn(c, node, via))
        self._via[node] = via

    async def forget(self, nodes: Iterable[str]) -> None:
        """These nodes, and whatever was reached through them, are gone."""
        names = set(nodes)
        gone = [node for node, via in self._via.items() if node in names or via in names]
        await self._db.write(lambda c: c.executemany("DELETE FROM routes WHERE node = ?", [(n,) for n in gone]))
        for node in gone:
            self._via.pop(node, None)


def _learn(connection: Connection, node: str, via: str) -> None:
    connection.execute(
        "INSERT INTO routes(node, via) VALUES (?, ?) ON CONFLICT(node) DO UPDATE SET via = excluded.via", (node, via)
    )
