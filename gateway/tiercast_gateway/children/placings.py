"""Where every node below is: its parent, its key, the number of its last word on it (docs/protocol.md, section 12).

Rules
- Learned from what passes: `Admitted` gives key and first parent, `Placed` the present parent.  Of two placings the one
  of the higher generation and number stands, whichever comes first.
- A node that left is remembered with its number, so that a late word never brings it back.
- Who is below whom follows from the parents, so a gateway that moves takes its whole sub-tree with it in one row.
- What a moved gateway says of those below it is taken only for nodes that are not known here otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from sqlite3 import Connection

from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.messages import Admitted
from tiercast_protocol.wire.moving import Below

SCHEMA = """
CREATE TABLE placings(
    node TEXT PRIMARY KEY, parent TEXT NOT NULL, public_key BLOB NOT NULL, generation INTEGER NOT NULL,
    seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE guest_places(name TEXT PRIMARY KEY) WITHOUT ROWID;
ALTER TABLE users ADD COLUMN guest INTEGER NOT NULL DEFAULT 0;
"""


@dataclass(frozen=True, slots=True)
class Known:
    """One node: `parent` is "" where only its key is known."""

    parent: str
    public_key: bytes
    generation: int
    seq: int = 0


class Placings:
    """The table `placings`, in memory and in the node's database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, Known] = {}
        self._children: dict[str, set[str]] = {}

    async def load(self) -> None:
        """Read the table; once, at start."""
        columns = "node, parent, public_key, generation, seq"
        rows = await self._db.read(lambda c: c.execute(f"SELECT {columns} FROM placings").fetchall())  # noqa: S608 - constants
        self._note({row[0]: Known(*row[1:]) for row in rows})

    def get(self, node: str) -> Known | None:
        """What is known of the node."""
        return self._known.get(node)

    def family(self, node: str) -> set[str]:
        """The node and all below it."""
        found, more = {node}, [node]
        while more:
            new = self._children.get(more.pop(), set()) - found
            found |= new
            more += new
        return found

    def below(self, names: Iterable[str]) -> list[Below]:
        """These nodes, as a gateway that moves tells of them."""
        return [
            Below(node=name, parent=k.parent, public_key=k.public_key, generation=k.generation, seq=k.seq)
            for name in sorted(names)
            if (k := self._known.get(name)) is not None
        ]

    async def admitted(self, node: Admitted) -> bool:
        """The region named a node; whether it, or its key, is news."""
        old = self._known.get(node.name)
        if old is not None and (old.generation, old.public_key) == (node.generation, node.public_key):
            if old.parent or node.guest:
                return False
            await self._put({node.name: replace(old, parent=node.parent)})
            return True
        if old is not None and old.generation > node.generation:
            return False
        parent = (old.parent if old else "") if node.guest else node.parent
        await self._put({node.name: Known(parent, node.public_key, node.generation)})
        return True

    async def place(self, node: str, parent: str, seq: int) -> None:
        """The node is below `parent` since `seq`."""
        if (known := self._known.get(node)) is not None:
            await self._put({node: replace(known, parent=parent, seq=seq)})

    async def claim(self, below: Sequence[Below], above: str) -> None:
        """A node that came here says who is below it: those that are news here are learned."""
        news: dict[str, Known] = {}
        for one in below:
            old = self._known.get(one.node)
            if one.node == above or (old is not None and old.parent and old.seq >= one.seq):
                continue
            if old is not None and old.generation >= one.generation:
                news[one.node] = replace(old, parent=one.parent, seq=one.seq)
            else:
                news[one.node] = Known(one.parent, one.public_key, one.generation, one.seq)
        if news:
            await self._put(news)

    async def forget(self, nodes: Iterable[str]) -> None:
        """These left the region."""
        names = list(nodes)
        await self._db.write(lambda c: c.executemany("DELETE FROM placings WHERE node = ?", [(n,) for n in names]))
        for name in names:
            if (known := self._known.pop(name, None)) is not None:
                self._children[known.parent].discard(name)

    async def _put(self, news: dict[str, Known]) -> None:
        await self._db.write(lambda c: _upsert(c, news))
        self._note(news)

    def _note(self, news: dict[str, Known]) -> None:
        for name, known in news.items():
            if (old := self._known.get(name)) is not None:
                self._children[old.parent].discard(name)
            self._known[name] = known
            self._children.setdefault(known.parent, set()).add(name)


def _upsert(connection: Connection, news: dict[str, Known]) -> None:
    connection.executemany(
        "INSERT INTO placings(node, parent, public_key, generation, seq) VALUES (?,?,?,?,?)"
        " ON CONFLICT(node) DO UPDATE SET parent = excluded.parent, public_key = excluded.public_key,"
        " generation = excluded.generation, seq = excluded.seq",
        [(node, k.parent, k.public_key, k.generation, k.seq) for node, k in news.items()],
    )
