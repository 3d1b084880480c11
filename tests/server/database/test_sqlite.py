"""The database file: durable, and nothing but ours."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from tiercast_protocol.errors import StateError
from tiercast_server.database.engine import Database


async def test_it_is_durable_and_says_so(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "r.db") as db, db.write() as connection:
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar_one() == 2
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
        assert (await connection.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1


async def test_what_is_no_database_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "r.db").write_bytes(b"certainly not a database" * 100)
    with pytest.raises(StateError):
        async with Database.open(tmp_path / "r.db"):
            pass


async def test_opening_again_keeps_everything(tmp_path: Path) -> None:
    for _ in range(2):
        async with Database.open(tmp_path / "r.db"):
            pass
    with contextlib.closing(sqlite3.connect(tmp_path / "r.db")) as connection:
        assert len(connection.execute("select version_num from alembic_version").fetchall()) == 1
