"""Power cuts under the disk store: what was durable is there, what is there is right, every sync is needed."""

import random
from pathlib import Path
from typing import Any

import pytest
from tests.crash.campaign import breaks, campaign
from tests.crash.recording import Image, RecordingDisk, RecordingFiles, connect_to

from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.node.chunks.disk import DiskStore

RNG = random.Random(5)
CHUNKS = [seal(RNG.randbytes(RNG.choice([700, 3000, 6000, 9000]))) for _ in range(24)]
STORED = dict(CHUNKS)
FOLDER = Path("/var/store")


async def story(disk: RecordingDisk, *, first: int = 0) -> None:
    """Put, sync, evict, put again into the space behind, start again, read."""
    for half in range(2):
        async with DiskStore.open(
            FOLDER,
            files=RecordingFiles(disk),
            connect=connect_to(disk),
            readers=0,
            section_size=16_000,
            flush_after=3600,
            keep_verified=0,
            ballast=0,
        ) as store:
            some = CHUNKS[first + half * 8 : first + half * 8 + 8]
            for digest, stored in some[:5]:
                await store.put(digest, stored)
            await store.sync()
            disk.fact("durable", *(d for d, _ in some[:5]))
            for digest, stored in some[5:]:
                await store.put(digest, stored)
            gone = [some[1][0], some[3][0], some[4][0]]
            disk.fact("evicting", *gone)
            await store.evict(gone)
            disk.fact("evicted", *gone)
            await store.put(*some[3])
            await store.sync()
            disk.fact("durable", some[3][0], *(d for d, _ in some[5:]))


async def check(folder: Path, facts: list[Any]) -> None:
    durable: set[bytes] = set()
    gone: set[bytes] = set()
    for kind, *digests in facts:
        if kind == "durable":
            durable.update(digests)
            gone.difference_update(digests)
        else:
            durable.difference_update(digests)
            if kind == "evicted":
                gone.update(digests)
    async with DiskStore.open(folder / str(FOLDER)[1:], keep_verified=0, section_size=16_000, ballast=0) as store:
        for digest in durable:
            assert await store.get(digest) == STORED[digest], "a durable chunk"
        held = await store.digests()
        for digest in held:
            assert await store.get(digest) == STORED[digest], "an indexed chunk"
        assert not gone & (set(held) - durable) - _put_again(facts, gone), "an evicted chunk came back"
        extra = seal(b"after the crash")
        await store.put(*extra)
        await store.sync()
        rows = await store.rows_after(None, len(STORED) + 10)
        assert await store.check(rows) == {}
        assert await store.unindexed() == []
        assert len(rows) == len(held) + 1


def _put_again(facts: list[Any], gone: set[bytes]) -> set[bytes]:
    """Chunks evicted and put again, which may or may not be durable yet."""
    return {digests[1] for kind, *digests in facts if kind == "evicted"} & gone


async def test_old_or_new_after_every_power_cut(tmp_path: Path) -> None:
    disk = RecordingDisk()
    await story(disk)
    assert await campaign(disk, tmp_path, check, seeds=1) > 300


async def test_a_second_power_cut_while_it_recovers(tmp_path: Path) -> None:
    first = RecordingDisk()
    await story(first)
    for seed in range(3):
        rng = random.Random(seed)
        image = first.crash(rng.randrange(len(first.operations) // 2, len(first.operations)), rng, 0.5)
        second = RecordingDisk(Image(image.folders, image.files))
        await story(second, first=8)
        await campaign(second, tmp_path, check, seeds=1, step=7)


async def sites() -> list[str]:
    disk = RecordingDisk()
    await story(disk)
    return sorted(disk.sites)


async def test_every_sync_is_needed(tmp_path: Path) -> None:
    found = await sites()
    assert len(found) == 5, found
    for site in found:
        disk = RecordingDisk(ignored=[site])
        await story(disk)
        assert await breaks(disk, tmp_path, check), f"nothing fails without the sync at {site}"


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_many_seeds(tmp_path: Path) -> None:
    disk = RecordingDisk()
    await story(disk)
    await campaign(disk, tmp_path, check, seeds=10)
