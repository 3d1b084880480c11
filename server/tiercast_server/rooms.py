"""Whether the depots on the way of a job can ever hold its package.

Rules
- A gateway keeps what an open job needs, so a quota below the package's stored bytes makes the job impossible: it is
  refused when it is ordered, with the figures.
- Gateways directly below say their quotas as they connect (older ones don't).  Others are asked over the tree, all at
  once and with a short deadline, and what they say is remembered for a while; what is far from small for this package
  for longer, for it comes from a file that hardly ever changes.  One that is too small is asked for again each time:
  whoever was refused raises it and comes back.  Who is not there can't be asked: the job is ordered, and the gateway
  says why it waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import Request
from tiercast_server.nodes.nodes import Node, all_nodes
from tiercast_server.packages.packages import Package, find_sealed
from tiercast_server.region import Region
from tiercast_server.targeting import Targeting
from tiercast_server.tree import Tree

DEADLINE_S = 1.0
#: How long an answer, or its absence, stands, and one by which so many of the packages would fit.
FRESH_S, LONG_S, AMPLE = 60.0, 3600.0, 4


class Rooms:
    """Quotas of gateways, as far as they say."""

    def __init__(self, region: Region, tree: Tree, targeting: Targeting) -> None:
        self._region, self._tree, self._targeting = region, tree, targeting
        #: When each said what; 0 is no limit, None no answer.
        self._known: dict[str, tuple[float, int | None]] = {}

    async def check(self, request: Request) -> None:
        """Refuse a job whose package is larger than a depot on its way.

        Raises:
            UsageError: depot.small; whatever else is wrong with the request is for `Jobs.create` to say.
        """
        if request.type not in jobtypes.with_content():
            return
        try:
            async with self._region.db.read() as connection:
                package, way = await self._way(connection, request)
        except UsageError:
            return
        await self._ask(way, package.stored_bytes)
        quotas = [(name, self._known[name][1] or 0) for name in way]
        small = [(name, quota) for name, quota in quotas if 0 < quota < package.stored_bytes]
        if small:
            figures = ", ".join(f"{name} at most {quota:,} bytes" for name, quota in small[:10])
            raise UsageError(
                code="depot.small",
                what=f"{package.name}={package.version} is {package.stored_bytes:,} bytes; a depot on its way is less:"
                f" {figures}",
                todo="Raise `quota` in gateway.toml there and restart it, or name other targets. Nothing was done.",
            )

    async def _way(self, connection: AsyncConnection, request: Request) -> tuple[Package, list[str]]:
        """The package, and every gateway that it must pass or stay in."""
        package = await find_sealed(connection, request.package)
        nodes = {node.name: node for node in await all_nodes(connection)}
        role = jobtypes.of(request.type).role
        targets = (await self._targeting.pick(connection, request.meant, role)).nodes
        return package, sorted(_gateways(targets, nodes))

    async def _ask(self, names: list[str], size: int) -> None:
        now = time.monotonic()
        said = {one.name: one.quota for one in self._tree.children() if one.online and one.quota >= 0}
        self._known |= {name: (now, said[name]) for name in names if name in said}
        stale = [name for name in names if name not in said and self._is_stale(name, size, now)]
        quotas = await asyncio.gather(*(self._quota(name) for name in stale))
        self._known |= {name: (now, quota) for name, quota in zip(stale, quotas, strict=True)}

    def _is_stale(self, name: str, size: int, now: float) -> bool:
        at, quota = self._known.get(name, (float("-inf"), None))
        if quota is not None and 0 < quota < size:
            return True
        ample = quota is not None and (quota == 0 or quota >= AMPLE * size)
        return now - at >= (LONG_S if ample else FRESH_S)

    async def _quota(self, name: str) -> int | None:
        try:
            status = await self._tree.ask(name, "status", {"children": False}, deadline=DEADLINE_S)
            return int(status["depot"]["quota"] or 0)
        except (UsageError, KeyError, TypeError, ValueError):
            return None


def _gateways(targets: Iterable[Node], nodes: dict[str, Node]) -> set[str]:
    found: set[str] = set()
    for target in targets:
        name = target.name
        while (node := nodes.get(name)) is not None and name not in found:
            if node.role == "gateway" and node.has_joined:
                found.add(name)
            name = node.parent
    return found
