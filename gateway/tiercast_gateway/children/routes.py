"""Which child leads to which node (docs/protocol.md, section 5).

Rules
- Learned from what passes down: `Admitted` and `TokenIssued` name a node and its parent.  A node whose parent
  is this one is its own way; any other goes where its parent goes.  `Placed`, on its way up, turns it (`moving`).
- Persisted with the message that taught it, so a route is never lost after the acknowledgement.
- `join-<token>` nodes are routes too, as long as their token lives.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiercast_protocol.node.database import Database

_LEARN = "INSERT INTO routes(node, via) VALUES (?, ?) ON CONFLICT(node) DO UPDATE SET via = excluded.via"


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
        await self._db.write(lambda c: c.execute(_LEARN, (node, via)))
        self._via[node] = via

    async def turn(self, nodes: Iterable[str], via: str) -> None:
        """From now on all these are reached through the child `via`."""
        rows = [(node, via) for node in nodes]
        if rows:
            await self._db.write(lambda c: c.executemany(_LEARN, rows))
            self._via.update(rows)

    async def leave(self, nodes: Iterable[str]) -> None:
        """These alone are not reached this way any more."""
        gone = [node for node in nodes if node in self._via]
        if gone:
            await self._db.write(lambda c: c.executemany("DELETE FROM routes WHERE node = ?", [(n,) for n in gone]))
            for node in gone:
                del self._via[node]

    async def forget(self, nodes: Iterable[str]) -> None:
        """These nodes, and whatever was reached through them, are gone."""
        names = set(nodes)
        gone = [node for node, via in self._via.items() if node in names or via in names]
        await self._db.write(lambda c: c.executemany("DELETE FROM routes WHERE node = ?", [(n,) for n in gone]))
        for node in gone:
            self._via.pop(node, None)
