"""The database file: durable, one writer, readers that can't write."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import OperationalError

from tiercast_protocol.errors import StateError
from tiercast_server.database.engine import Database
from tiercast_server.database.tables import cabinets


async def test_it_is_durable_and_says_so(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "r.db") as db, db.write() as connection:
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar_one() == 2
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
        assert (await connection.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1


async def test_a_reader_can_not_write(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "r.db") as db, db.read() as connection:
        with pytest.raises(OperationalError):
            await connection.execute(insert(cabinets).values(name="x", note="", created=1))


async def test_a_failing_unit_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "r.db") as db:

        async def fails() -> None:
            async with db.write() as connection:
                await connection.execute(insert(cabinets).values(name="x", note="", created=1))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fails()
        async with db.write() as connection:
            await connection.execute(insert(cabinets).values(name="y", note="", created=1))
        async with db.read() as connection:
            assert list((await connection.execute(select(cabinets.c.name))).scalars()) == ["y"]


async def test_writers_take_turns(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "r.db") as db:

        async def add(n: int) -> None:
            async with db.write() as connection:
                held = len((await connection.execute(select(cabinets.c.name))).all())
                await connection.execute(insert(cabinets).values(name=f"c{held}", note="", created=n))

        async with asyncio.TaskGroup() as tasks:
            for n in range(20):
                tasks.create_task(add(n))
        async with db.read() as connection:
            assert len((await connection.execute(select(cabinets.c.name))).all()) == 20


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
