"""What is kept and what may go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.hop import MadePackage, chunks, made_package

from tiercast_gateway.depot import Depot
from tiercast_protocol.errors import StoreFull, UsageError
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database


@asynccontextmanager
async def opened(
    tmp_path: Path, db: Database, needed: set[bytes], *, quota: int | None = None, library: bool = False
) -> AsyncIterator[Depot]:
    async def roots() -> set[bytes]:
        return needed

    async with DiskStore.open(tmp_path / "depot", reserve=0, quota=quota) as store:
        depot = Depot(store, db, needed=roots, library=library, retention=60.0)
        await depot.load()
        yield depot


async def fill(depot: Depot, package: MadePackage, name: str, asked: int = 0) -> None:
    for digest, stored in package.chunks.items():
        assert await depot.put(digest, stored)
    await depot.know(package.root, name, "1.0", 1)
    depot.packages[package.root].asked = asked or depot.packages[package.root].asked


def holds(depot: Depot, package: MadePackage) -> bool:
    found = {depot.size(digest) is not None for digest in package.chunks}
    assert len(found) == 1
    return found.pop()


async def test_eviction_takes_what_nobody_knows_then_what_was_not_asked_for_longest(
    tmp_path: Path, db: Database
) -> None:
    needed, old, new, strays = made_package(5), made_package(5), made_package(5), chunks(5)
    async with opened(tmp_path, db, {needed.root}) as depot:
        await fill(depot, needed, "needed", asked=1)
        await fill(depot, old, "old", asked=2)
        await fill(depot, new, "new", asked=3)
        for digest, stored in strays.items():
            await depot.put(digest, stored)
        assert await depot.make_room(100)
        assert sum(depot.size(digest) is not None for digest in strays) == 4
        assert await depot.make_room(sum(map(len, strays.values())) + 100)
        assert not any(depot.size(digest) for digest in strays)
        assert (holds(depot, needed), holds(depot, old), holds(depot, new)) == (True, False, True)
        freed_chunks, freed = await depot.evict_unneeded()
        assert (freed_chunks, freed) == (len(new.chunks), new.stored)
        assert holds(depot, needed)
        assert not await depot.make_room(1)


async def test_a_full_depot_makes_room_for_what_comes_and_keeps_what_is_needed(tmp_path: Path, db: Database) -> None:
    needed, old, more = made_package(10), made_package(10), made_package(20)
    async with opened(tmp_path, db, {needed.root, more.root}, quota=needed.stored + old.stored + 50_000) as depot:
        await fill(depot, needed, "needed")
        await fill(depot, old, "old")

        async def bring() -> None:
            for digest, stored in reversed(more.chunks.items()):  # root and lists first, as over a link
                await depot.put(digest, stored)

        with pytest.raises(StoreFull):
            await bring()
        assert holds(depot, needed)
        assert not holds(depot, old)


async def test_a_pin_holds_a_package_over_restarts_until_it_is_taken_out(tmp_path: Path, db: Database) -> None:
    package = made_package(3)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, package, "tool")
        await depot.pin("tool")
    async with opened(tmp_path, db, set()) as depot:
        assert depot.find("tool=1.0").pinned
        await depot.evict_unneeded()
        assert holds(depot, package)
        await depot.pin(package.root.hex(), pinned=False)
        await depot.evict_unneeded()
        assert not holds(depot, package)
        with pytest.raises(UsageError, match="not known"):
            depot.find("tool")


async def test_a_purge_leaves_what_other_packages_share(tmp_path: Path, db: Database) -> None:
    one, other = made_package(3), made_package(3)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, one, "one")
        await fill(depot, other, "other")
        assert await depot.drop(one.root) == one.stored
        assert (holds(depot, one), holds(depot, other)) == (False, True)
        assert await depot.drop(one.root) == 0


async def test_a_purge_of_what_an_open_job_needs_is_refused(tmp_path: Path, db: Database) -> None:
    package = made_package(3)
    async with opened(tmp_path, db, {package.root}) as depot:
        await fill(depot, package, "tool")
        with pytest.raises(UsageError, match="open job"):
            await depot.drop(package.root)
        assert holds(depot, package)


async def test_the_library_lets_nothing_go(tmp_path: Path, db: Database) -> None:
    package = made_package(3)
    async with opened(tmp_path, db, set(), library=True, quota=package.stored) as depot:
        await fill(depot, package, "tool")
        with pytest.raises(UsageError, match="library"):
            await depot.evict_unneeded()
        with pytest.raises(StoreFull):
            await depot.put(*next(iter(chunks(1).items())))


async def test_what_is_asked_for_is_younger_and_the_rest_goes_in_time(tmp_path: Path, db: Database) -> None:
    fresh, stale = made_package(2), made_package(2)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, fresh, "fresh", asked=1)
        await fill(depot, stale, "stale", asked=1)
        depot.asked([fresh.root, *fresh.chunks])
        await depot.flush()
        await depot._expire(60.0)
        assert (holds(depot, fresh), holds(depot, stale)) == (True, False)
    async with opened(tmp_path, db, set()) as depot:
        assert depot.packages[fresh.root].asked > 1
