"""Who holds how much of a package, on all tiers.

Rules
- Each node that is there is asked over the tree, a bounded number at once, all within one time limit.
- Who is not there, or silent, is listed as such, with what it last said of the package in any job, and when.
- Of the server it is what its own store holds now, not what the database says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import select

from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import hops, jobs, targets
from tiercast_server.nodes.presence import Presence
from tiercast_server.packages.packages import Package, find_sealed
from tiercast_server.region import Region
from tiercast_server.tree import Tree

#: Nodes asked at once; most seconds for all of them.
AT_ONCE = 64
MOST_SECONDS = 60


class Who:
    """Asks the tree; `held` gives what the server's own store holds of the package with that root."""

    def __init__(
        self, region: Region, tree: Tree, presence: Presence, held: Callable[[bytes], Awaitable[dict[str, int]]]
    ) -> None:
        self._region, self._tree, self._presence, self._held = region, tree, presence, held

    async def holds(self, reference: str, seconds: int) -> dict[str, Any]:
        """The package and what each node holds of it, within so many seconds.

        Raises:
            UsageError: package.unknown, package.empty, or time.invalid.
        """
        if not 0 < seconds <= MOST_SECONDS:
            raise UsageError("time.invalid", f"{seconds} s to answer is not from 1 to {MOST_SECONDS}.")
        async with self._region.db.read() as connection:
            package = await find_sealed(connection, reference.replace("@", "="))
        deadline = time.monotonic() + seconds
        listed = [node for node in await self._presence.list_() if node["joined"] and node["role"] != "server"]
        told = await self._last_told(package.root)
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(node: dict[str, Any]) -> dict[str, Any]:
            shown = {key: node[key] for key in ("name", "role", "parent")}
            if not node["online"]:
                return shown | {"state": "offline", **told.get(node["name"], {})}
            async with turns:
                found = await self._ask(node["name"], package.root, deadline)
            if found is None:
                return shown | {"state": "silent", **told.get(node["name"], {})}
            return shown | {"state": "answered", **found}

        server: dict[str, Any] = {"name": self._region.server, "role": "server", "parent": "", "state": "answered"}
        server |= {**await self._held(package.root), "installed": False}
        nodes = await asyncio.gather(*map(one, listed))
        return {**_shown(package), "nodes": [server, *nodes]}

    async def _ask(self, node: str, root: bytes, deadline: float) -> dict[str, Any] | None:
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        try:
            found = await self._tree.ask(node, "depot.holds", {"root": root}, deadline=left)
            return {"chunks": int(found["chunks"]), "bytes": int(found["bytes"]), "installed": bool(found["installed"])}
        except (UsageError, KeyError, TypeError, ValueError):
            return None

    async def _last_told(self, root: bytes) -> dict[str, dict[str, Any]]:
        """What each node last said of the package in any job: raw bytes held of all, and when."""
        found: dict[str, dict[str, Any]] = {}
        async with self._region.db.read() as connection:
            for table in (hops, targets):
                columns = (table.c.node, table.c.state, table.c.done, table.c.total, table.c.at)
                query = select(*columns).join(jobs, jobs.c.id == table.c.job).where(jobs.c.root == root)
                for row in await connection.execute(query.order_by(table.c.at)):
                    last = {"last_state": row.state, "last_done": row.done, "last_total": row.total, "last_at": row.at}
                    if found.get(row.node, last)["last_at"] <= row.at:
                        found[row.node] = last
        return found


def _shown(package: Package) -> dict[str, Any]:
    return {
        "package": package.name,
        "version": package.version,
        "revision": package.revision,
        "root": package.root,
        "chunks": package.chunks,
        "bytes": package.stored_bytes,
    }
