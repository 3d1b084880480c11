"""The verbs of a depot, at every tier with children: what it holds, what stays, what goes.

Rules
- Whatever lets go says what went and what keeps the rest, by reason; a dry run says the same and does nothing.
- Sizes are bytes, times milliseconds since 1970; a package is NAME, NAME=VERSION, or its root in hex.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tiercast_gateway import snapshot
from tiercast_gateway.depot import media
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.giving import VERB, give

if TYPE_CHECKING:
    from tiercast_gateway.depot.packages import HeldPackage
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.node.control.peers import Role

Handler = Callable[[Call], Awaitable[Any]]


class DepotVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, tree: SubTree) -> None:
        self._tree = tree
        self.table: list[tuple[str, Role, Handler]] = [
            ("depot.show", "viewer", self.show),
            ("depot.pin", "operator", self.pin),
            ("depot.unpin", "operator", self.unpin),
            ("depot.keep", "operator", self.keep),
            ("depot.evict", "operator", self.evict),
            ("depot.audit", "operator", self.audit),
            (VERB, "operator", self.give),
            ("depot.members", "viewer", self.members),
            ("depot.holds", "viewer", self.holds),
        ]

    async def show(self, call: Call) -> dict[str, Any]:
        """How full the depot is, and the packages that it knows."""
        del call
        return await snapshot.depot(self._tree)

    async def pin(self, call: Call) -> dict[str, Any]:
        """Keep a package until it is unpinned."""
        return _shown(await self._tree.depot.packages.pin(call.text("package")))

    async def unpin(self, call: Call) -> dict[str, Any]:
        """Let a package go when room is needed."""
        return _shown(await self._tree.depot.packages.pin(call.text("package"), pinned=False))

    async def keep(self, call: Call) -> dict[str, Any]:
        """Keep a package for `seconds` from now; 0 ends that."""
        seconds = call.number("seconds")
        if seconds < 0:
            raise UsageError(code="time.invalid", what=f"{seconds} s is no length of time.", todo="0 ends it.")
        return _shown(await self._tree.depot.packages.keep(call.text("package"), seconds))

    async def evict(self, call: Call) -> dict[str, Any]:
        """Let go what nobody relies on: all of it, or at least `bytes`; with `dry_run` only say what that would be."""
        depot, size = self._tree.depot, call.number("bytes", 0)
        depot.check_evictable()
        if size < 0:
            raise UsageError(code="size.invalid", what=f"{size} bytes can't be freed.", todo="Name a size above 0.")
        target = size or depot.usage().bytes + 1
        if call.flag("dry_run", default=False):
            return (await depot.room.would(target)).shown()
        return (await depot.room.make(target)).shown()

    async def audit(self, call: Call) -> dict[str, Any]:
        """Prove every chunk now, or those of `package`, at most `rate` bytes a second; `repair` brings back the bad."""
        package, rate = call.text("package", ""), call.number("rate", 0)
        if rate < 0:
            raise UsageError(code="rate.invalid", what=f"{rate} B/s is no rate.", todo="0 is the audit's own pace.")
        root = self._tree.depot.packages.find(package).root.hex() if package else ""
        self._tree.upkeep.auditor.order(root, rate=rate, repair=call.flag("repair", default=True))
        return await self._tree.upkeep.figures()

    async def give(self, call: Call) -> dict[str, object]:
        """Chunks by their digests, for whoever above lost them."""
        return await give(call.args.get("digests"), call.args.get("offset"), self._tree.depot.get)

    async def members(self, call: Call) -> dict[str, Any]:
        """The digests of a package's chunks, a page from the `at`-th on."""
        found = self._tree.depot.packages.find(call.text("package"))
        return await media.members(self._tree.depot, found.root, call.number("at", 0))

    async def holds(self, call: Call) -> dict[str, int]:
        """How many chunks of the package with this root are held here."""
        return await media.holds(self._tree.depot, call.data("root"))


def _shown(held: HeldPackage) -> dict[str, Any]:
    return {
        "package": held.name,
        "version": held.version,
        "pinned": held.pinned,
        "keep_until": held.keep_until,
    }
