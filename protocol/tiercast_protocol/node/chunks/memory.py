"""Chunks in memory: for tests and for short-lived programs.

Rules
- Verified when taken, like every store; bounded in bytes.
"""

from __future__ import annotations

from tiercast_protocol.content.chunk import unseal
from tiercast_protocol.content.digest import Digest
from tiercast_protocol.errors import ChunkMissing, StoreFull


class MemoryStore:
    """At most `limit` bytes of stored forms; None is no limit."""

    def __init__(self, limit: int | None = None) -> None:
        self._chunks: dict[Digest, bytes] = {}
        self._limit = limit
        self.bytes = 0

    async def get(self, digest: Digest) -> bytes:
        """See `ChunkStore`."""
        try:
            return self._chunks[digest]
        except KeyError:
            raise ChunkMissing(digest) from None

    async def has(self, digest: Digest) -> bool:
        """See `ChunkStore`."""
        return digest in self._chunks

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """See `WritableStore`."""
        if digest in self._chunks:
            return False
        unseal(digest, stored)
        if self._limit is not None and self.bytes + len(stored) > self._limit:
            raise StoreFull(needed=len(stored), free=self._limit - self.bytes, where="memory")
        self._chunks[digest] = stored
        self.bytes += len(stored)
        return True

    def discard(self, digest: Digest) -> None:
        """Let the chunk go, if it is held."""
        self.bytes -= len(self._chunks.pop(digest, b""))
