"""An audit finds every kind of damage, and goes on after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.depot.test_repair import Region
from tests.support.depots import fill, opened, until_told
from tests.support.hop import made_package, until

from tiercast_gateway.depot import auditor as auditor_module
from tiercast_gateway.depot.auditor import Auditor
from tiercast_gateway.depot.depot import Depot
from tiercast_gateway.depot.repair import Repair
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.database import Database


@asynccontextmanager
async def auditing(db: Database, depot: Depot, region: Region, period: float | None = None) -> AsyncIterator[Auditor]:
    repair = Repair(db, depot, region.ways())
    auditor = Auditor(db, depot, repair, period=period, moved=lambda: 0)
    await repair.load()
    await auditor.load()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(auditor.run()), tasks.create_task(repair.run())]
        yield auditor
        for task in running:
            task.cancel()


def rot(folder: Path, *offsets: int) -> None:
    """Flip a bit at these places of the first section."""
    file = min((folder / "depot" / "sections").iterdir())
    data = bytearray(file.read_bytes())
    for offset in offsets:
        data[offset] ^= 0x10
    file.write_bytes(data)


async def nothing_missing(auditor: Auditor) -> bool:
    return not sum((await auditor.figures())["missing"].values())


async def healed(auditor: Auditor, source: str) -> bool:
    return bool((await auditor.figures())["healed_by"] == {source: 1})


async def test_damaged_ones_are_found_told_and_brought_back(tmp_path: Path, db: Database) -> None:
    package = made_package(8)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, package, "tool")
        await depot.put(*next(iter(made_package(1).chunks.items())))
        await depot.store.sync()
        rot(tmp_path, 20_000, 200_000)
        region = Region(depot, parent=dict(package.chunks), needed=set(package.chunks))
        async with auditing(db, depot, region) as auditor:
            auditor.order("", rate=0, repair=True)
            await until(lambda: bool(auditor.extra))
            await until_told(lambda: nothing_missing(auditor))
            figures = await auditor.figures()
            assert figures["rounds"]["ordered"]["damaged"] == 2
            assert figures["rounds"]["ordered"]["chunks"] == len(package.chunks) + 1
            assert figures["extra"]["chunks"] == 1
            assert figures["healed_by"] == {"the parent": 2}
        assert [await depot.get(d) for d in package.chunks] == list(package.chunks.values())


async def test_one_package_alone_and_without_repair(tmp_path: Path, db: Database) -> None:
    one, other = made_package(4), made_package(4)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, one, "one")
        await fill(depot, other, "other")
        await depot.store.sync()
        rot(tmp_path, 20_000)
        region = Region(depot, parent=dict(one.chunks) | dict(other.chunks))
        async with auditing(db, depot, region) as auditor:
            for package, damaged in ((other, 0), (one, 1)):
                auditor.order(package.root.hex(), rate=0, repair=False)
                await until(lambda: not auditor.machine.running)
                ended = auditor.machine.rounds["ordered"]
                assert (ended.chunks, ended.damaged) == (len(package.chunks), damaged)
            assert (await auditor.figures())["missing"] == {"damaged": 1, "lost": 0}
        assert await asyncio.gather(*map(depot.has, one.chunks)) != [True] * len(one.chunks)


async def test_what_a_reader_finds_damaged_is_sought_too(tmp_path: Path, db: Database) -> None:
    package = made_package(4)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, package, "tool")
    rot(tmp_path, 20_000)
    async with opened(tmp_path, db, set()) as depot:
        region = Region(depot, below={"pc-1": dict(package.chunks)}, needed=set(package.chunks))
        async with auditing(db, depot, region) as auditor:
            await asyncio.gather(*map(depot.get, package.chunks), return_exceptions=True)
            await until_told(lambda: healed(auditor, "pc-1"))
        assert [await depot.get(d) for d in package.chunks] == list(package.chunks.values())


async def test_after_a_restart_the_round_goes_on(tmp_path: Path, db: Database) -> None:
    package = made_package(30)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, package, "tool")
        await depot.store.sync()
        region = Region(depot, needed=set(package.chunks))
        async with auditing(db, depot, region, period=1e9) as auditor:
            auditor.order("", rate=600_000, repair=True)
            await until(lambda: auditor.machine.rounds["ordered"].chunks > 5)
        done = auditor.machine.rounds["ordered"].chunks
        async with auditing(db, depot, region, period=1e9) as auditor:
            assert auditor.machine.rounds["ordered"].chunks == done
            auditor.order("", rate=1 << 30, repair=True)
            await until(lambda: not auditor.machine.running)
            assert auditor.machine.rounds["ordered"].chunks == len(package.chunks)


async def test_a_full_disk_stops_no_daemon_and_it_goes_on_after(
    tmp_path: Path, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = made_package(4)
    monkeypatch.setattr(auditor_module, "AGAIN_SECONDS", 0.01)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, package, "tool")
        await depot.store.sync()
        rot(tmp_path, 20_000)
        region = Region(depot, parent=dict(package.chunks), needed=set(package.chunks))
        write, failed = db.write, 0

        async def full(unit: Any) -> Any:
            nonlocal failed
            failed += 1
            if failed < 4:
                raise StoreFull(needed=1, free=0, where="here")
            return await write(unit)

        async with auditing(db, depot, region) as auditor:
            monkeypatch.setattr(db, "write", full)
            auditor.order("", rate=0, repair=True)
            await until(lambda: not auditor.machine.running and failed >= 4)
            assert auditor.machine.rounds["ordered"].chunks >= len(package.chunks) - 1
