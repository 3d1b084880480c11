"""Questions about the machines below, answered out of what a gateway holds: also with the link above down.

Rules (docs/inventory.md)
- The same questions as at the server, in the same language; but for targets, whose groups the region knows.
- The answer is about this node's sub-tree: each machine by the newest word that passed here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

import msgspec

from tiercast_gateway.facts import software_rows
from tiercast_protocol.content.facts import software
from tiercast_protocol.content.facts.condition import Condition, compile_condition, compile_value
from tiercast_protocol.content.facts.inventory import SOFTWARE, Inventory
from tiercast_protocol.content.jobs.tally import MOST, meant, tally
from tiercast_protocol.errors import MessageInvalid, UsageError
from tiercast_protocol.wire import codec

if TYPE_CHECKING:
    from tiercast_protocol.node.control.peers import Role
    from tiercast_protocol.node.control.verbs import Call
    from tiercast_protocol.node.database import Database

#: An answer ends after so many bytes of facts.
_ANSWER_BYTES = 1 << 20
_Word = tuple[str, bytes]


class InventoryVerbs:
    """Of one sub-tree, whose database is `db`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def table(self) -> list[tuple[str, Role, Callable[[Call], Awaitable[Any]]]]:
        """Name, role and handler of each verb; `show` names a machine as its `node`, and stands by itself."""
        return [
            ("inventory.list", "viewer", self.list_),
            ("inventory.count", "viewer", self.count),
            ("inventory.names", "viewer", self.names),
            ("inventory.tally", "viewer", self.tally),
        ]

    async def list_(self, call: Call) -> dict[str, Any]:
        """What machines below said: {nodes: [{node, received, facts}], unknown, next}; `received` is by their clock."""
        names, unknown = await self._meant(call)
        after = call.text("after", "")
        words = await self._db.read(_words)
        return await asyncio.to_thread(_listed, words, set(names), after, dict(unknown))

    async def show(self, call: Call) -> dict[str, Any]:
        """What one machine below said: {node, at, received, facts}; its software as pairs of name and version."""
        node = call.text("node")
        rows = await self._db.read(lambda c: _words(c, node))
        said = _opened(rows[0][1]) if rows else None
        if said is None:
            raise UsageError(
                code="inventory.none",
                what=f"{node[:80]!r} said nothing of itself here, or is not below this gateway.",
                todo="`tiercast inventory list` shows those that did.",
            )
        found = {"node": node, "at": said.at, "received": said.at, "facts": msgspec.to_builtins(said.facts)}
        if call.flag("software", default=False):
            lists = await self._db.read(lambda c: software_rows.of_nodes(c, [node]))
            pairs = (await asyncio.to_thread(software.unpacked, *lists[node])).items() if node in lists else []
            found["software"] = [list(pair) for pair in sorted(pairs)]
        return found

    async def count(self, call: Call) -> dict[str, Any]:
        """How many machines below are meant, of how many: {machines, of, unknown}."""
        names, unknown = await self._meant(call)
        of = await self._db.read(lambda c: c.execute("SELECT count(*) FROM inventories").fetchone()[0])
        return {"machines": len(names), "of": of, "unknown": dict(unknown)}

    async def names(self, call: Call) -> dict[str, Any]:
        """The names of those that are meant: {nodes, unknown}."""
        names, unknown = await self._meant(call)
        return {"nodes": sorted(names), "unknown": dict(unknown)}

    async def tally(self, call: Call) -> dict[str, Any]:
        """The machines below by what the expression `by` comes to: {machines, groups, others, unknown}."""
        by, where = compile_value(call.text("by")), _condition(call)
        rows = await self._rows([by, *([where] if where is not None else [])])
        found = await asyncio.to_thread(tally, rows, by, where)
        return found.shown(call.number("top", MOST))

    async def _meant(self, call: Call) -> tuple[list[str], Counter[str]]:
        where, unknown = _condition(call), Counter[str]()
        rows = await self._rows([where] if where is not None else [])
        found = await asyncio.to_thread(meant, rows, where, unknown)
        return [name for name, _ in found], unknown

    async def _rows(self, conditions: Sequence[Condition]) -> list[tuple[str, str]]:
        """Name and facts of every machine, as these conditions ask for them."""
        words = await self._db.read(_words)
        lists: dict[str, tuple[bytes, bytes]] = {}
        if any(SOFTWARE in one.facts for one in conditions):
            lists = await self._db.read(lambda c: software_rows.of_nodes(c, [node for node, _ in words]))
        return await asyncio.to_thread(_facts, words, lists)


def _condition(call: Call) -> Condition | None:
    if call.text("target", "").strip():
        raise UsageError(
            code="target.region",
            what="A gateway does not know the groups and homes of the region, so it can't say whom a target means.",
            todo="Say --where CONDITION here, or ask the server.",
        )
    where = call.text("where", "")
    return compile_condition(where) if where.strip() else None


def _words(c: Connection, node: str = "") -> list[_Word]:
    if node:
        return c.execute("SELECT node, data FROM inventories WHERE node = ?", (node,)).fetchall()
    return c.execute("SELECT node, data FROM inventories ORDER BY node").fetchall()


def _opened(data: bytes) -> Inventory | None:
    try:
        return codec.decode(data, Inventory)
    except MessageInvalid:  # of a later version, or no word at all: whoever has its key says so
        return None


def _facts(words: Sequence[_Word], lists: dict[str, tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Blocking (CPU)."""
    found: list[tuple[str, str]] = []
    for node, data in words:
        said = _opened(data)
        if said is not None:
            facts = msgspec.json.encode(said.facts).decode()
            found.append((node, software.joined(facts, software.as_json(*lists[node])) if node in lists else facts))
    return found


def _listed(words: Sequence[_Word], names: set[str], after: str, unknown: dict[str, int]) -> dict[str, Any]:
    """Blocking (CPU)."""
    shown: list[dict[str, Any]] = []
    size = 0
    for node, data in words:
        said = _opened(data) if node in names and node > after else None
        if said is None:
            continue
        if size > _ANSWER_BYTES:
            return {"nodes": shown, "unknown": unknown, "next": shown[-1]["node"]}
        size += len(data)
        shown.append({"node": node, "received": said.at, "facts": msgspec.to_builtins(said.facts)})
    return {"nodes": shown, "unknown": unknown, "next": ""}
