"""Patches are made beside everything else, offered when they are, and seen when they fail."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import until
from tests.support.sealed import SealedPackage, like_code, sealed, shifted

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import PatchOffer
from tiercast_server.packages.patches import Patches


class Told:
    def __init__(self) -> None:
        self.offers: list[PatchOffer] = []
        self.withdrawn: list[bytes] = []

    async def offer(self, offers: Sequence[PatchOffer]) -> None:
        self.offers += offers

    async def withdraw(self, root: bytes) -> None:
        self.withdrawn.append(root)


@asynccontextmanager
async def running(world: Any, told: Told, **more: Any) -> AsyncIterator[Patches]:
    patches = Patches(world.region, world.library, world.store, told.offer, withdraw=told.withdraw, **more)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(patches.run())
        try:
            yield patches
        finally:
            task.cancel()


@pytest.fixture
async def pair(world: Any, tmp_path: Path) -> tuple[SealedPackage, SealedPackage]:
    old = {"tool": like_code(1, 200_000), "same": b"same" * 50}
    made = sealed(tmp_path, old, "1"), sealed(tmp_path, old | {"tool": shifted(old["tool"], 2)}, "2")
    for package in made:
        await world.library.keep(list(package.chunks.items()))
        await world.library.register(package.digest, "main", "tester")
    return made


async def settled(patches: Patches, call: Any, package: str = "app=2") -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        while True:
            found = await patches.list_(call("package.patches", package=package))
            if found and all(row["state"] not in {"waiting", "making"} for row in found):
                return found
            await asyncio.sleep(0.02)


#: A worker that has read what it is to make (a frame of two digests) before it goes wrong.
HEARD = "import sys; sys.stdin.buffer.read(4 + 1 + 2 * 34)"
Pair = tuple[SealedPackage, SealedPackage]


async def test_a_new_version_gets_a_patch_that_is_offered_now_and_after_a_restart(
    world: Any, call: Any, pair: Pair
) -> None:
    told = Told()
    async with running(world, told) as patches:
        await patches.registered(pair[1].digest)
        (row,) = await settled(patches, call)
        assert row["state"] == "made", row
        assert 0 < row["bytes"] < row["chunk_bytes"] / 2
        assert row["memory"] > 1 << 20
        await until(lambda: bool(told.offers))
    (offer,) = told.offers
    assert (offer.base, offer.result, offer.size) == (pair[0].digest, pair[1].digest, row["bytes"])
    assert world.store.size(offer.patch) is not None
    assert offer.patch in await world.library.kept()
    again = Told()
    async with running(world, again) as patches:
        await until(lambda: bool(again.offers))
        gone = await world.library.delete("app=2")
        await patches.forget(gone["root"])
    assert again.offers == [offer]
    assert again.withdrawn == [pair[1].digest]
    assert world.store.size(offer.patch) is None


async def test_an_order_has_a_patch_made_from_what_its_targets_have(world: Any, call: Any, pair: Pair) -> None:
    await world.join("pc")
    job = await world.job("install", "app=2", targets=["pc"])
    await world.intake.take([world.record(job, "pc", "done")])
    told = Told()
    async with running(world, told) as patches:
        await patches.ordered(await world.job("install", "app=1", targets=["pc"]))
        (row,) = await settled(patches, call, "app=1")
        assert (row["from"], row["to"], row["state"]) == ("app=2/1", "app=1/1", "made")


async def test_by_hand_only_if_so_set(world: Any, call: Any, pair: Pair) -> None:
    async with running(world, Told(), by_itself=False) as patches:
        await patches.registered(pair[1].digest)
        assert await patches.list_(call("package.patches", package="app")) == []
        await patches.make(call("package.patch", package="app=2", **{"from": "1"}))
        (row,) = await settled(patches, call)
        assert row["state"] == "made"
        with pytest.raises(UsageError) as caught:
            await patches.make(call("package.patch", package="app=2", **{"from": "app=2"}))
        assert caught.value.code == "patch.same"
        with pytest.raises(UsageError):
            await patches.make(call("package.patch", package="app=2", **{"from": "7"}))


async def test_what_saves_little_is_not_kept(world: Any, call: Any, tmp_path: Path) -> None:
    strangers = [sealed(tmp_path, {"a": like_code(n, 90_000)}, str(n)) for n in (1, 2)]
    for package in strangers:
        await world.library.keep(list(package.chunks.items()))
        await world.library.register(package.digest, "main", "tester")
    before = set(await world.store.digests())
    told = Told()
    async with running(world, told) as patches:
        await patches.registered(strangers[1].digest)
        (row,) = await settled(patches, call)
        assert row["state"] == "useless"
        assert "would stand for" in row["detail"]
    assert told.offers == []
    assert set(await world.store.digests()) == before


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("raise SystemExit(3)", "ended with status 3"),
        (f"{HEARD}; sys.stdout.write('x' * 9)", "say"),
        ("import os; os.kill(os.getpid(), 9)", "status -9"),
        (f"{HEARD}; sys.stdout.buffer.write(b'\\0\\0\\0\\1\\x05')", "nobody understands"),
    ],
)
async def test_a_worker_that_fails_is_seen_and_stops_nothing(
    world: Any, call: Any, pair: Pair, does: str, why: str
) -> None:
    async with running(world, Told(), command=(sys.executable, "-c", does)) as patches:
        await patches.registered(pair[1].digest)
        (row,) = await settled(patches, call)
        assert row["state"] == "failed"
        assert why in row["detail"]
    async with running(world, Told()) as patches:
        await patches.make(call("package.patch", package="app=2", **{"from": "1"}))
        (row,) = await settled(patches, call)
        assert row["state"] == "made"
