"""The upkeep of a node's depot: its audit and its repair, and what both need of the sub-tree.

Rules
- Holders are asked in this order: children that are there, gateways first, then whoever is below those.
- Transfers are what goes down and what comes in; while they move, the audit steps back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tiercast_gateway.depot.auditor import Auditor
from tiercast_gateway.depot.repair import Repair, Ways

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.node.fetch import Fetcher


class Upkeep:
    """`audit` is the seconds in which every chunk is proved once, by itself; None is only by command."""

    def __init__(self, tree: SubTree, fetcher: Fetcher | None, *, audit: float | None) -> None:
        self._tree = tree
        ways = Ways(
            fetch=fetcher.fetch if fetcher is not None else None,
            connected=lambda: tree.above.connected,
            holders=self.holders,
            ask=tree.queries.ask,
            needed=tree.depot.room.named,
            arrived=self._arrived,
            absent=tree.chunk_absent,
        )
        self.repair = Repair(tree.db, tree.depot, ways)
        self.auditor = Auditor(
            tree.db, tree.depot, self.repair, period=audit, moved=lambda: tree.streams.bytes_out + tree.depot.bytes_in
        )

    async def load(self) -> None:
        """Take up what the last life left."""
        await self.repair.load()
        await self.auditor.load()

    async def run(self) -> None:
        """Prove and repair, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.repair.run())
            tasks.create_task(self.auditor.run())

    async def figures(self) -> dict[str, Any]:
        """What is proved, missing and healed: as verbs answer it."""
        return await self.auditor.figures()

    def needed_by(self, needed: Callable[[], Awaitable[set[bytes]]]) -> None:
        """From now on `needed` says which chunks must be here (the server's library knows better than orders do)."""
        self.repair.ways = replace(self.repair.ways, needed=needed)

    def holders(self) -> list[str]:
        """Nodes below that may hold a chunk, the likeliest first."""
        tree = self._tree
        users = sorted(tree.enrolment.children(), key=lambda user: user.role != "gateway")
        near = [user.name for user in users if tree.children.online(user.name)]
        return near + sorted(node for node, via in tree.routes.all().items() if via in near and node != via)

    def _arrived(self, digest: bytes, size: int) -> None:
        self._tree.above.unwant([digest])
        self._tree.chunk_arrived(digest, size)
