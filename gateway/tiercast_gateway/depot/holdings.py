"""How much of the packages of open jobs this node holds: raw bytes, for status and progress.

Rules
- A package is followed from the order that names it until its job is closed.  Its root and lists are not
  fetched for this: they come because somebody below wants them, and are read when they are here.
- Counting costs a dictionary entry per chunk that is still missing; what is held costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ProtocolError
from tiercast_protocol.node.fetch import data_chunks, read_root

if TYPE_CHECKING:
    from tiercast_gateway.depot.depot import Depot

log = structlog.get_logger(__name__)

Digest = bytes


@dataclass(slots=True)
class Holding:
    """One package: raw bytes held (`done`) of all (`total`, 0 while unknown)."""

    root: Digest
    done: int = 0
    total: int = 0
    awaited: set[Digest] = field(default_factory=set)
    missing: dict[Digest, int] = field(default_factory=dict)
    counted: bool = False

    @property
    def complete(self) -> bool:
        """Whether every chunk of the package is held."""
        return self.counted and not self.missing


class Holdings:
    """Every package that is followed; `on_change(root)` is called when its figures change."""

    def __init__(self, depot: Depot, on_change: Callable[[Digest], None]) -> None:
        self._depot = depot
        self._on_change = on_change
        self._followed: dict[Digest, Holding] = {}
        self._readable: asyncio.Queue[Digest] = asyncio.Queue()

    def get(self, root: Digest) -> Holding | None:
        """The figures of a package that is followed."""
        return self._followed.get(root)

    def follow(self, root: Digest) -> None:
        """A job that needs this package is open."""
        if root not in self._followed:
            self._followed[root] = Holding(root, awaited={root})
            self._readable.put_nowait(root)

    def leave(self, root: Digest) -> None:
        """No open job needs this package."""
        self._followed.pop(root, None)

    def chunk_arrived(self, digest: Digest) -> None:
        """The depot holds one chunk more."""
        for holding in self._followed.values():
            if digest in holding.awaited:
                holding.awaited.discard(digest)
                if not holding.awaited:
                    self._readable.put_nowait(holding.root)
            elif (length := holding.missing.pop(digest, None)) is not None:
                holding.done += length
                self._on_change(holding.root)

    async def run(self) -> None:
        """Read roots and lists as they become readable, until cancelled."""
        while True:
            root = await self._readable.get()
            holding = self._followed.get(root)
            if holding is None or holding.counted:
                continue
            try:
                await self._read(holding)
            except (ChunkMissing, ChunkCorrupt):
                continue
            except ProtocolError as error:
                log.warning("package.unreadable", root=root.hex(), reason=str(error))

    async def _read(self, holding: Holding) -> None:
        if self._depot.size(holding.root) is None:
            holding.awaited = {holding.root}
            return
        root = await read_root(holding.root, self._depot)
        holding.total = root.size
        # Set before looking, so that what arrives meanwhile is not waited for.
        holding.awaited = {digest for digest in root.lists if self._depot.size(digest) is None}
        if not holding.awaited:
            chunks = await data_chunks(root, self._depot)
            holding.missing = {d: length for d, length in chunks.items() if self._depot.size(d) is None}
            holding.done = holding.total - sum(holding.missing.values())
            holding.counted = True
        self._on_change(holding.root)


async def measure(root: Digest, depot: Depot) -> tuple[int, int]:
    """Raw bytes held of a package and in all; all is 0 while its root is not here, held 0 while a list is not."""
    total = 0
    try:
        head = await read_root(root, depot)
        total = head.size
        chunks = await data_chunks(head, depot)
    except (ChunkMissing, ChunkCorrupt, ProtocolError):
        return 0, total
    return sum(length for digest, length in chunks.items() if depot.size(digest) is not None), total
