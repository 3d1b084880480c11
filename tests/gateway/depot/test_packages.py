"""The packages that a depot knows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.depots import fill, holds, opened
from tests.support.hop import made_package

from tiercast_gateway.depot.packages import KnownPackages
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.database import Database


async def test_a_pin_holds_a_package_over_restarts_until_it_is_taken_out(tmp_path: Path, db: Database) -> None:
    package = made_package(3)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, package, "tool")
        await depot.packages.pin("tool")
    async with opened(tmp_path, db, set()) as depot:
        assert depot.packages.find("tool=1.0").pinned
        await depot.room.make(1 << 40)
        assert holds(depot, package)
        await depot.packages.pin(package.root.hex(), pinned=False)
        await depot.room.make(1 << 40)
        assert not holds(depot, package)
        with pytest.raises(UsageError, match="not known"):
            depot.packages.find("tool")


async def test_a_step_of_the_wall_clock_neither_ages_nor_ends_anything(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = KnownPackages(db)
    await known.know(b"r" * 32, "tool", "1", 1)
    kept = await known.keep("tool=1/1", 3600)
    year = time.time() + 365 * 86_400
    monkeypatch.setattr(time, "time", lambda: year)
    assert kept.asked <= known.clock() < kept.keep_until


async def test_what_a_rollout_replaces_is_kept_until_it_expires(tmp_path: Path, db: Database) -> None:
    old, older, new = (made_package(3, version=version) for version in ("2", "1", "3"))
    async with opened(tmp_path, db, set()) as depot:
        for version, package in (("2", old), ("1", older), ("3", new)):
            await depot.know(package.root, "tool", version, 1)
            await fill(depot, package, "tool")
        until = depot.packages.clock() + 3_600_000
        assert [one.version for one in await depot.packages.lease("tool", {"2", "9"}, until)] == ["2"]
        assert await depot.packages.lease("tool", {"2"}, until - 1) == []
        assert await depot.packages.lease("other", {"2"}, until) == []
    async with opened(tmp_path, db, set()) as depot:
        await depot.room.make(1 << 40)
        assert holds(depot, old)
        assert not holds(depot, older)


async def test_what_is_kept_is_so_after_a_restart(db: Database) -> None:
    known = KnownPackages(db)
    await known.know(b"r" * 32, "tool", "1", 1)
    until = (await known.keep("tool@1", 3600)).keep_until
    again = KnownPackages(db)
    await again.load()
    assert again.find("tool").keep_until == until
    await again.forget([b"r" * 32])
    await known.load()
    assert known.all() == []
