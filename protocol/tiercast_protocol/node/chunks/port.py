"""What a chunk store is.

Rules
- What goes in and out is the stored form (content/sealed/chunk.py), verbatim; what comes out was verified against its
  digest since it was last read from a disk or a peer.
- `ChunkMissing` is control flow (ask the next one), `ChunkCorrupt` never is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.errors import ChunkCorrupt, StoreFull

#: What became of a chunk: new here (True), held before (False), or what `put` would raise for it.
Taken = bool | ChunkCorrupt | StoreFull
#: Called in a worker thread with chunks, and with those of them whose bytes the caller proves by another digest: the
#: raw bytes of those that can be read, all others proved.  They may be views into what was read together.
Reading = Callable[[Iterable[Digest], Collection[Digest]], Mapping[Digest, bytes | memoryview]]


class ChunkStore(Protocol):
    """A source of chunks."""

    async def get(self, digest: Digest) -> bytes:
        """The stored form of the chunk.

        Raises:
            ChunkMissing: not held here.
            ChunkCorrupt: it was held, and its bytes are damaged; from now on it is missing.
        """
        ...

    async def has(self, digest: Digest) -> bool:
        """Whether `get` would find it."""
        ...


class WritableStore(ChunkStore, Protocol):
    """A store that also takes chunks."""

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """Take a chunk; readable at once.  True if it is new here.

        Raises:
            ChunkCorrupt: `stored` is not what `digest` names; nothing was kept.
            StoreFull: no room; nothing was kept.
        """
        ...

    def held(self, digests: Sequence[Digest]) -> dict[Digest, int]:
        """Those of `digests` that `get` would find, with the bytes of their stored forms; one look-up for all."""
        ...

    async def put_many(self, chunks: Sequence[tuple[Digest, bytes | memoryview]]) -> list[Taken]:
        """Take chunks together; what became of each, in their order.

        The memory of views is the caller's again when this returns.
        """
        ...
