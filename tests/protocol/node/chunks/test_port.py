"""What a chunk store promises, however it was opened."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.chunks.port import ChunkStore, WritableStore

Chunks = list[tuple[bytes, bytes]]
Make = Callable[[Path, Chunks], AbstractAsyncContextManager[ChunkStore]]

RNG = random.Random(11)
CHUNKS: Chunks = [seal(RNG.randbytes(size)) for size in (1, 4096, 70_000)] + [seal(b"a" * 200_000)]
ABSENT = seal(b"nowhere")


@asynccontextmanager
async def disk(folder: Path, chunks: Chunks, keep: int = 0) -> AsyncIterator[DiskStore]:
    async with DiskStore.open(folder, keep_verified=keep) as store:
        for digest, stored in chunks:
            await store.put(digest, stored)
        yield store


@asynccontextmanager
async def disk_reopened(folder: Path, chunks: Chunks) -> AsyncIterator[ChunkStore]:
    async with disk(folder, chunks):
        pass
    async with DiskStore.open(folder) as store:
        yield store


@asynccontextmanager
async def disk_remembering(folder: Path, chunks: Chunks) -> AsyncIterator[ChunkStore]:
    async with disk(folder, chunks, keep=1 << 20) as store:
        yield store


ALL: list[Make] = [disk, disk_reopened, disk_remembering]


@pytest.mark.parametrize("make", ALL)
class TestReading:
    async def test_gives_what_it_holds(self, make: Make, tmp_path: Path) -> None:
        async with make(tmp_path, CHUNKS) as store:
            for _ in range(2):
                assert [await store.get(digest) for digest, _ in CHUNKS] == [stored for _, stored in CHUNKS]
            assert all([await store.has(digest) for digest, _ in CHUNKS])

    async def test_says_what_is_missing(self, make: Make, tmp_path: Path) -> None:
        async with make(tmp_path, CHUNKS) as store:
            assert not await store.has(ABSENT[0])
            for _ in range(2):
                with pytest.raises(ChunkMissing) as caught:
                    await store.get(ABSENT[0])
                assert caught.value.digest == ABSENT[0]

    async def test_many_at_once(self, make: Make, tmp_path: Path) -> None:
        async with make(tmp_path, CHUNKS) as store:
            asked = [digest for digest, _ in CHUNKS] * 20
            answers = await asyncio.gather(*(store.get(digest) for digest in asked))
            assert answers == [stored for _, stored in CHUNKS] * 20

    async def test_a_cancelled_reader_harms_nobody(self, make: Make, tmp_path: Path) -> None:
        async with make(tmp_path, CHUNKS) as store:
            digest, stored = CHUNKS[2]
            readers = [asyncio.gather(store.get(digest)) for _ in range(6)]
            await asyncio.sleep(0)
            readers[0].cancel()
            readers[3].cancel()
            answers = await asyncio.gather(*readers, return_exceptions=True)
            assert [a for n, a in enumerate(answers) if n not in {0, 3}] == [[stored]] * 4


@pytest.mark.parametrize("make", ALL)
class TestWriting:
    async def test_takes_a_chunk_once_and_gives_it_at_once(self, make: Make, tmp_path: Path) -> None:
        async with make(tmp_path, []) as store:
            writable: WritableStore = store
            digest, stored = CHUNKS[1]
            assert await writable.put(digest, stored)
            assert await writable.get(digest) == stored
            assert not await writable.put(digest, stored)

    async def test_refuses_what_is_not_the_chunk(self, make: Make, tmp_path: Path) -> None:
        async with make(tmp_path, []) as store:
            with pytest.raises(ChunkCorrupt):
                await store.put(CHUNKS[0][0], CHUNKS[1][1])
            assert not await store.has(CHUNKS[0][0])

    async def test_takes_many_and_says_what_became_of_each(self, make: Make, tmp_path: Path) -> None:
        async with make(tmp_path, CHUNKS[:1]) as store:
            lie = (CHUNKS[2][0], CHUNKS[1][1])
            results = await store.put_many([CHUNKS[0], CHUNKS[1], lie])
            assert results[:2] == [False, True]
            assert isinstance(results[2], ChunkCorrupt)
            assert await store.get(CHUNKS[1][0]) == CHUNKS[1][1]
            assert not await store.has(lie[0])
