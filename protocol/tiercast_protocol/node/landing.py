"""From pieces of frames to chunks in the store: the buffers of a child (docs/protocol.md, section 6).

Rules
- A piece that is a whole chunk is copied once, out of the connection's buffer; others are put together.
- Whole chunks wait for the store, which verifies them in threads, a few at a time.  When more than the
  limit waits, reading from the broker stops until half of it is gone.
- A chunk that does not verify is thrown away and said to be rejected; a full store is said to be full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from tiercast_protocol.errors import ChunkCorrupt, StoreFull
from tiercast_protocol.wire.messages import Piece

if TYPE_CHECKING:
    from tiercast_protocol.node.chunks.port import WritableStore

log = structlog.get_logger(__name__)

Digest = bytes
#: Chunks that are verified and stored at the same time.
STORERS = 4


class Landing:
    """Puts chunks together and into `store`.

    Args:
        store: its `put` verifies, off the loop.
        limit: bytes that may wait for it.
        pause, resume: stop and go on reading from the broker.
        on_stored: called with digest and size once the chunk is readable.
        on_rejected: called with digest and reason when the bytes are not the chunk's.
        on_full: called when the store has no room.
    """

    def __init__(
        self,
        store: WritableStore,
        *,
        limit: int,
        pause: Callable[[], None],
        resume: Callable[[], None],
        on_stored: Callable[[Digest, int], None],
        on_rejected: Callable[[Digest, str], None],
        on_full: Callable[[Digest, StoreFull], None],
    ) -> None:
        self._store, self._limit = store, limit
        self._pause, self._resume = pause, resume
        self._on_stored, self._on_rejected, self._on_full = on_stored, on_rejected, on_full
        self._buffers: dict[Digest, bytes | bytearray] = {}
        self._whole: asyncio.Queue[tuple[Digest, bytes | bytearray]] = asyncio.Queue()
        self._waiting = 0
        self._paused = False

    async def run(self) -> None:
        """Store what is whole, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(STORERS):
                tasks.create_task(self._store_chunks())

    def keep(self, piece: Piece, frame: Sequence[tuple[Piece, memoryview]]) -> None:
        """Copy the bytes of `piece` out of the frame being read, whose views are gone afterwards."""
        for sent, view in frame:
            start = piece.offset - sent.offset
            if sent.digest == piece.digest and start >= 0 and start + piece.length <= sent.length:
                self._copy(piece, view[start : start + piece.length])
                return
        raise RuntimeError("a piece was kept that is not in the frame")

    def _copy(self, piece: Piece, view: memoryview) -> None:
        if piece.length == piece.size:
            self._buffers[piece.digest] = bytes(view)
            return
        buffer = self._buffers.get(piece.digest)
        if not isinstance(buffer, bytearray) or len(buffer) != piece.size:
            buffer = self._buffers[piece.digest] = bytearray(piece.size)
        buffer[piece.offset : piece.offset + piece.length] = view

    def discard(self, digest: Digest) -> None:
        """Throw away what was kept of a chunk."""
        self._buffers.pop(digest, None)

    def assemble(self, digest: Digest) -> None:
        """The chunk is whole: have it verified and stored."""
        data = self._buffers.pop(digest)
        self._waiting += len(data)
        self._whole.put_nowait((digest, data))
        if self._waiting > self._limit and not self._paused:
            self._paused = True
            self._pause()

    async def _store_chunks(self) -> None:
        while True:
            digest, data = await self._whole.get()
            try:
                await self._store.put(digest, data if isinstance(data, bytes) else bytes(data))
            except ChunkCorrupt as error:
                log.warning("chunk.rejected", digest=digest.hex(), reason=error.reason)
                self._on_rejected(digest, error.reason)
            except StoreFull as error:
                log.warning("store.full", digest=digest.hex(), needed=error.needed, free=error.free)
                self._on_full(digest, error)
            else:
                self._on_stored(digest, len(data))
            finally:
                self._waiting -= len(data)
                if self._paused and self._waiting <= self._limit // 2:
                    self._paused = False
                    self._resume()
