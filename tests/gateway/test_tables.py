"""The tables can be made, and made again."""

from __future__ import annotations

from pathlib import Path

from tiercast_gateway.tables import SCHEMA
from tiercast_protocol.node.database import Database


def test_steps_are_numbered_from_one_without_a_gap() -> None:
    assert [number for number, _ in SCHEMA] == list(range(1, len(SCHEMA) + 1))


async def test_they_are_made_once_and_found_again(tmp_path: Path) -> None:
    for _ in range(2):
        async with Database.open(tmp_path / "node.db", SCHEMA) as db:
            names = await db.read(lambda c: {row[0] for row in c.execute("SELECT name FROM sqlite_master")})
            assert {"users", "routes", "orders", "statuses", "packages", "outbox", "inbox"} <= names
