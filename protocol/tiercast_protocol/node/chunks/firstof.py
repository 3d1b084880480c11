"""Several stores, asked one after the other.

Rules
- The first that holds the chunk gives it.  `ChunkMissing` asks the next one; every other error is told.
"""

from __future__ import annotations

from contextlib import suppress

from tiercast_protocol.content.digest import Digest
from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node.chunks.port import ChunkStore


class FirstOfStore:
    """Reads from `stores`, in this order."""

    def __init__(self, *stores: ChunkStore) -> None:
        self._stores = stores

    async def get(self, digest: Digest) -> bytes:
        """See `ChunkStore`."""
        for store in self._stores:
            with suppress(ChunkMissing):
                return await store.get(digest)
        raise ChunkMissing(digest)

    async def has(self, digest: Digest) -> bool:
        """See `ChunkStore`."""
        for store in self._stores:
            if await store.has(digest):
                return True
        return False
