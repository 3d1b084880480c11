"""A near store in front of a far one: what is missing near is taken from far, and kept.

Rules
- Only `ChunkMissing` goes on to the far store; damage is damage.
- A near store that is full does not stop the reader: the chunk is passed on and not kept.
"""

from __future__ import annotations

from contextlib import suppress

from tiercast_protocol.content.digest import Digest
from tiercast_protocol.errors import ChunkMissing, StoreFull
from tiercast_protocol.node.chunks.port import ChunkStore, WritableStore


class ReadThroughStore:
    """`near` is asked first and filled, `far` is asked for the rest; `put` goes to `near`."""

    def __init__(self, near: WritableStore, far: ChunkStore) -> None:
        self._near = near
        self._far = far

    async def get(self, digest: Digest) -> bytes:
        """See `ChunkStore`."""
        try:
            return await self._near.get(digest)
        except ChunkMissing:
            stored = await self._far.get(digest)
        with suppress(StoreFull):
            await self._near.put(digest, stored)
        return stored

    async def has(self, digest: Digest) -> bool:
        """See `ChunkStore`."""
        return await self._near.has(digest) or await self._far.has(digest)

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """See `WritableStore`; new means new here, near."""
        return await self._near.put(digest, stored)
