"""A store that is asked by so many at a time.

Rules
- Waiters are served in the order in which they came; a cancelled one gives its place back.
"""

from __future__ import annotations

import asyncio

from tiercast_protocol.content.digest import Digest
from tiercast_protocol.node.chunks.port import ChunkStore


class LimitedStore:
    """At most `most` calls of `get` and `has` run on `inner` at once."""

    def __init__(self, inner: ChunkStore, most: int) -> None:
        self._inner = inner
        self._places = asyncio.Semaphore(most)

    async def get(self, digest: Digest) -> bytes:
        """See `ChunkStore`."""
        async with self._places:
            return await self._inner.get(digest)

    async def has(self, digest: Digest) -> bool:
        """See `ChunkStore`."""
        async with self._places:
            return await self._inner.has(digest)
