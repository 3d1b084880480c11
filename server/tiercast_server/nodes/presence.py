"""Who is there: the node list with presence, gathered from the tree.

Rules
- A parent knows its own children; the server asks each gateway that it can reach, tier by tier, with one
  short deadline for all of them.
- A gateway that is not there can't be asked: its children are offline, last seen as it said the last time (0: it
  never did).  Never a guess.
- An answer serves for a moment, so that a list typed twice costs the links nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from sqlalchemy import update

from tiercast_protocol.errors import UsageError
from tiercast_server import group_windows
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.nodes import nodes, placings
from tiercast_server.nodes.nodes import Node
from tiercast_server.region import Region
from tiercast_server.tree import Child, Tree

DEADLINE_S = 2.5
#: A parent's address is worth waiting for longer: without it no token can be made.
ADDRESS_S = 8.0
FRESH_S = 2.0


class Presence:
    """Reads the tree for `node.list` and `node.show`."""

    def __init__(self, region: Region, tree: Tree) -> None:
        self._region = region
        self._tree = tree
        self._known: dict[str, tuple[float, list[Child]]] = {}
        self._started = time.time_ns() // 1_000_000

    async def list_(self) -> list[dict[str, Any]]:
        """Every node: the server first, then by name."""
        async with self._region.db.read() as connection:
            found = await nodes.all_nodes(connection)
            where = await placings.rows(connection)
        children = await self._children(found, where)
        return [self._server(), *(_shown(node, children.get(node.name), where.get(node.name)) for node in found)]

    async def show(self, name: str) -> dict[str, Any]:
        """One node with its key and what is below it.

        Raises:
            UsageError: node.unknown.
        """
        async with self._region.db.read() as connection:
            found = await nodes.all_nodes(connection)
            if name == self._region.server:
                below = await nodes.children_of(connection, name)
                return {**self._server(), "public_key": self._region.key.public, "children": below}
            node = await nodes.get(connection, name)
            below = await nodes.children_of(connection, name)
            where = await placings.rows(connection)
            tree = placings.family_of(self._region, found, where)
            windows = (await group_windows.of_nodes(connection, (name,))).get(name, [])
        children = await self._children(found, where)
        row = where.get(name)
        candidates = row.candidates.split() if row is not None and row.candidates else tree.candidates(name)
        return {
            **_shown(node, children.get(name), row),
            "candidates": candidates,
            "windows": [{"group": group, "window": text} for group, text in windows],
            "retiring": row is not None and row.retiring,
            "state": node.state,
            "invited": node.invited,
            "public_key": node.public_key,
            "children": below,
        }

    async def address_of(self, parent: Node | None) -> str:
        """The URL at which children of `parent` (None: the server) reach its broker.

        Raises:
            UsageError: node.silent, when a gateway has never told it and is not there to ask.
        """
        if parent is None:
            return self._tree.children_url()
        try:
            status = await self._tree.ask(parent.name, "status", {"children": False}, deadline=ADDRESS_S)
            url = str(status["broker"]["url"])
        except (UsageError, KeyError, TypeError) as error:
            if parent.url:
                return parent.url
            raise UsageError(
                code="node.silent",
                what=f"{parent.name!r} does not say where its children reach it.",
                todo="See whether it is online (`tiercast node list`), then invite again.",
            ) from error
        if url != parent.url:
            async with self._region.db.write() as connection:
                await connection.execute(update(nodes_table).where(nodes_table.c.name == parent.name).values(url=url))
        return url

    def _server(self) -> dict[str, Any]:
        return {
            "name": self._region.server,
            "role": "server",
            "parent": "",
            "present": "",
            "placed": 0,
            "reason": "",
            "online": True,
            "since": self._started,
            "generation": 1,
            "joined": self._region.epoch,
        }

    async def _children(self, found: list[Node], where: dict[str, placings.Row]) -> dict[str, Child]:
        gateways = {
            node.name: _present(node, where.get(node.name))
            for node in found
            if node.role == "gateway" and node.has_joined
        }
        heard: dict[str, Child] = {child.name: child for child in self._tree.children()}
        asked = [name for name, parent in gateways.items() if parent == self._region.server]
        deadline = time.monotonic() + DEADLINE_S
        while asked and (left := deadline - time.monotonic()) > 0:
            online = [name for name in asked if name in heard and heard[name].online]
            answers = await asyncio.gather(*(self._ask(name, left) for name in online))
            for child in (child for answer in answers for child in answer):
                if child.name not in heard or child.online:  # its old parent remembers it too
                    heard[child.name] = child
            asked = [name for name, parent in gateways.items() if parent in online]
        for _, told in self._known.values():
            for child in told:
                heard.setdefault(child.name, Child(child.name, online=False, since=child.since))
        return heard

    async def _ask(self, gateway: str, left: float) -> list[Child]:
        at, known = self._known.get(gateway, (0.0, []))
        if time.monotonic() - at < FRESH_S:
            return known
        try:
            status = await self._tree.ask(gateway, "status", {}, deadline=left)
            children = [Child(str(c["name"]), bool(c["online"]), int(c["since"])) for c in status["children"]]
        except (UsageError, KeyError, TypeError, ValueError):
            return []
        self._known[gateway] = (time.monotonic(), children)
        return children


def _present(node: Node, row: placings.Row | None) -> str:
    return row.parent if row is not None and row.parent else node.parent


def _shown(node: Node, child: Child | None, row: placings.Row | None) -> dict[str, Any]:
    return {
        "name": node.name,
        "role": node.role,
        "parent": node.parent,
        "present": _present(node, row),
        "placed": row.at if row is not None else 0,
        "reason": row.reason if row is not None else "",
        "online": child is not None and child.online,
        "since": child.since if child is not None else 0,
        "generation": node.generation,
        "joined": node.joined or 0,
    }
