"""From pieces of frames to chunks in the store: the buffers of a child (docs/protocol.md, section 6).

Rules
- Whole chunks of a frame go to the store out of the connection's own buffer, which is lent until they lie there; only
  what comes in parts, or in a frame too small to be lent, is copied.
- What waits goes to the store together, a MiB and more at a time: one change of threads, one write.  While one batch is
  on its way, the next one is closed when it is large enough, or when that one is done.
- Who passes nothing on may gather: a batch that is not large waits so many seconds for company, or until `hurry`: each
  batch wakes two threads, and on a thin link that would be most of the work.
- When more than the limit waits, reading from the broker stops until half of it is gone.
- What a placer took where it was read (`taking`) is not stored again: all of a moment is settled together.
- A chunk that does not verify is thrown away and said to be rejected; a full store is said to be full.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from tiercast_protocol.errors import ChunkCorrupt, StoreFull
from tiercast_protocol.node.taking import Arrived, Placer
from tiercast_protocol.wire.messages import Piece

if TYPE_CHECKING:
    from tiercast_protocol.node.chunks.port import Taken, WritableStore

log = structlog.get_logger(__name__)

Digest = bytes
#: Batches that are verified and stored at the same time, and the bytes at which a batch is closed.
STORERS = 2
BATCH = 1 << 20

_Chunks = list[tuple[Digest, "bytes | memoryview"]]
Lend = Callable[[], Callable[[], None] | None]


class Landing:
    """Puts chunks together and into `store`.

    Args:
        store: its `put_many` verifies, off the loop.
        limit: bytes that may wait for it.
        pause, resume: stop and go on reading from the broker.
        on_stored: called with digests and sizes once the chunks are readable.
        on_rejected: called with digest and reason when the bytes are not the chunk's.
        on_full: called when the store has no room.
        gather: seconds that a small batch waits for company.
        placer: took what stands as taken in a frame.
    """

    def __init__(
        self,
        store: WritableStore,
        *,
        limit: int,
        pause: Callable[[], None],
        resume: Callable[[], None],
        on_stored: Callable[[Sequence[tuple[Digest, int]]], None],
        on_rejected: Callable[[Digest, str], None],
        on_full: Callable[[Digest, StoreFull], None],
        gather: float = 0.0,
        placer: Placer | None = None,
    ) -> None:
        self._store, self._limit = store, limit
        self._placer = placer
        #: Taken by the placer, and not told yet: with its size, and what the placer said of it.
        self._placed: list[tuple[Digest, int, object]] = []
        self._pause, self._resume = pause, resume
        self._on_stored, self._on_rejected, self._on_full = on_stored, on_rejected, on_full
        self._buffers: dict[Digest, bytearray] = {}
        self._whole: deque[tuple[_Chunks, int, Callable[[], None] | None]] = deque()
        self._news = asyncio.Event()
        self._gather = gather
        self._enough = asyncio.Event()
        self._waiting = self._queued = self._busy = 0
        self._paused = False

    def hurry(self) -> None:
        """What waits for company is stored now: nothing more comes."""
        self._enough.set()

    async def run(self) -> None:
        """Store what is whole, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(STORERS):
                tasks.create_task(self._store_chunks())

    def keep(self, piece: Piece, frame: Arrived) -> None:
        """Copy the bytes of `piece` out of the frame being read, whose views are gone afterwards."""
        if piece.digest in frame.taken:
            return
        for sent, view in frame.pieces:
            start = piece.offset - sent.offset
            if sent.digest == piece.digest and start >= 0 and start + piece.length <= sent.length:
                self._copy(piece, view[start : start + piece.length])
                return
        raise RuntimeError("a piece was kept that is not in the frame")

    def _copy(self, piece: Piece, view: memoryview) -> None:
        if piece.length == piece.size:
            self._buffers[piece.digest] = bytearray(view)
            return
        buffer = self._buffers.get(piece.digest)
        if buffer is None or len(buffer) != piece.size:
            buffer = self._buffers[piece.digest] = bytearray(piece.size)
        buffer[piece.offset : piece.offset + piece.length] = view

    def discard(self, digest: Digest) -> None:
        """Throw away what was kept of a chunk."""
        self._buffers.pop(digest, None)

    def assemble(self, digest: Digest, frame: Arrived) -> None:
        """The chunk is whole with this frame: have it verified and stored."""
        if digest in frame.taken:
            self.discard(digest)
            size = next(piece.size for piece, _ in frame.pieces if piece.digest == digest)
            self._place((digest, size, frame.taken[digest]))
            return
        data = self._buffers.pop(digest)
        self._queue([(digest, memoryview(data))], len(data), None)

    def store(self, pieces: Sequence[Piece], frame: Arrived, lend: Lend) -> None:
        """Each of `pieces`, which stand in the frame being read in this order, is a whole chunk: have it stored.

        `lend` keeps the frame's memory; where it can't, the bytes are copied.
        """
        if taken := frame.taken:
            self._place(*[(p.digest, p.length, taken[p.digest]) for p in pieces if p.digest in taken])
            pieces = [piece for piece in pieces if piece.digest not in taken]
            if not pieces:
                return
        give_back = lend()
        chunks: _Chunks = []
        sent = iter(frame.pieces)
        for piece in pieces:
            for there, view in sent:
                if there is piece:
                    chunks.append((piece.digest, view if give_back is not None else bytes(view)))
                    break
            else:
                raise RuntimeError("a piece was stored that is not in the frame")
        self._queue(chunks, sum(piece.length for piece in pieces), give_back)

    def _place(self, *placed: tuple[Digest, int, object]) -> None:
        if placed and not self._placed:
            asyncio.get_running_loop().call_soon(self._settle_placed)
        self._placed += placed

    def _settle_placed(self) -> None:
        assert self._placer is not None  # noqa: S101 - for the type checker: nobody else takes
        placed, self._placed = self._placed, []
        results: list[Taken] = []
        for digest, _, what in placed:
            if isinstance(what, ChunkCorrupt):
                results.append(what)
            else:
                self._placer.taken(digest, what)
                results.append(True)
        self._settle([(digest, size) for digest, size, _ in placed], results)

    def _queue(self, chunks: _Chunks, size: int, give_back: Callable[[], None] | None) -> None:
        self._waiting += size
        self._queued += size
        self._whole.append((chunks, size, give_back))
        if not self._busy or self._queued >= BATCH:
            self._news.set()
        if self._queued >= BATCH:
            self._enough.set()
        if self._waiting > self._limit and not self._paused:
            self._paused = True
            self._pause()

    async def _store_chunks(self) -> None:
        while True:
            while not self._whole or (self._busy and self._queued < BATCH):
                self._news.clear()
                await self._news.wait()
            self._busy += 1
            try:
                if self._gather and self._queued < BATCH:
                    await self._wait_for_company()
                if self._whole:
                    await self._store_batch()
            finally:
                self._busy -= 1

    async def _wait_for_company(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather):
                await self._enough.wait()

    async def _store_batch(self) -> None:
        chunks: _Chunks = []
        size = 0
        lent: list[Callable[[], None]] = []
        while self._whole and size < BATCH:
            some, length, give_back = self._whole.popleft()
            chunks += some
            size += length
            if give_back is not None:
                lent.append(give_back)
        self._queued -= size
        if self._queued < BATCH:
            self._enough.clear()
        try:
            results = await self._store.put_many(chunks)
            self._settle([(digest, len(data)) for digest, data in chunks], results)
        finally:
            del chunks
            for give_back in lent:
                give_back()
            self._waiting -= size
            if self._paused and self._waiting <= self._limit // 2:
                self._paused = False
                self._resume()

    def _settle(self, chunks: list[tuple[Digest, int]], results: Sequence[Taken]) -> None:
        stored: list[tuple[Digest, int]] = []
        for chunk, result in zip(chunks, results, strict=True):
            digest = chunk[0]
            if isinstance(result, ChunkCorrupt):
                log.warning("chunk.rejected", digest=digest.hex(), reason=result.reason)
                self._on_rejected(digest, result.reason)
            elif isinstance(result, StoreFull):
                log.warning("store.full", digest=digest.hex(), needed=result.needed, free=result.free)
                self._on_full(digest, result)
            else:
                stored.append(chunk)
        if stored:
            self._on_stored(stored)
