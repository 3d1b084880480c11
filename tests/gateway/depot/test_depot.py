"""A store that makes room, and the library that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.depots import fill, holds, opened
from tests.support.hop import chunks, made_package

from tiercast_protocol.errors import StoreFull, UsageError
from tiercast_protocol.node.database import Database


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


async def test_the_library_lets_nothing_go(tmp_path: Path, db: Database) -> None:
    package = made_package(3)
    async with opened(tmp_path, db, set(), library=True, quota=package.stored) as depot:
        await fill(depot, package, "tool")
        with pytest.raises(UsageError, match="library"):
            depot.check_evictable()
        with pytest.raises(StoreFull):
            await depot.put(*next(iter(chunks(1).items())))
