"""What is kept and what may go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.depots import fill, holds, opened
from tests.support.hop import chunks, made_package, until

from tiercast_gateway.depot import room
from tiercast_gateway.depot.marks import Marks
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.leases import CHILD, ORDER, READ


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
        assert (await depot.room.make(100)).chunks == 1
        assert sum(depot.size(digest) is not None for digest in strays) == 4
        assert (await depot.room.make(sum(map(len, strays.values())) + 100)).enough
        assert not any(depot.size(digest) for digest in strays)
        assert (holds(depot, needed), holds(depot, old), holds(depot, new)) == (True, False, True)
        gone = await depot.room.make(1 << 40)
        assert (gone.chunks, gone.bytes, gone.packages) == (len(new.chunks), new.stored, ("new=1.0",))
        assert (gone.enough, gone.kept) == (False, {ORDER: needed.stored})
        assert depot.room.refused == gone
        assert holds(depot, needed)
        assert not (await depot.room.make(1)).enough


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


async def test_what_is_asked_for_is_younger_and_the_rest_goes_in_time(tmp_path: Path, db: Database) -> None:
    fresh, stale = made_package(2), made_package(2)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, fresh, "fresh", asked=1)
        await fill(depot, stale, "stale", asked=1)
        depot.asked([fresh.root, *fresh.chunks])
        await depot.packages.flush()
        await depot.room.expire(60.0)
        assert (holds(depot, fresh), holds(depot, stale)) == (True, False)
    async with opened(tmp_path, db, set()) as depot:
        known = depot.packages.get(fresh.root)
        assert known is not None
        assert known.asked > 1


async def test_at_the_high_mark_it_goes_down_to_the_low_one_by_itself(tmp_path: Path, db: Database) -> None:
    old, new, pinned = made_package(10), made_package(10), made_package(10)
    quota = 10 * pinned.stored
    high = pinned.stored * 3 + 100_000
    marks = Marks(str(high), str(pinned.stored * 2 + 100_000))
    async with opened(tmp_path, db, set(), quota=quota, marks=marks) as depot, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(depot.room.run())
        await fill(depot, pinned, "pinned", asked=1)
        await depot.packages.pin("pinned")
        await fill(depot, old, "old", asked=2)
        await fill(depot, new, "new", asked=3)
        assert depot.store.own_bytes < high
        for digest, stored in made_package(3).chunks.items():
            await depot.put(digest, stored)
        await until(lambda: depot.store.own_bytes <= depot.room.limits()[1])
        assert (holds(depot, pinned), holds(depot, old), holds(depot, new)) == (True, False, True)
        running.cancel()


async def test_what_somebody_relies_on_stays_and_is_named(tmp_path: Path, db: Database) -> None:
    package = made_package(4)
    first, second = list(package.chunks)[:2]
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, package, "tool")
        told = {second}
        depot.store.leases.watch(CHILD, told.__contains__)
        with depot.store.leases.held(READ, [first]):
            would = await depot.room.would(1 << 40)
            gone = await depot.room.make(1 << 40)
        assert would == gone
        assert set(gone.kept) == {READ, CHILD} | ({"no room is needed"} if len(gone.kept) > 2 else set())
        assert await depot.has(first)
        assert await depot.has(second)
        told.clear()
        await depot.room.make(1 << 40)
        assert not await depot.has(first)


async def test_a_package_kept_for_a_time_stays_until_it_is_over(tmp_path: Path, db: Database) -> None:
    package = made_package(3)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, package, "tool", asked=1)
        await depot.packages.keep("tool", 60)
        await depot.room.expire(1.0)
        await depot.room.make(1 << 40)
        assert holds(depot, package)
    async with opened(tmp_path, db, set()) as depot:
        known = depot.packages.find("tool")
        known.keep_until = depot.packages.clock() - 1
        known.asked = 1
        await depot.room.expire(1.0)
        assert not holds(depot, package)


async def test_an_order_that_comes_while_it_lets_go_stops_it(
    tmp_path: Path, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, other = made_package(8), made_package(8)
    needed: set[bytes] = set()
    monkeypatch.setattr(room, "PORTION", 2)
    async with opened(tmp_path, db, needed) as depot:
        await fill(depot, other, "other", asked=1)
        await fill(depot, package, "tool", asked=2)
        evict = depot.store.evict

        async def evict_and_order(digests: list[bytes]) -> int:
            gone = await evict(digests)
            if not needed:
                needed.add(package.root)
                await depot.know(package.root, "tool", "1.0", 1)
            return gone

        monkeypatch.setattr(depot.store, "evict", evict_and_order)
        gone = await depot.room.make(1 << 40)
        assert (holds(depot, package), holds(depot, other)) == (True, False)
        assert gone.kept == {ORDER: package.stored}
        assert gone.chunks == len(other.chunks)
