"""The verbs of status and depots: of the server itself, or asked of a node below.

Rules
- `node` "" or the server's name is this node; any other is asked over the tree, and an unknown name is said
  before anybody is asked.
- The server's depot is the library: it keeps every registered package, so there is nothing to pin, and
  evicting takes only what no package needs (uploads that were never registered).
- Packages in cabinets that the caller may not read are left out of what any depot shows, and refused by name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy import select

from tiercast_gateway import snapshot
from tiercast_gateway.depot import media
from tiercast_gateway.ledgers import Ledgers
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.giving import give
from tiercast_server.below import Below
from tiercast_server.database.tables import packages
from tiercast_server.nodes import nodes
from tiercast_server.nodes.presence import Presence
from tiercast_server.nodes.who import Who
from tiercast_server.packages import cabinet_rights
from tiercast_server.packages.cabinet_rights import caller_of
from tiercast_server.packages.library import Library
from tiercast_server.packages.packages import Package, readable_sealed
from tiercast_server.region import Region

DEADLINE_S = 10.0
WHO_S = 5
Handler = Callable[[Call], Awaitable[Any]]


class DepotVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, region: Region, below: Below, library: Library) -> None:
        self._region = region
        self._below = below
        self._library = library

    async def status(self, call: Call) -> dict[str, Any]:
        """What a node is and does now."""
        found: dict[str, Any] | None = await self._asked(call)
        return await self._below.snapshot() if found is None else found

    async def show(self, call: Call) -> dict[str, Any]:
        """What a depot holds."""
        found: dict[str, Any] | None = await self._asked(call)
        async with self._region.db.read() as connection:
            shut = await cabinet_rights.hidden(connection, caller_of(call))
            if found is not None:
                held = found.get("packages", [])
                seen = [row for row in held if (row.get("name"), row.get("version")) not in shut]
                return {**found, "packages": seen} if shut else found
            query = select(packages).where(packages.c.root != b"").order_by(packages.c.name, packages.c.id)
            held = [
                {
                    "name": row.name,
                    "version": row.version,
                    "revision": row.revision,
                    "held": row.stored_bytes,
                    "total": row.stored_bytes,
                    "pinned": True,
                }
                for row in await connection.execute(query)
                if (row.name, row.version) not in shut
            ]
        audit = await self._below.subtree.upkeep.figures()
        return {**snapshot.usage(self._below.subtree), "packages": held, "audit": audit}

    async def pin(self, call: Call) -> dict[str, Any]:
        """Keep a package in a gateway's depot."""
        return await self._pin(call)

    async def unpin(self, call: Call) -> dict[str, Any]:
        """Let a gateway's depot drop a package."""
        return await self._pin(call)

    async def keep(self, call: Call) -> dict[str, Any]:
        """Keep a package in a gateway's depot for a time."""
        return await self._pin(call)

    async def evict(self, call: Call) -> dict[str, Any]:
        """Drop what nobody needs, or only say what that would be."""
        found: dict[str, Any] | None = await self._asked(call)
        if found is None:
            return await self._library.evict(dry_run=call.flag("dry_run", default=False))
        return found

    async def audit(self, call: Call) -> dict[str, Any]:
        """Prove what a depot holds, and bring back what is damaged."""
        package, rate = call.text("package", ""), call.number("rate", 0)
        found: dict[str, Any] | None = await self._asked_about(call, package)
        if found is not None:
            return found
        if rate < 0:
            raise UsageError(code="rate.invalid", what=f"{rate} B/s is no rate.", todo="0 is the audit's own pace.")
        root = ""
        if package:
            root = (await self._readable(call, package)).root.hex()
        self._below.subtree.upkeep.auditor.order(root, rate=rate, repair=call.flag("repair", default=True))
        return await self._below.subtree.upkeep.figures()

    async def members(self, call: Call) -> dict[str, Any]:
        """The digests of a package's chunks, a page from the `at`-th on."""
        found: dict[str, Any] | None = await self._asked_about(call, call.text("package"))
        if found is not None:
            return found
        package = await self._readable(call, call.text("package"))
        return await media.members(self._below.subtree.depot, package.root, call.number("at", 0))

    async def give(self, call: Call) -> dict[str, Any]:
        """Chunks by their digests."""
        found: dict[str, Any] | None = await self._asked(call)
        if found is not None:
            return found
        return await give(call.args.get("digests"), call.args.get("offset"), self._below.subtree.depot.get)

    def who(self, presence: Presence) -> Handler:
        """The handler that says who holds how much of a package."""
        who = Who(self._region, self._below, presence, lambda root: media.holds(self._below.subtree.depot, root))

        async def handle(call: Call) -> dict[str, Any]:
            await self._readable(call, call.text("package"))
            return await who.holds(call.text("package"), call.number("seconds", WHO_S))

        return handle

    async def outbox(self, call: Call) -> list[dict[str, Any]]:
        """What no neighbour of a node has acknowledged yet."""
        found: list[dict[str, Any]] | None = await self._asked(call)
        if found is not None:
            return found
        pending = await self._below.subtree.post.pending(call.number("limit", 100))
        return [{"peer": p.peer, "kind": p.kind, "to": p.to, "cause": p.cause, "created": p.created} for p in pending]

    async def ledger(self, call: Call) -> dict[str, Any]:
        """What a node's ledger says of its links, and whether the books of both ends agree."""
        found: dict[str, Any] | None = await self._asked(call)
        if found is not None:
            return found
        ledgers = Ledgers(self._below.subtree)
        return await (ledgers.check(call) if call.verb == "ledger.check" else ledgers.show(call))

    async def _pin(self, call: Call) -> dict[str, Any]:
        found: dict[str, Any] | None = await self._asked_about(call, call.text("package"))
        if found is None:
            raise UsageError(
                code="depot.library",
                what="The server's depot is the library: it keeps every package until that is deleted.",
                todo="Name a gateway with --node.",
            )
        return found

    async def _readable(self, call: Call, reference: str) -> Package:
        async with self._region.db.read() as connection:
            return await readable_sealed(connection, reference.replace("@", "="), caller_of(call))

    async def _asked_about(self, call: Call, reference: str) -> Any:
        """As `_asked`, about a package; one that the library does not know is the node's to judge."""
        if reference and call.text("node", "") not in {"", self._region.server}:
            try:
                await self._readable(call, reference)
            except UsageError as error:
                if error.code == "cabinet.denied":
                    raise
        return await self._asked(call)

    async def _asked(self, call: Call) -> Any:
        return await asked(self._region, self._below, call)


async def asked(region: Region, below: Below, call: Call, more: Mapping[str, Any] | None = None) -> Any:
    """What the node that the call names gives for the same verb (`more` goes with it); None where that is this node.

    Raises:
        UsageError: node.unknown, node.not-joined, node.role, or as the node says.
    """
    node = call.text("node", "")
    if node in {"", region.server}:
        return None
    async with region.db.read() as connection:
        found = await nodes.get(connection, node)
    if not found.has_joined:
        raise UsageError(
            code="node.not-joined", what=f"{node!r} has not joined yet.", todo="`tiercast node list` shows who has."
        )
    if found.role == "endpoint" and call.verb.startswith(("depot.", "link.", "hold.")):
        raise UsageError(
            code="node.role",
            what=f"{node!r} is an endpoint; only gateways and the server have a depot and links to children.",
            todo="`tiercast node list` shows the role of every node.",
        )
    args = {key: value for key, value in call.args.items() if key != "node"} | dict(more or {})
    return await below.ask(node, call.verb, args, deadline=DEADLINE_S)
