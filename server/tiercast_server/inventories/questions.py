"""Questions about all that machines said of themselves: how many, which, and by what (docs/inventory.md).

Rules
- Who is asked about is a target, a condition, or both; without either it is every machine that said what it is.
- Rows are read in one transaction, and evaluated in a thread (`content.tally`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tiercast_protocol.content.facts.condition import Condition, compile_condition, compile_value
from tiercast_protocol.content.jobs import target
from tiercast_protocol.content.jobs.tally import MOST, Rows, meant, tally
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_server.inventories import history as inventory_history
from tiercast_server.inventories.software import rows_for
from tiercast_server.region import Region
from tiercast_server.targeting import Targeting

#: Changes that are shown when nobody says how many, and most.
_LIMIT, _MOST_SHOWN = 100, 5_000


class Questions:
    """What viewers may ask."""

    def __init__(self, region: Region, targeting: Targeting) -> None:
        self._region, self._targeting = region, targeting

    def register(self, verbs: Verbs) -> None:
        """Put them into the socket's table."""
        verbs.add("inventory.count", "viewer", self.count)
        verbs.add("inventory.names", "viewer", self.names)
        verbs.add("inventory.tally", "viewer", self.tally)
        verbs.add("inventory.history", "viewer", self.history)

    async def count(self, call: Call) -> dict[str, Any]:
        """How many machines are meant, of how many that said what they are: {machines, of, unknown}."""
        names, of, unknown = await self._meant(call)
        return {"machines": len(names), "of": of, "unknown": dict(unknown)}

    async def names(self, call: Call) -> dict[str, Any]:
        """The names of those that are meant: {nodes, unknown}."""
        names, _, unknown = await self._meant(call)
        return {"nodes": sorted(names), "unknown": dict(unknown)}

    async def tally(self, call: Call) -> dict[str, Any]:
        """The machines by what the expression `by` comes to: {machines, groups, others, unknown}."""
        by, where = compile_value(call.text("by")), _condition(call)
        rows, unknown = await self._rows(call, [by, *([where] if where is not None else [])])
        found = await asyncio.to_thread(tally, rows, by, where)
        found.unknown += unknown
        return found.shown(call.number("top", MOST))

    async def history(self, call: Call) -> list[dict[str, Any]]:
        """What changed in what one machine says, the newest first."""
        limit = max(1, min(call.number("limit", _LIMIT), _MOST_SHOWN))
        async with self._region.db.read() as connection:
            return await inventory_history.history(connection, call.text("node"), call.text("fact", "*"), limit)

    async def _meant(self, call: Call) -> tuple[list[str], int, Counter[str]]:
        where = _condition(call)
        rows, unknown = await self._rows(call, [where] if where is not None else [])
        held = list(rows)
        found = await asyncio.to_thread(meant, held, where, unknown)
        return [name for name, _ in found], len(held), unknown

    async def _rows(self, call: Call, conditions: list[Condition]) -> tuple[Rows, Counter[str]]:
        text = call.text("target", "")
        async with self._region.db.read() as connection:
            only, unknown = None, Counter[str]()
            if text.strip():
                picked = await self._targeting.pick(connection, target.parse(text), "endpoint")
                only, unknown = {node.name for node in picked.nodes}, Counter(picked.unknown)
            return await rows_for(connection, conditions, only), unknown


def _condition(call: Call) -> Condition | None:
    where = call.text("where", "")
    return compile_condition(where) if where.strip() else None
