"""Nodes that change their parents: where they say they are, and what administrators want of them.

Rules
- A node's own signed word says where it is; the highest number stands, a late one changes nothing.
- A move makes another parent the node's home and calls it there; it goes when it hears of it and that one is there.
  Until then the old parent lets it in, and its jobs go on.
- A gateway that retires gives its children to another, calls its guests home, and leaves the region when nobody is
  below it any more.
- Nobody is put below itself: refused, with the circle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.trust.parents import MOST_CANDIDATES, Placing, open_placing
from tiercast_protocol.errors import ProtocolError, SignatureInvalid, UsageError
from tiercast_protocol.wire.moving import Placed
from tiercast_server.changes import Changes
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.database.tables import placings as placings_table
from tiercast_server.nodes import nodes, placings
from tiercast_server.nodes.enrolment import Enrolment
from tiercast_server.nodes.nodes import Node
from tiercast_server.nodes.placings import Settling
from tiercast_server.region import Region

_log = structlog.get_logger(__name__)


class Moves:
    """The region's word on who is below whom.  `wake` is called after each commit that put something for the tree."""

    def __init__(
        self, region: Region, enrolment: Enrolment, settling: Settling, changes: Changes, wake: Callable[[], None]
    ) -> None:
        self._region, self._enrolment, self._settling = region, enrolment, settling
        self._changes, self._wake = changes, wake

    async def placed(self, placed: Placed) -> None:
        """A node said where it is.

        Raises:
            ProtocolError: it is not the node's word.
        """
        touched: list[str] = []
        async with self._region.db.write() as connection:
            node = await nodes.find(connection, placed.node)
            if node is None or not node.has_joined:
                raise ProtocolError(f"{placed.node[:64]} is no node")
            placing = open_placing(placed.data, placed.signature, node.public_key)
            mine = (placing.region, placing.node, placing.generation)
            if mine != (self._region.name, node.name, node.generation):
                raise SignatureInvalid("placing", f"it is of {placing.node}, generation {placing.generation}")
            before = await placings.row_of(connection, node.name)
            if placing.seq <= before.seq:
                return
            touched = await self._place(connection, node, placing, before)
        self._wake()
        self._changes.touch(*touched)

    async def _place(
        self, connection: AsyncConnection, node: Node, placing: Placing, before: placings.Row
    ) -> list[str]:
        moved = (before.parent or node.parent) != placing.parent
        values: dict[str, object] = {"parent": placing.parent, "seq": placing.seq}
        if moved or not before.seq:
            values |= {"at": min(placing.at, self._region.clock()), "reason": placing.reason}
            _log.info("node placed", node=node.name, parent=placing.parent, reason=placing.reason)
        if moved:
            values["told"] = b""  # what was on its way to it may be lost
        await placings.change(connection, node.name, **values)
        new_url = placing.url not in {"", node.url}
        if new_url:
            query = update(nodes_table).where(nodes_table.c.name == node.name).values(url=placing.url)
            await connection.execute(query)
        if moved and node.role == "gateway":
            await placings.resend(connection, node.name, self._region.server)
        if not (moved or new_url):
            return []  # as it says at every start
        await self._settling.settle(connection, None if node.role == "gateway" else node.name)
        return await self._retire_empty(connection)

    # -- what administrators want --------------------------------------------------------------------

    async def move(self, name: str, to: str) -> dict[str, Any]:
        """Make `to` ("" is the server) the home of `name`, and call it there.

        Raises:
            UsageError: node.unknown, node.server, parent.invalid, tree.cyclic, node.conflict.
        """
        to = to or self._region.server
        async with self._region.db.write() as connection:
            found = await self._move(connection, name, to)
            await self._settling.settle(connection, None if found.role == "gateway" else name)
        self._wake()
        return {"name": name, "parent": to, "was": found.parent}

    async def _move(self, connection: AsyncConnection, name: str, to: str) -> Node:
        node = await self._get(connection, name)
        tree = await placings.family(connection, self._region)
        tree.check_parent(name, to)
        row = await placings.row_of(connection, to)
        if row.retiring:
            raise UsageError("parent.invalid", f"{to!r} is retiring.", todo="Name another gateway, or the server.")
        if not node.has_joined:
            raise UsageError(
                code="node.conflict",
                what=f"{name!r} has not joined yet.",
                todo=f"Invite it again, below its new parent: `tiercast node invite {name} --parent {to}`.",
            )
        await connection.execute(update(nodes_table).where(nodes_table.c.name == name).values(parent=to))
        here = (await placings.row_of(connection, name)).parent or node.parent
        await placings.change(connection, name, called=self._region.clock(), parent=here)
        return node

    async def call_home(self, names: Sequence[str], below: str = "") -> dict[str, Any]:
        """Tell these, and all whose home is `below`, to go home; who of them is not there now.

        Raises:
            UsageError: node.unknown, node.server, node.none.
        """
        async with self._region.db.write() as connection:
            wanted = set(names)
            if below:
                if below != self._region.server:
                    await nodes.get(connection, below)
                wanted |= set(await nodes.children_of(connection, below))
            if not wanted:
                raise UsageError("node.none", "There is nobody to call home.", todo="Name nodes, or --below a gateway.")
            away = []
            for name in sorted(wanted):
                node = await self._get(connection, name)
                row = await placings.row_of(connection, name)
                if row.parent not in {"", node.parent}:
                    away.append(name)
                await placings.change(connection, name, called=self._region.clock())
                await self._settling.settle(connection, name)
        self._wake()
        return {"called": sorted(wanted), "away": away}

    async def set_candidates(self, name: str, names: Sequence[str] | None) -> dict[str, Any]:
        """Where `name` may go while its home is away (None: the default), and where that is.

        Raises:
            UsageError: node.unknown, node.server, parent.invalid, tree.cyclic, candidates.many.
        """
        async with self._region.db.write() as connection:
            node = await self._get(connection, name)
            tree = await placings.family(connection, self._region)
            if names is not None:
                if len(names) > MOST_CANDIDATES or not names:
                    raise UsageError(
                        code="candidates.many",
                        what=f"{len(names)} candidates were named.",
                        todo=f"Name 1 to {MOST_CANDIDATES}, or --default.",
                    )
                for one in names:
                    tree.check_parent(name, one, why="can't have as candidate")
                await placings.change(connection, name, candidates=" ".join(dict.fromkeys(names)))
            else:
                await placings.change(connection, name, candidates="")
            await self._settling.settle(connection, name)
        self._wake()
        return {"name": name, "home": node.parent, "candidates": list(names or tree.candidates(name))}

    async def retire(self, name: str, children_to: str) -> dict[str, Any]:
        """Take `name` out of the region, its children first given to `children_to` ("" : it must have none).

        Raises:
            UsageError: node.unknown, node.server, node.in-use, parent.invalid, tree.cyclic.
        """
        async with self._region.db.write() as connection:
            await self._get(connection, name)
            children = await nodes.children_of(connection, name)
            if children and not children_to:
                raise UsageError(
                    code="node.in-use",
                    what=f"{name!r} still has {len(children)} nodes below it: {', '.join(children[:10])}.",
                    todo=f"Say who takes them: `tiercast node retire {name} --children-to GATEWAY`.",
                )
            if children_to == name:
                raise UsageError("parent.invalid", f"{name!r} is the one that retires.", todo="Name another gateway.")
            for child in children:
                await self._move(connection, child, children_to)
            guests = select(placings_table.c.node).where(placings_table.c.parent == name)
            for guest in (await connection.execute(guests)).scalars().all():
                await placings.change(connection, guest, called=self._region.clock())
            await placings.change(connection, name, retiring=True)
            await self._settling.settle(connection)
            touched = await self._retire_empty(connection)
            left = await nodes.find(connection, name) is None
        self._wake()
        self._changes.touch(*touched)
        return {"name": name, "moving": children, "to": children_to, "removed": left}

    # -- within --------------------------------------------------------------------------------------

    async def _get(self, connection: AsyncConnection, name: str) -> Node:
        if name == self._region.server:
            raise UsageError(
                code="node.server",
                what=f"{name!r} is the server: it is the root, and nobody's child.",
                todo="Name a gateway or an endpoint; `tiercast node list` shows all.",
            )
        return await nodes.get(connection, name)

    async def _retire_empty(self, connection: AsyncConnection) -> list[str]:
        """Remove the retiring gateways that nobody is below any more; the jobs that this touched."""
        touched: list[str] = []
        query = select(placings_table.c.node).where(placings_table.c.retiring.is_(True))
        for name in (await connection.execute(query)).scalars().all():
            present = select(placings_table.c.node).where(placings_table.c.parent == name)
            if (await connection.execute(present)).first() is None and not await self._waits_for(connection, name):
                _log.info("node retired", node=name)
                touched += await self._enrolment.remove_in(connection, name)
        return touched

    async def _waits_for(self, connection: AsyncConnection, name: str) -> bool:
        """Whether the gateway still has children by name."""
        return bool(await nodes.children_of(connection, name))
