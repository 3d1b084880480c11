"""The region's `Tree`, over the sub-tree of its own node.

Rules
- Made before the sub-tree is open, because the sub-tree needs the region above it; `attach` closes the ring.
- Adds nothing: names, routes and outboxes are the sub-tree's.
"""

from __future__ import annotations

from typing import Any

from tiercast_gateway import snapshot
from tiercast_gateway.subtree import SubTree
from tiercast_protocol.wire.messages import Admitted, Dismissed, JobShape, Message, OrderBundle, TokenIssued
from tiercast_protocol.wire.site import BreakersOpened, SiteOrder
from tiercast_server.tree import Child


class Below:
    """See `tree.Tree`."""

    def __init__(self) -> None:
        self._subtree: SubTree | None = None

    def attach(self, subtree: SubTree) -> None:
        """The sub-tree is there; everything may be called from now on."""
        self._subtree = subtree

    @property
    def subtree(self) -> SubTree:
        """The sub-tree itself, for what only the server's own node has."""
        if self._subtree is None:
            raise RuntimeError("attach() was not called")
        return self._subtree

    async def take_order(self, bundle: OrderBundle, *, cause: str) -> None:
        """See `Tree.take_order`."""
        await self.subtree.take_order(bundle, cause)

    async def admit(self, message: Admitted) -> None:
        """See `Tree.admit`."""
        await self.subtree.admit(message)

    async def dismiss(self, message: Dismissed) -> None:
        """See `Tree.dismiss`."""
        await self.subtree.dismiss(message)

    async def issue_token(self, message: TokenIssued) -> None:
        """See `Tree.issue_token`."""
        await self.subtree.issue_token(message)

    async def take_shape(self, message: JobShape) -> None:
        """See `Tree.take_shape`."""
        await self.subtree.steering.jobs.take(message)

    async def take_site(self, message: SiteOrder, *, cause: str) -> None:
        """See `Tree.take_site`."""
        await self.subtree.sites.take(message, cause)

    async def open_breakers(self, message: BreakersOpened) -> None:
        """See `Tree.open_breakers`."""
        await self.subtree.breakers.opened(message)

    async def tell(self, node: str, message: Message, *, cause: str) -> bytes:
        """See `Tree.tell`."""
        return await self.subtree.tell(node, message, cause=cause)

    async def ask(self, node: str, verb: str, args: dict[str, Any], *, deadline: float) -> Any:
        """See `Tree.ask`."""
        return await self.subtree.queries.ask(node, verb, args, deadline)

    def children_url(self) -> str:
        """See `Tree.children_url`."""
        return self.subtree.broker.children_url

    async def snapshot(self) -> dict[str, Any]:
        """See `Tree.snapshot`."""
        return await self.subtree.status_snapshot()

    def children(self) -> list[Child]:
        """See `Tree.children`."""
        return [Child(c["name"], c["online"], c["since"], c["quota"]) for c in snapshot.children(self.subtree)]

    def sending_rate(self) -> int:
        """Bytes per second that went to all children in the last seconds."""
        return sum(snapshot.sending(self.subtree).values())
