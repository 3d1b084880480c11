"""One question per chunk, however many ask at once.

Rules
- The first asker asks; the others wait for its answer, errors included.
- When the asker is cancelled, one of those who wait asks anew: nobody's cancellation is another one's failure.
- No task of its own: the question runs in the task of whoever asks it.
"""

from __future__ import annotations

import asyncio

from tiercast_protocol.content.digest import Digest
from tiercast_protocol.node.chunks.port import ChunkStore


class CoalescingStore:
    """Reads from `inner`, once per chunk at a time."""

    def __init__(self, inner: ChunkStore) -> None:
        self._inner = inner
        self._asked: dict[Digest, asyncio.Future[bytes]] = {}

    async def get(self, digest: Digest) -> bytes:
        """See `ChunkStore`."""
        while (answer := self._asked.get(digest)) is not None:
            # `wait` does not cancel what it waits for when we are cancelled.
            await asyncio.wait([answer])
            if not answer.cancelled():
                return answer.result()
        return await self._ask(digest)

    async def has(self, digest: Digest) -> bool:
        """See `ChunkStore`."""
        return await self._inner.has(digest)

    async def _ask(self, digest: Digest) -> bytes:
        answer = self._asked[digest] = asyncio.get_running_loop().create_future()
        try:
            stored = await self._inner.get(digest)
        except Exception as error:
            answer.set_exception(error)
            answer.exception()  # seen, should nobody wait
            raise
        else:
            answer.set_result(stored)
            return stored
        finally:
            # Before any waiter runs: whoever comes now, or waited for a cancelled asker, asks anew.
            del self._asked[digest]
            answer.cancel()
