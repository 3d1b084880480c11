"""The library: whole or not at all, the same again moves nothing."""

from typing import Any

import pytest
from sqlalchemy import select

from tiercast_protocol.errors import ChunkCorrupt, StoreFull, UsageError
from tiercast_server.database.tables import package_chunks
from tiercast_server.packages import packages

FILES = {"bin/x": b"x" * 1000, "bin/y": b"y" * 1000}


async def _put(world: Any, build: Any, *args: Any, **more: Any) -> tuple[bytes, Any]:
    root, chunks = build(*args, **more)
    await world.library.keep(chunks)
    return root, await world.library.register(root, "main", "tester")


def files(**data: bytes) -> dict[str, bytes]:
    return dict(data)


async def test_missing_then_store_then_register(world: Any, build_package: Any) -> None:
    root, chunks = build_package("app", "1", files(a=b"1" * 100, b=b"2" * 100))
    digests = b"".join(digest for digest, _ in chunks)
    assert world.library.missing(digests) == digests
    assert await world.library.keep(chunks[:1]) == 1
    assert world.library.missing(digests) == digests[32:]
    assert await world.library.keep(chunks) == len(chunks) - 1
    made = await world.library.register(root, "main", "tester")
    assert (made["package"], made["version"], made["created"], made["files"]) == ("app", "1", True, 2)
    assert made["stored_bytes"] == sum(len(stored) for _, stored in chunks)
    assert world.store.synced
    async with world.region.db.read() as connection:
        kept = set((await connection.execute(select(package_chunks.c.digest))).scalars())
    assert kept == {digest for digest, _ in chunks}


async def test_the_same_again_changes_nothing(world: Any, build_package: Any) -> None:
    await _put(world, build_package, "app", "1", files(a=b"1"))
    _, again = await _put(world, build_package, "app", "1", files(a=b"1"))
    assert again["created"] is False
    assert len(await packages.list_(world.region, None)) == 1


async def test_other_content_under_the_same_revision_is_refused(world: Any, build_package: Any) -> None:
    root, _ = await _put(world, build_package, "app", "1", files(a=b"1"))
    with pytest.raises(UsageError) as caught:
        await _put(world, build_package, "app", "1", files(a=b"2"))
    assert caught.value.code == "package.exists"
    assert root.hex()[:16] in caught.value.what
    assert "revision" in caught.value.todo
    _, made = await _put(world, build_package, "app", "1", files(a=b"2"), revision=2)
    assert made["created"]


async def test_an_unknown_cabinet(world: Any, build_package: Any) -> None:
    root, chunks = build_package("app", "1", files(a=b"1"))
    await world.library.keep(chunks)
    with pytest.raises(UsageError) as caught:
        await world.library.register(root, "nowhere", "t")
    assert caught.value.code == "cabinet.unknown"


async def test_an_entry_may_stand_before_its_content(world: Any, build_package: Any) -> None:
    assert (await packages.enter(world.region, "app", "1", "main", "t"))["created"]
    assert not (await packages.enter(world.region, "app", "1", "main", "t"))["created"]
    (shown,) = await packages.list_(world.region, "main")
    assert (shown["sealed"], shown["revision"]) == (False, 0)
    await _put(world, build_package, "app", "1", files(a=b"1"))
    (shown,) = await packages.list_(world.region, "main")
    assert (shown["sealed"], shown["revision"]) == (True, 1)


async def test_deleting_frees_only_what_nobody_else_needs(world: Any, build_package: Any) -> None:
    await _put(world, build_package, "app", "1", files(a=b"both", b=b"only one"))
    two, _ = await _put(world, build_package, "app", "2", files(a=b"both", b=b"only two"))
    with pytest.raises(UsageError) as caught:
        await world.library.delete("app")
    assert caught.value.code == "package.ambiguous"
    assert (await world.library.delete("app=1"))["chunks"] == 3
    assert await world.library.kept() == set(world.store.held)
    assert two in world.store.held


async def test_a_package_that_an_open_job_uses_stays(world: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    job = await world.job(targets=("pc1",))
    with pytest.raises(UsageError, match=job) as caught:
        await world.library.delete("app=1")
    assert caught.value.code == "package.in-use"
    await world.intake.take([world.record(job, "pc1", "done")])
    await world.library.delete("app=1")
    assert not world.store.held


async def test_damaged_uploads_and_full_disks_are_said(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def corrupt(digest: bytes, stored: bytes) -> bool:
        raise ChunkCorrupt(digest, "does not hash to its name")

    async def full(digest: bytes, stored: bytes) -> bool:
        raise StoreFull(10, 1, "disk")

    for put, code in ((corrupt, "chunk.corrupt"), (full, "store.full")):
        monkeypatch.setattr(world.store, "put", put)
        with pytest.raises(UsageError) as caught:
            await world.library.keep([(bytes(32), b"\0x")])
        assert caught.value.code == code
    with pytest.raises(UsageError):
        world.library.missing(b"odd")


async def test_evicting_takes_only_what_was_never_registered(world: Any, build_package: Any) -> None:
    await _put(world, build_package, "app", "1", files(a=b"1"))
    held = set(world.store.held)
    _, chunks = build_package("tool", "1", files(a=b"never registered"))
    await world.library.keep(chunks)
    assert (await world.library.evict(dry_run=True))["chunks"] == 3
    assert (await world.library.evict())["chunks"] == 3
    assert set(world.store.held) == held
