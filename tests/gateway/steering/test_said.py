"""What was said of transfers is kept; the limits of an earlier version come along."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from tiercast_gateway.steering import said as s
from tiercast_gateway.steering.said import Said
from tiercast_gateway.tables import SCHEMA
from tiercast_protocol.node.database import Database


async def test_what_was_said_is_there_after_a_start(db: Database) -> None:
    said = Said(db)
    await said.load()
    await said.put(s.LINK, {"pc": {"rate": 5}, "mid": {"metered": True}})
    await said.put(s.LINK, {"pc": {"rate": 7}, "mid": None})
    said.note(s.HOLD, {"only": {"said": True}})
    again = Said(db)
    await again.load()
    assert dict(again.all(s.LINK)) == {"pc": {"rate": 7}}
    assert again.get(s.LINK, "mid") is None
    assert not again.all(s.HOLD), "noted is not kept"


async def test_limits_of_an_earlier_version_come_along(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    before = [step for step in SCHEMA if step[1] is not s.SCHEMA]
    async with Database.open(path, before[: SCHEMA.index((5, s.SCHEMA))]) as db:
        await db.write(lambda c: c.execute("INSERT INTO link_rates VALUES ('pc', 500000), ('free', 0)"))
    async with Database.open(path, SCHEMA) as db:
        said = Said(db)
        await said.load()
        assert dict(said.all(s.LINK)) == {"pc": {"rate": 500_000}}
    with contextlib.closing(sqlite3.connect(path)) as raw:
        assert not raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'link_rates'").fetchall()
