"""Waking machines by hand: asked of the gateway that each is below now (docs/power.md).

Rules
- What is named must be endpoints of the region; all that are not are told at once, and nobody is woken then.
- A gateway that does not answer keeps no other from waking its machines: its own are told as `unknown`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_server.below import Below
from tiercast_server.database.tables import placings
from tiercast_server.nodes import nodes
from tiercast_server.parts import parts
from tiercast_server.region import Region

#: Seconds that a gateway has for its answer.
_PATIENCE_S = 10.0


class PowerVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, region: Region, below: Below) -> None:
        self._region, self._below = region, below

    async def wake(self, call: Call) -> list[dict[str, Any]]:
        """Wake machines: {node, state, parent} of each: asleep (in its turn), waking, awake, failed or unknown."""
        return await self._ask("node.wake", call.texts("nodes"))

    async def list_(self, call: Call) -> list[dict[str, Any]]:
        """How waking these machines goes, as their gateways know it."""
        return await self._ask("wake.list", call.texts("nodes"))

    async def _ask(self, verb: str, names: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for parent, some in (await self._parents(names)).items():
            try:
                if parent == self._region.server:
                    answer = await self._own(verb, some)
                else:
                    answer = await self._below.ask(parent, verb, {"nodes": some}, deadline=_PATIENCE_S)
            except UsageError as error:
                answer = [{"node": node, "state": "unknown", "why": error.what} for node in some]
            found += [{**row, "parent": parent} for row in answer]
        return sorted(found, key=lambda row: str(row["node"]))

    async def _own(self, verb: str, some: list[str]) -> list[dict[str, Any]]:
        wakes = self._below.subtree.wakes
        answered: list[dict[str, Any]] = await (wakes.woken(some) if verb == "node.wake" else wakes.listed(some))
        return answered

    async def _parents(self, names: list[str]) -> dict[str, list[str]]:
        """These machines by the gateway that each is below now."""
        async with self._region.db.read() as connection:
            known = {node.name: node for node in await nodes.resolve(connection, names, ())}
            present: dict[str, str] = {}
            for some in parts(placings.c.node, known):
                query = select(placings.c.node, placings.c.parent).where(*some)
                present |= {row.node: row.parent for row in await connection.execute(query)}
        wrong = sorted(name for name, node in known.items() if node.role != "endpoint")
        if wrong or not known:
            raise UsageError(
                code="power.role",
                what=f"These are no endpoints: {', '.join(wrong[:20])}." if wrong else "No machine was named.",
                todo="`tiercast node list` shows every node's role. Nobody was woken.",
            )
        found: dict[str, list[str]] = {}
        for name, node in known.items():
            found.setdefault(present.get(name) or node.parent, []).append(name)
        return found
