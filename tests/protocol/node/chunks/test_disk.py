"""The disk store: durable, verified, bounded, evictable."""

import asyncio
import errno
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, StateError, StoreFull
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.files import RealFile, RealFiles
from tiercast_protocol.node.leases import READ

KIB = 1024


def chunks(count: int, size: int = 20 * KIB, seed: int = 0) -> list[tuple[bytes, bytes]]:
    rng = random.Random(seed)
    return [seal(rng.randbytes(size)) for _ in range(count)]


def sections(folder: Path) -> list[Path]:
    return sorted((folder / "sections").iterdir())


async def fill(store: DiskStore, some: list[tuple[bytes, bytes]]) -> None:
    for digest, stored in some:
        assert await store.put(digest, stored)


async def test_chunks_are_there_at_once_and_after_reopening(tmp_path: Path) -> None:
    some = chunks(20)
    async with DiskStore.open(tmp_path, section_size=100 * KIB, keep_verified=0) as store:
        await fill(store, some)
        assert not await store.put(*some[0])
        assert [await store.get(d) for d, _ in some] == [s for _, s in some]
        assert store.size(some[3][0]) == len(some[3][1])
    async with DiskStore.open(tmp_path, section_size=100 * KIB, keep_verified=0) as store:
        assert [await store.get(d) for d, _ in some] == [s for _, s in some]
        assert store.usage().chunks == 20
        assert store.usage().bytes == sum(len(s) for _, s in some)
        assert await store.digests() == [d for d, _ in some]
        with pytest.raises(ChunkMissing):
            await store.get(bytes(32))
        assert not await store.has(bytes(32))
        assert store.size(bytes(32)) is None


async def test_durable_by_itself_after_a_while(tmp_path: Path) -> None:
    ((digest, stored),) = chunks(1)
    async with DiskStore.open(tmp_path, flush_after=0.01) as store:
        await store.put(digest, stored)
        async with asyncio.timeout(60):
            while store._sections.pending:  # noqa: ASYNC110 - polled with a deadline
                await asyncio.sleep(0.005)
        assert await store._db.read(lambda c: c.execute("SELECT count(*) FROM chunks").fetchone()[0]) == 1


async def test_the_tail_that_was_not_indexed_is_cut_off(tmp_path: Path) -> None:
    some = chunks(3)
    async with DiskStore.open(tmp_path) as store:
        await fill(store, some)
    (section,) = sections(tmp_path)
    length = section.stat().st_size
    with section.open("ab") as file:
        file.write(b"half a chunk")
    (tmp_path / "sections" / "00000009.section").write_bytes(b"nobody's")
    async with DiskStore.open(tmp_path) as store:
        assert sections(tmp_path) == [section]
        assert section.stat().st_size == length
        extra = chunks(1, seed=5)
        await fill(store, extra)
        await store.sync()
        assert [await store.get(d) for d, _ in some + extra] == [s for _, s in some + extra]
        assert sections(tmp_path) == [section]


async def test_a_wrong_chunk_is_refused(tmp_path: Path) -> None:
    (one, _), (_, other) = chunks(2)
    async with DiskStore.open(tmp_path) as store:
        for wrong in (other, b"", b"\x07nonsense", b"\x01nonsense"):
            with pytest.raises(ChunkCorrupt):
                await store.put(one, wrong)
        assert not await store.has(one)
        assert store.usage().chunks == 0


async def test_a_chunk_damaged_on_disk_is_never_given_and_becomes_missing(tmp_path: Path) -> None:
    some = chunks(3)
    async with DiskStore.open(tmp_path, keep_verified=0) as store:
        await fill(store, some)
        await store.sync()
        with sections(tmp_path)[0].open("r+b") as file:
            file.seek(30 * KIB)
            file.write(b"rot")
        with pytest.raises(ChunkCorrupt):
            await store.get(some[1][0])
        assert not await store.has(some[1][0])
        assert store.usage().chunks == 2
        assert await store.put(*some[1])
        assert await store.get(some[1][0]) == some[1][1]


async def test_audit_finds_damaged_lost_and_extra(tmp_path: Path) -> None:
    some = chunks(12)
    async with DiskStore.open(tmp_path, section_size=60 * KIB) as store:
        await fill(store, some)
        await store.sync()
        files = sections(tmp_path)
        with files[0].open("r+b") as file:
            file.write(b"rot")
        with files[1].open("r+b") as file:
            file.truncate(10)
        (tmp_path / "sections" / "00000099.section").write_bytes(b"")
        told: list[bytes] = []
        store.on_damaged = told.append
        rows = await store.rows_after(None, 100)
        assert len(rows) == 12
        bad = await store.check(rows)
        assert bad == {some[0][0]: "damaged"} | dict.fromkeys([d for d, _ in some[3:6]], "lost")
        assert told == list(bad)
        assert await store.unindexed() == ["00000099.section"]
        assert store.usage().chunks == 8
        assert await store.check(await store.rows_after(None, 100)) == {}


async def test_rows_come_in_the_order_of_the_disk_and_from_any_place(tmp_path: Path) -> None:
    some = chunks(12)
    async with DiskStore.open(tmp_path, section_size=60 * KIB) as store:
        await fill(store, some)
        await store.sync()
        first = await store.rows_after(None, 5)
        rest = await store.rows_after(first[-1][1], 100)
        assert [d for d, _ in first + rest] == [d for d, _ in some]
        assert await store.rows_after(rest[-1][1], 5) == []
        assert await store.sizes() == {d: len(s) for d, s in some}


async def test_what_left_while_it_was_checked_is_not_damaged(tmp_path: Path) -> None:
    some = chunks(3)
    async with DiskStore.open(tmp_path) as store:
        await fill(store, some)
        await store.sync()
        rows = await store.rows_after(None, 5)
        await store.evict([some[0][0]])
        assert await store.check(rows) == {}


async def test_own_bytes_are_chunks_index_and_ballast(tmp_path: Path) -> None:
    some = chunks(3)
    async with DiskStore.open(tmp_path, quota=50 * KIB, ballast=64 * KIB) as store:
        await fill(store, some[:1])
        own = store.own_bytes
        assert own >= len(some[0][1]) + 64 * KIB + (tmp_path / "index.db").stat().st_size
        assert store.capacity == 50 * KIB
    async with DiskStore.open(tmp_path, ballast=64 * KIB, reserve=0) as store:
        assert store.capacity >= store.own_bytes


async def test_eviction_gives_the_space_back(tmp_path: Path) -> None:
    some = chunks(60)
    async with DiskStore.open(tmp_path, section_size=400 * KIB) as store:
        await fill(store, some)
        await store.sync()
        gone = [d for d, _ in some[:20] + some[30:35]]
        assert await store.evict(gone) == 25
        assert await store.evict(gone) == 0
        assert [p.name for p in sections(tmp_path)] == ["00000002.section", "00000003.section"]
        blocks = sum(p.stat().st_blocks * 512 for p in sections(tmp_path))
        assert blocks < 35 * 21 * KIB + 64 * KIB
        for digest in gone:
            assert not await store.has(digest)
            with pytest.raises(ChunkMissing):
                await store.get(digest)
        kept = some[20:30] + some[35:]
        assert [await store.get(d) for d, _ in kept] == [s for _, s in kept]
        assert await store.evict([d for d, _ in kept]) == 35
        assert sections(tmp_path) == []
        await fill(store, some)
        assert [await store.get(d) for d, _ in some] == [s for _, s in some]


class NoHoles(RealFiles):
    """A file system without hole punching."""

    def open(self, path: Path) -> RealFile:
        file = RealFile(path)
        file.punch = lambda *_: False
        return file


async def test_without_holes_what_is_left_moves_and_the_file_goes(tmp_path: Path) -> None:
    some = chunks(60)
    async with DiskStore.open(tmp_path, section_size=400 * KIB, files=NoHoles(), keep_verified=0) as store:
        await fill(store, some)
        assert await store.evict([d for d, _ in some[5:19]]) == 14
        assert "00000001.section" not in [p.name for p in sections(tmp_path)]
        kept = some[:5] + some[19:]
        assert [await store.get(d) for d, _ in kept] == [s for _, s in kept]
        assert store.usage().chunks == 46
        assert await store.check(await store.rows_after(None, 100)) == {}
    async with DiskStore.open(tmp_path, section_size=400 * KIB, files=NoHoles()) as store:
        assert [await store.get(d) for d, _ in kept] == [s for _, s in kept]
        assert store.usage().bytes == sum(len(s) for _, s in kept)


async def test_leased_chunks_stay(tmp_path: Path) -> None:
    some = chunks(4)
    digests = [d for d, _ in some]
    async with DiskStore.open(tmp_path) as store:
        await fill(store, some)
        with store.leases.held(READ, digests[:2]), store.leases.held(READ, digests[:1]):
            assert await store.evict(digests) == 2
        assert await store.has(digests[0])
        assert await store.evict(digests) == 2


async def test_quota_is_kept_and_named(tmp_path: Path) -> None:
    some = chunks(10)
    async with DiskStore.open(tmp_path, quota=100 * KIB) as store:
        await fill(store, some[:4])
        with pytest.raises(StoreFull) as caught:
            await store.put(*some[4])
        assert caught.value.needed == len(some[4][1])
        assert 0 < caught.value.free < caught.value.needed
        assert "quota" in caught.value.where
        await store.evict([some[0][0]])
        assert await store.put(*some[4])


async def test_the_reserve_is_left_free(tmp_path: Path) -> None:
    class Small(RealFiles):
        def free(self, path: Path) -> int:
            return 100 * KIB

    ((digest, stored),) = chunks(1)
    async with DiskStore.open(tmp_path, files=Small(), reserve=90 * KIB) as store:
        with pytest.raises(StoreFull) as caught:
            await store.put(digest, stored)
        assert caught.value.free == 10 * KIB


class Filling(RealFiles):
    """A disk that fills in the middle of a write, or fails a sync."""

    def __init__(self) -> None:
        self.full = self.failing = False

    def open(self, path: Path) -> RealFile:
        file = RealFile(path)
        pwrite, datasync = file.pwrite, file.datasync

        def half(parts: Sequence[bytes | memoryview], offset: int) -> None:
            data = b"".join(parts)
            if self.full:
                pwrite(data[: len(data) // 2], offset)
                raise OSError(errno.ENOSPC, "No space left on device")
            pwrite(data, offset)

        def fail() -> None:
            if self.failing:
                raise OSError(errno.EIO, "Input/output error")
            datasync()

        file.pwritev, file.datasync = half, fail
        return file


async def test_a_disk_that_fills_in_the_middle_of_a_write(tmp_path: Path) -> None:
    some = chunks(3)
    files = Filling()
    async with DiskStore.open(tmp_path, files=files, keep_verified=0) as store:
        await fill(store, some[:1])
        length = sections(tmp_path)[0].stat().st_size
        files.full = True
        with pytest.raises(StoreFull) as caught:
            await store.put(*some[1])
        assert caught.value.needed == len(some[1][1])
        assert sections(tmp_path)[0].stat().st_size == length
        assert not await store.has(some[1][0])
        files.full = False
        await fill(store, some[1:])
        assert [await store.get(d) for d, _ in some] == [s for _, s in some]


async def test_what_a_failed_sync_lost_is_missing_and_the_store_goes_on(tmp_path: Path) -> None:
    some = chunks(4)
    files = Filling()
    async with DiskStore.open(tmp_path, files=files, flush_after=60) as store:
        await fill(store, some[:2])
        await store.sync()
        await fill(store, some[2:])
        files.failing = True
        with pytest.raises(OSError, match="Input/output"):
            await store.sync()
        files.failing = False
        assert [await store.has(d) for d, _ in some] == [True, True, False, False]
        await fill(store, some[2:])
        await store.sync()
    async with DiskStore.open(tmp_path) as store:
        assert [await store.get(d) for d, _ in some] == [s for _, s in some]


async def test_many_at_once_store_each_chunk_once(tmp_path: Path) -> None:
    some = chunks(20)
    async with DiskStore.open(tmp_path, section_size=100 * KIB) as store:
        new = await asyncio.gather(*(store.put(d, s) for d, s in some * 5))
        assert sum(new) == 20
        assert sum(p.stat().st_size for p in sections(tmp_path)) == sum(len(s) for _, s in some)
        assert set(await asyncio.gather(*(store.get(d) for d, _ in some))) == {s for _, s in some}


async def test_reading_evicting_and_putting_at_once_never_gives_wrong_bytes(tmp_path: Path) -> None:
    some = chunks(40)
    rng = random.Random(1)

    async with DiskStore.open(tmp_path, section_size=100 * KIB, keep_verified=0, flush_after=0.001) as store:

        async def reader() -> None:
            for _ in range(150):
                digest, stored = rng.choice(some)
                try:
                    assert await store.get(digest) == stored
                except ChunkMissing:
                    await store.put(digest, stored)

        async def evicter() -> None:
            for _ in range(30):
                await store.evict([d for d, _ in rng.sample(some, 8)])

        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(reader())
            tasks.create_task(evicter())
        assert store.damaged == 0
        await store.sync()
        held = [len(s) for d, s in some if await store.has(d)]
        assert (store.usage().chunks, store.usage().bytes) == (len(held), sum(held))


async def test_errors_in_the_body_come_out_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with DiskStore.open(tmp_path):
            raise KeyError("mine")


async def test_on_a_full_disk_eviction_uses_the_room_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = chunks(70, size=KIB)
    async with DiskStore.open(tmp_path, ballast=64 * KIB, flush_after=60) as store:
        await fill(store, some)
        write = store._db.write

        async def full(unit: object) -> object:
            if (tmp_path / "ballast").exists():
                raise StoreFull(needed=4096, free=0, where="index")
            return await write(unit)

        monkeypatch.setattr(store._db, "write", full)
        with pytest.raises(StoreFull):
            await store.sync()
        assert [await store.get(d) for d, _ in some] == [s for _, s in some]
        assert await store.evict([d for d, _ in some[:50]]) == 50
        assert (tmp_path / "ballast").exists()
        assert store.usage().chunks == 20
        monkeypatch.setattr(store._db, "write", write)


async def test_a_cancelled_body_closes_in_order(tmp_path: Path) -> None:
    some = chunks(2)
    ready = asyncio.Event()

    async def body() -> None:
        async with DiskStore.open(tmp_path, flush_after=60) as store:
            await fill(store, some)
            ready.set()
            await asyncio.Event().wait()

    running = asyncio.gather(body())
    await ready.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with DiskStore.open(tmp_path) as store:
        assert store.usage().chunks == 2


async def test_a_damaged_index_says_that_the_store_can_be_made_anew(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"rot" * 5000)
    with pytest.raises(StateError, match="fetched again"):
        async with DiskStore.open(tmp_path):
            pass
