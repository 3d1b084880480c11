"""Whose database it is."""

from pathlib import Path

import pytest

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import StateError
from tiercast_server.database.engine import Database
from tiercast_server.region import create_region, open_region, wall_clock


async def test_one_region_per_database(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "r.db") as db:
        with pytest.raises(StateError, match="init"):
            await open_region(db, PrivateKey.generate())
        await create_region(db, name="r", server="s", now=7)
        region = await open_region(db, PrivateKey.generate())
        assert (region.name, region.server, region.epoch) == ("r", "s", 7)
        assert abs(region.clock() - wall_clock()) < 60_000
        with pytest.raises(StateError, match="'r'"):
            await create_region(db, name="q", server="s", now=8)
