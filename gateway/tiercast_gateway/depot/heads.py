"""Root and lists of a package come with its order, before anybody below has asked for them.

Rules
- Whoever is ordered a package and lacks it asks for its root first, then for its lists: fetched when they are asked
  for, each of the two questions would climb every tier and its answer come down again.
- What patches lead to is left to them: a root that a patch makes crosses no link.
- What machines or their owners may not want (a condition, a need, an offer) is not fetched ahead either: where it is
  not wanted, no byte of it comes.
- Data chunks are never fetched ahead: what is missing below is known below.
- What is wanted for a job that is over, and by nobody below, is wanted no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import structlog

from tiercast_gateway.orders.orders import needs_content
from tiercast_protocol.content.jobs.provisos import hangs_on
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ProtocolError
from tiercast_protocol.node.fetch import read_root

if TYPE_CHECKING:
    from tiercast_gateway.depot.depot import Depot
    from tiercast_protocol.content.jobs.order import Order

log = structlog.get_logger(__name__)

Digest = bytes


class Sought(Protocol):
    """What is asked of `Streams`."""

    def sought(self, digest: Digest) -> bool:
        """Whether somebody below asked for the chunk, which is not here yet."""
        ...


class Way(Protocol):
    """How chunks come (`Patches`)."""

    def want(self, digests: Sequence[Digest], job: str = "") -> None:
        """Have these come."""
        ...

    def unwant(self, digests: Sequence[Digest]) -> None:
        """Nobody wants these any more."""
        ...


class Leading(Protocol):
    """What is asked of `Offers`."""

    def leads_to(self, root: Digest) -> bool:
        """Whether any patch makes this package."""
        ...


class Heads:
    """Fetches root and lists for the open jobs of one gateway."""

    def __init__(self, depot: Depot, offers: Leading, way: Way, below: Sought) -> None:
        self._depot, self._offers, self._way, self._below = depot, offers, way, below
        #: By root: the job that it is fetched for, and what has not come yet.
        self._fetching: dict[Digest, tuple[str, set[Digest]]] = {}
        self._news: asyncio.Queue[Order | Digest] = asyncio.Queue()

    def job_changed(self, order: Order, open_: bool) -> None:  # noqa: FBT001 - the callback of `Orders`
        """A job was opened (or its revision is new), or closed."""
        if not needs_content(order):
            return
        if open_ and hangs_on(order.type, order.options):
            return
        if open_:
            self._news.put_nowait(order)
        elif order.root in self._fetching and self._fetching[order.root][0] == order.job:
            _, waiting = self._fetching.pop(order.root)
            self._way.unwant([digest for digest in waiting if not self._below.sought(digest)])

    def chunk_arrived(self, digest: Digest) -> None:
        """The depot holds one chunk more."""
        for root, (_, waiting) in list(self._fetching.items()):
            if digest not in waiting:
                continue
            waiting.discard(digest)
            if digest == root:
                self._news.put_nowait(root)
            elif not waiting:
                del self._fetching[root]

    async def run(self) -> None:
        """Ask for what is ordered, until cancelled."""
        while True:
            news = await self._news.get()
            if isinstance(news, bytes):
                await self._root_came(news)
            else:
                self._ordered(news)

    def _ordered(self, order: Order) -> None:
        root = order.root
        if root in self._fetching or self._depot.size(root) is not None or self._offers.leads_to(root):
            return
        if self._depot.full is None:
            self._fetching[root] = order.job, {root}
            self._way.want([root], order.job)

    async def _root_came(self, root: Digest) -> None:
        try:
            lists = (await read_root(root, self._depot)).lists
        except (ChunkMissing, ChunkCorrupt, ProtocolError) as error:
            log.info("head.unreadable", root=root.hex()[:16], reason=str(error))
            lists = []
        if root not in self._fetching:
            return
        job, waiting = self._fetching[root]
        waiting.update(digest for digest in lists if self._depot.size(digest) is None)
        if waiting:
            self._way.want(list(waiting), job)
        else:
            del self._fetching[root]
