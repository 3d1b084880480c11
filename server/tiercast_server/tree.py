"""The port between the region and its own sub-tree, through which everything below is reached.

Rules
- Every call is idempotent and returns when the sub-tree has it in its own database: the region then forgets
  that it still had to say so (`handover`).
- Names a direct or indirect child; the sub-tree finds the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tiercast_protocol.wire.messages import Admitted, Dismissed, JobShape, Message, OrderBundle, TokenIssued
from tiercast_protocol.wire.site import BreakersOpened, SiteOrder


@dataclass(frozen=True, slots=True)
class Child:
    """A direct child as the sub-tree sees it; `since` in milliseconds since 1970 (0: never seen).

    `quota` is that of a gateway's depot, 0 for none; -1 where it did not say.
    """

    name: str
    online: bool
    since: int
    quota: int = -1


class Tree(Protocol):
    """The sub-tree as the region uses it."""

    async def take_order(self, bundle: OrderBundle, *, cause: str) -> None:
        """Relay an order to those of its targets that are below."""
        ...

    async def admit(self, message: Admitted) -> None:
        """A node joined."""
        ...

    async def dismiss(self, message: Dismissed) -> None:
        """A node was removed."""
        ...

    async def issue_token(self, message: TokenIssued) -> None:
        """Let a joining node in at its parent."""
        ...

    async def take_shape(self, message: JobShape) -> None:
        """A job's terms changed."""
        ...

    async def take_site(self, message: SiteOrder, *, cause: str) -> None:
        """Gateways are told whom a job means, or that it is over."""
        ...

    async def open_breakers(self, message: BreakersOpened) -> None:
        """A person lets a rollout go on at every gateway."""
        ...

    async def tell(self, node: str, message: Message, *, cause: str) -> bytes:
        """Say `message` to `node` below, reliably; the envelope's id."""
        ...

    async def ask(self, node: str, verb: str, args: dict[str, Any], *, deadline: float) -> Any:
        """What the reading verb `verb` gives at `node` below, within `deadline` seconds.

        Raises:
            UsageError: as the node said, or "node.silent".
        """
        ...

    def children_url(self) -> str:
        """The URL at which the server's own children reach its broker."""
        ...

    async def snapshot(self) -> dict[str, Any]:
        """What the `status` verb shows."""
        ...

    def children(self) -> list[Child]:
        """The server's direct children."""
        ...

    def sending_rate(self) -> int:
        """Bytes per second that go to all of the server's children now."""
        ...
