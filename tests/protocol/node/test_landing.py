"""Pieces become chunks, whole and verified, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.support.hop import chunks, until

from tiercast_protocol.content.sealed.chunk import verify
from tiercast_protocol.errors import ChunkCorrupt, StoreFull
from tiercast_protocol.node.chunks.port import Taken
from tiercast_protocol.node.landing import BATCH, Landing
from tiercast_protocol.node.taking import NOTHING, Arrived
from tiercast_protocol.wire.messages import Piece


class Store:
    def __init__(self) -> None:
        self.chunks: dict[bytes, bytes] = {}
        #: Chunks of each batch.
        self.counts: list[int] = []
        self.open = asyncio.Event()
        self.open.set()
        self.full = False

    async def get(self, digest: bytes) -> bytes:
        return self.chunks[digest]

    async def has(self, digest: bytes) -> bool:
        return digest in self.chunks

    def held(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        return {digest: len(self.chunks[digest]) for digest in digests if digest in self.chunks}

    async def put(self, digest: bytes, stored: bytes) -> bool:
        raise NotImplementedError

    async def put_many(self, chunks: Sequence[tuple[bytes, bytes | memoryview]]) -> list[Taken]:
        self.counts.append(len(chunks))
        await self.open.wait()
        return [self._take(digest, stored) for digest, stored in chunks]

    def _take(self, digest: bytes, stored: bytes | memoryview) -> Taken:
        if self.full:
            return StoreFull(needed=len(stored), free=0, where="quota")
        try:
            verify(digest, stored)
        except ChunkCorrupt as error:
            return error
        self.chunks[digest] = bytes(stored)
        return True


class Child:
    def __init__(self, limit: int, gather: float) -> None:
        self.store, self.log = Store(), list[str]()
        #: What the placer was told that it took.
        self.placed: list[tuple[bytes, object]] = []
        self.landing = Landing(
            self.store,
            limit=limit,
            pause=lambda: self.log.append("pause"),
            resume=lambda: self.log.append("resume"),
            on_stored=lambda chunks: self.log.extend(f"stored {size}" for _, size in chunks),
            on_rejected=lambda _digest, _reason: self.log.append("rejected"),
            on_full=lambda _digest, _error: self.log.append("full"),
            gather=gather,
            placer=self,
        )

    def take(self, chunks: Sequence[tuple[bytes, memoryview]]) -> dict[bytes, object]:
        raise NotImplementedError

    def taken(self, digest: bytes, what: object) -> None:
        self.placed.append((digest, what))

    def receive(self, digest: bytes, stored: bytes, step: int) -> None:
        """The whole chunk, in pieces of `step` bytes, two pieces a frame, the last first."""
        pieces = [Piece(digest, len(stored), at, min(step, len(stored) - at)) for at in range(0, len(stored), step)]
        for at in range(0, len(pieces), 2):
            some = pieces[::-1][at : at + 2]
            frame = [(piece, memoryview(stored)[piece.offset : piece.offset + piece.length]) for piece in some]
            for piece in some:
                self.landing.keep(piece, Arrived(tuple(frame)))
        self.landing.assemble(digest, NOTHING)


@asynccontextmanager
async def running(limit: int = 1 << 20, gather: float = 0.0) -> AsyncIterator[Child]:
    child = Child(limit, gather)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(child.landing.run())
        try:
            yield child
        finally:
            task.cancel()


@pytest.mark.parametrize("step", [50_000, 7_001])
async def test_pieces_in_any_order_make_the_chunk(step: int) -> None:
    async with running() as child:
        made = chunks(3)
        for digest, stored in made.items():
            child.receive(digest, stored, step)
        await until(lambda: child.store.chunks == made)
        assert child.log == [f"stored {len(stored)}" for stored in made.values()]


async def test_a_part_of_a_piece_may_be_kept() -> None:
    async with running() as child:
        ((digest, stored),) = chunks(1).items()
        size = len(stored)
        whole = Arrived(((Piece(digest, size, 0, size), memoryview(stored)),))
        child.landing.keep(Piece(digest, size, 0, 10), whole)
        child.landing.keep(Piece(digest, size, 10, size - 10), whole)
        child.landing.assemble(digest, whole)
        await until(lambda: child.store.chunks == {digest: stored})
        with pytest.raises(RuntimeError, match="not in the frame"):
            child.landing.keep(Piece(b"x" * 32, 5, 0, 5), whole)


async def test_lies_are_thrown_away() -> None:
    async with running() as child:
        ((digest, stored),) = chunks(1).items()
        child.receive(digest, b"\0" + bytes(len(stored) - 1), 50_000)
        await until(lambda: child.log == ["rejected"])
        half = Piece(digest, len(stored), 0, 100)
        child.landing.keep(half, Arrived(((half, memoryview(b"x" * 100)),)))
        child.landing.discard(digest)
        child.receive(digest, stored, 9_000)
        await until(lambda: child.store.chunks == {digest: stored})


async def test_reading_stops_while_too_much_waits_and_goes_on_after() -> None:
    async with running(limit=100_000) as child:
        child.store.open.clear()
        for digest, stored in chunks(5).items():
            child.receive(digest, stored, 50_000)
        assert child.log == ["pause"]
        child.store.open.set()
        await until(lambda: len(child.store.chunks) == 5)
        assert child.log.count("resume") == 1


async def test_whole_chunks_go_to_the_store_out_of_the_frame_that_is_lent_until_they_lie_there() -> None:
    async with running() as child:
        made = chunks(3)
        pieces = [Piece(digest, len(stored), 0, len(stored)) for digest, stored in made.items()]
        buffers = [bytearray(stored) for stored in made.values()]
        frame = Arrived(tuple((piece, memoryview(buffer)) for piece, buffer in zip(pieces, buffers, strict=True)))
        child.store.open.clear()
        child.landing.store(pieces[1:], frame, lambda: lambda: child.log.append("given back"))
        child.landing.store(pieces[:1], frame, lambda: None)
        buffers[0][:] = bytes(len(buffers[0]))  # not lent, so the connection may write into it
        child.store.open.set()
        await until(lambda: child.store.chunks == made and len(child.log) == 4)
        assert child.log.index("given back") > 1
        with pytest.raises(RuntimeError, match="not in the frame"):
            child.landing.store([Piece(b"x" * 32, 5, 0, 5)], frame, lambda: None)


async def test_a_full_store_is_said() -> None:
    async with running() as child:
        child.store.full = True
        for digest, stored in chunks(1).items():
            child.receive(digest, stored, 50_000)
        await until(lambda: child.log == ["full"])


async def test_what_comes_while_a_batch_is_stored_makes_the_next_one() -> None:
    async with running(8 << 20) as child:
        counts = child.store.counts
        child.store.open.clear()
        made = chunks(40, 60_000)
        for digest, stored in list(made.items())[:1]:
            child.receive(digest, stored, 60_000)
        await until(lambda: counts == [1])
        for digest, stored in list(made.items())[1:6]:
            child.receive(digest, stored, 60_000)
        await asyncio.sleep(0)
        assert counts == [1], "a few wait for the batch before them"
        for digest, stored in list(made.items())[6:]:
            child.receive(digest, stored, 60_000)
        await until(lambda: len(counts) == 2)
        assert counts[1] * 60_000 >= BATCH
        child.store.open.set()
        await until(lambda: len(child.store.chunks) == 40)
        assert len(counts) <= 4


async def test_who_passes_nothing_on_gathers_until_it_is_enough_or_nothing_more_comes() -> None:
    async with running(8 << 20, gather=3600.0) as child:
        counts = child.store.counts
        made = list(chunks(40, 60_000).items())
        for digest, stored in made[:30]:
            child.receive(digest, stored, 60_000)
            await asyncio.sleep(0)
        await until(lambda: len(counts) == 1)
        assert counts[0] * 60_000 >= BATCH, "a large batch waits for nobody"
        child.landing.hurry()
        await until(lambda: len(child.store.chunks) == 30)
        for digest, stored in made[30:]:
            child.receive(digest, stored, 60_000)
        child.landing.hurry()
        await until(lambda: len(child.store.chunks) == 40)
        assert len(counts) <= 4


async def test_what_a_placer_took_is_not_stored_again_and_all_of_a_moment_is_told_together() -> None:
    async with running() as child:
        made = list(chunks(4).items())
        pieces = [Piece(digest, len(stored), 0, len(stored)) for digest, stored in made]
        views = tuple((piece, memoryview(stored)) for piece, (_, stored) in zip(pieces, made, strict=True))
        taken = {made[0][0]: "a", made[1][0]: ChunkCorrupt(made[1][0], "flipped"), made[3][0]: "d"}
        child.landing.store(pieces[:3], Arrived(views[:3], None, taken), lambda: None)
        child.landing.store(pieces[3:], Arrived(views[3:], None, taken), lambda: pytest.fail("it needs no memory"))
        assert child.placed == []
        await until(lambda: len(child.log) == 4)
        assert child.placed == [(made[0][0], "a"), (made[3][0], "d")]
        assert child.store.chunks == {made[2][0]: made[2][1]}
        sizes = [f"stored {len(made[n][1])}" for n in (0, 3, 2)]
        assert child.log == ["rejected", *sizes]


async def test_a_chunk_that_was_taken_ends_what_was_kept_of_it() -> None:
    async with running() as child:
        ((digest, stored),) = chunks(1).items()
        half, whole = Piece(digest, len(stored), 0, 100), Piece(digest, len(stored), 0, len(stored))
        child.landing.keep(half, Arrived(((half, memoryview(stored[:100])),)))
        frame = Arrived(((whole, memoryview(b"")),), None, {digest: "here"})
        child.landing.keep(whole, frame)
        child.landing.assemble(digest, frame)
        await until(lambda: child.log == [f"stored {len(stored)}"])
        assert (child.placed, child.store.chunks) == ([(digest, "here")], {})
        child.receive(digest, stored, 9_000)
        await until(lambda: child.store.chunks == {digest: stored})
