"""What stands above a sub-tree: a parent over MQTT, or the region itself.

Rules
- A sub-tree knows nothing of what is above it but this port.  A gateway puts `ParentAbove` there (an
  `Upstream` to its parent's broker), the server puts its region there.
- Upward control messages are reliable: `send` and `forward` return when the message is in this node's
  own database, not when the parent has it.
- `want` is answered, some time later, by `subtree.chunk_arrived(digest, size)` (the chunk is verified and
  readable from the sub-tree's depot) or `subtree.chunk_absent(digest, reason)`; never from inside `want`.
- The region answers `want` with `chunk_absent` for whatever its library lacks: chunks that the depot holds
  are never asked for above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.node.post import Post
    from tiercast_protocol.node.upstream import Upstream
    from tiercast_protocol.wire.envelope import Envelope
    from tiercast_protocol.wire.messages import Message

Digest = bytes


class Above(Protocol):
    """The port: what a sub-tree may ask of what stands above it."""

    @property
    def parent(self) -> str:
        """The parent's name; "" where there is none (the server)."""
        ...

    @property
    def connected(self) -> bool:
        """Whether messages and chunks reach it now (the region: always)."""
        ...

    @property
    def path(self) -> Sequence[str]:
        """The names from the server down to `parent`; nothing where that is not known now."""
        ...

    def attach(self, subtree: SubTree) -> None:
        """Called once, by `open_subtree`, before anything else: answers go to this sub-tree."""
        ...

    async def transmit(self, payload: bytes) -> None:
        """Put one sealed envelope on the wire to `parent`.  Never called where `parent` is ""."""
        ...

    async def send(self, message: Message, *, to: str = "", cause: str = "") -> None:
        """Say `message` to the parent (`to` "") or to a node above or beside it, reliably."""
        ...

    async def forward(self, envelope: Envelope) -> None:
        """Pass on what a node below said to a node that is not below."""
        ...

    def want(self, digests: Sequence[Digest], job: str = "") -> None:
        """Ask for chunks that the depot does not hold, for `job`; each is asked for once per job."""
        ...

    def unwant(self, digests: Sequence[Digest]) -> None:
        """Nobody below wants these any more."""
        ...


class ParentAbove:
    """A parent over MQTT: control through the sub-tree's own outbox, chunks through the `Upstream`."""

    def __init__(self, parent: str) -> None:
        self._first = parent
        self._subtree: SubTree | None = None
        self._upstream: Upstream | None = None

    def attach(self, subtree: SubTree) -> None:
        """See `Above.attach`."""
        self._subtree = subtree

    def join(self, upstream: Upstream) -> None:
        """Chunks and bytes go over `upstream` from now on (it needs the sub-tree's depot and outbox first)."""
        self._upstream = upstream

    @property
    def upstream(self) -> Upstream:
        """The way to the parent."""
        if self._upstream is None:
            raise RuntimeError("join() was not called")
        return self._upstream

    @property
    def parent(self) -> str:
        """The present parent's name."""
        return self._upstream.parent if self._upstream is not None else self._first

    @property
    def path(self) -> Sequence[str]:
        """See `Above.path`."""
        return self._upstream.hop.path if self._upstream is not None else ()

    @property
    def connected(self) -> bool:
        """Whether both connections to the parent's broker are up."""
        return self._upstream is not None and self._upstream.connected

    @property
    def _post(self) -> Post:
        if self._subtree is None:
            raise RuntimeError("attach() was not called")
        return self._subtree.post

    async def transmit(self, payload: bytes) -> None:
        """See `Above.transmit`."""
        await self.upstream.transmit(payload)

    async def send(self, message: Message, *, to: str = "", cause: str = "") -> None:
        """See `Above.send`."""
        await self._post.send(self.parent, message, to=to, cause=cause)

    async def forward(self, envelope: Envelope) -> None:
        """See `Above.forward`."""
        await self._post.forward(self.parent, envelope)

    def want(self, digests: Sequence[Digest], job: str = "") -> None:
        """See `Above.want`."""
        self.upstream.want(digests, job)

    def unwant(self, digests: Sequence[Digest]) -> None:
        """See `Above.unwant`."""
        self.upstream.unwant(digests)

    async def fetch(self, digests: Sequence[Digest], job: str = "") -> None:
        """Wait until all are in the depot (this node's own preload); see `Upstream.fetch`."""
        await self.upstream.fetch(digests, job)
