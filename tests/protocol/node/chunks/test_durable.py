"""Becoming durable; what chunks live through is in test_disk.py."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tiercast_protocol.content.sealed.chunk import seal, unseal
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, StoreFull
from tiercast_protocol.node.chunks import durable, upkeep
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.chunks.index import Place
from tiercast_protocol.node.chunks.sections import Sections

RNG = random.Random(4)
CHUNKS = [seal(RNG.randbytes(10_000)) for _ in range(12)]


async def indexed(store: DiskStore) -> int:
    return await store._db.read(lambda c: c.execute("SELECT count(*) FROM chunks").fetchone()[0])


async def test_enough_bytes_make_a_section_durable_before_its_time(tmp_path: Path) -> None:
    async with DiskStore.open(tmp_path, flush_bytes=50_000, flush_after=3600) as store:
        for digest, stored in CHUNKS[:4]:
            await store.put(digest, stored)
        assert await indexed(store) == 0
        await store.put(*CHUNKS[4])
        async with asyncio.timeout(60):
            while await indexed(store) < 5:  # noqa: ASYNC110 - polled with a deadline
                await asyncio.sleep(0.002)


async def test_many_come_together_in_their_order_and_each_is_verified(tmp_path: Path) -> None:
    async with DiskStore.open(tmp_path, flush_bytes=1, keep_verified=25_000) as store:
        for digest, stored in CHUNKS:
            await store.put(digest, stored)
        await store.sync()
        order = [digest for digest, _ in CHUNKS[::-1]]
        assert await store.get_many(order) == [stored for _, stored in CHUNKS[::-1]]
        assert await store.get_many(order[:1]) == [CHUNKS[-1][1]]
        with pytest.raises(ChunkMissing):
            await store.get_many([*order, b"x" * 32])
        place = store._place(CHUNKS[3][0])
        assert place is not None
        with store._sections.path(place.section).open("r+b") as file:
            file.seek(place.start + 100)
            file.write(b"damage")
        await store.get_many(order[:4])  # whatever is kept in memory is no longer the damaged one
        with pytest.raises(ChunkCorrupt):
            await store.get_many(order)
        with pytest.raises(ChunkMissing):
            await store.get_many(order)


async def test_a_writer_that_is_too_quick_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "_MOST_PENDING", 30_000)
    async with DiskStore.open(tmp_path, flush_after=3600) as store:
        for digest, stored in CHUNKS:
            await store.put(digest, stored)
            assert store._sections.pending_bytes < 30_000


async def test_what_can_not_be_indexed_yet_is_readable_and_indexed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_RETRY", 0.01)
    async with DiskStore.open(tmp_path, flush_after=0.01, keep_verified=0) as store:
        write, refused = store._db.write, asyncio.Event()

        async def full(unit: object) -> None:
            refused.set()
            raise StoreFull(needed=4096, free=0, where="index")

        monkeypatch.setattr(store._db, "write", full)
        await store.put(*CHUNKS[0])
        await refused.wait()
        assert await store.get(CHUNKS[0][0]) == CHUNKS[0][1]
        monkeypatch.setattr(store._db, "write", write)
        async with asyncio.timeout(60):
            while await indexed(store) < 1:  # noqa: ASYNC110 - polled with a deadline
                await asyncio.sleep(0.002)
        assert store.usage().chunks == 1


@pytest.mark.parametrize("keep_verified", [0, 1 << 20])
async def test_raw_bytes_come_proved_from_memory_and_from_the_disk(tmp_path: Path, keep_verified: int) -> None:
    async with DiskStore.open(tmp_path, keep_verified=keep_verified) as store:
        digest, stored = CHUNKS[0]
        with pytest.raises(ChunkMissing):
            await store.raw(digest)
        await store.put(digest, stored)
        assert await store.raw(digest) == unseal(digest, stored)


async def test_what_is_damaged_on_the_disk_is_not_given_raw_and_then_missing(tmp_path: Path) -> None:
    async with DiskStore.open(tmp_path, keep_verified=0) as store:
        digest, stored = CHUNKS[0]
        await store.put(digest, stored)
        await store.sync()
        section = next((tmp_path / "sections").iterdir())
        section.write_bytes(b"\0" * len(stored))
        with pytest.raises(ChunkCorrupt):
            await store.raw(digest)
        with pytest.raises(ChunkMissing):
            await store.raw(digest)
        assert store.damaged == 1


async def test_many_raw_at_once_without_those_that_are_not_held_or_damaged(tmp_path: Path) -> None:
    async with DiskStore.open(tmp_path, keep_verified=0) as store:
        await store.put_many(CHUNKS[:3])
        await store.sync()
        asked = [digest for digest, _ in CHUNKS[:4]]
        assert await store.raw_many(asked) == {digest: unseal(digest, stored) for digest, stored in CHUNKS[:3]}
        section = next((tmp_path / "sections").iterdir())
        data = bytearray(section.read_bytes())
        data[10] ^= 1
        section.write_bytes(data)
        assert set(await store.raw_many(asked)) == set(asked[1:3])
        assert await store.raw_many([]) == {}


async def test_worker_threads_read_what_was_looked_up_and_prove_what_nobody_else_does(tmp_path: Path) -> None:
    async with DiskStore.open(tmp_path, keep_verified=0) as store:
        await store.put_many(CHUNKS[:3])
        await store.sync()
        asked = [digest for digest, _ in CHUNKS[:4]]
        read = store.reading(asked)
        assert await asyncio.to_thread(read, asked, ()) == {d: unseal(d, stored) for d, stored in CHUNKS[:3]}
        assert await asyncio.to_thread(read, [asked[1], CHUNKS[5][0]], ()) == {asked[1]: unseal(*CHUNKS[1])}
        section = next((tmp_path / "sections").iterdir())
        data = bytearray(section.read_bytes())
        data[10] ^= 1
        section.write_bytes(data)
        assert set(await asyncio.to_thread(read, asked, ())) == set(asked[1:3])
        unproved = await asyncio.to_thread(read, asked, {asked[0]})
        assert CHUNKS[0][1][0] != 0 or unproved[asked[0]] != unseal(*CHUNKS[0])


async def test_who_reads_in_order_gets_what_follows_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with DiskStore.open(tmp_path, keep_verified=1 << 20) as store:
        await store.put_many(CHUNKS)
        await store.sync()
        store._verified.clear()
        reads: list[int] = []
        read = upkeep.read_some

        def counted(
            sections: Sections, places: dict[bytes, Place], make: Callable[[bytes, memoryview], bytes]
        ) -> dict[bytes, bytes]:
            reads.append(len(places))
            return read(sections, places, make)

        monkeypatch.setattr(upkeep, "read_some", counted)
        for at in range(0, 12, 2):
            some = CHUNKS[at : at + 2]
            assert await store.get_many([digest for digest, _ in some]) == [stored for _, stored in some]
        assert reads == [2, 10]
        store._verified.clear()
        assert await store.get_many([CHUNKS[7][0]]) == [CHUNKS[7][1]]
        assert reads == [2, 10, 1]


async def test_many_are_taken_together_and_each_is_answered(tmp_path: Path) -> None:
    (held, *others) = CHUNKS[:6]
    size = len(held[1])
    async with DiskStore.open(tmp_path, quota=4 * size + 100, section_size=15_000) as store:
        await store.put(*held)
        lie = (others[0][0], others[1][1])
        view = (others[1][0], memoryview(bytearray(others[1][1])))
        results = await store.put_many([held, lie, view, *others[2:]])
        assert [type(result) for result in results] == [bool, ChunkCorrupt, bool, bool, StoreFull, StoreFull]
        assert results[0] is False
        view[1][:] = bytes(len(view[1]))  # the caller's again
        assert await store.get(others[1][0]) == others[1][1]
        assert set(store.held([digest for digest, _ in CHUNKS])) == {held[0], others[1][0], others[2][0]}
