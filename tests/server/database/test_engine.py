"""The database, a file or at a server: one writer, readers that can't write, and nothing half done."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from tiercast_server.database.engine import Database
from tiercast_server.database.tables import cabinets

NewDatabase = Callable[[], Path | str]


async def names(db: Database) -> list[str]:
    async with db.read() as connection:
        return list((await connection.execute(select(cabinets.c.name))).scalars())


async def test_a_reader_can_not_write(new_database: NewDatabase) -> None:
    async with Database.open(new_database()) as db, db.read() as connection:
        with pytest.raises(DBAPIError, match="read"):
            await connection.execute(insert(cabinets).values(name="x", note="", created=1))


async def test_a_reader_sees_one_state(new_database: NewDatabase) -> None:
    async with Database.open(new_database()) as db:
        async with db.read() as reader:
            assert (await reader.execute(select(cabinets.c.name))).all() == []
            async with db.write() as writer:
                await writer.execute(insert(cabinets).values(name="x", note="", created=1))
            assert (await reader.execute(select(cabinets.c.name))).all() == []
        assert await names(db) == ["x"]


async def test_a_failing_unit_leaves_nothing_and_the_next_one_works(new_database: NewDatabase) -> None:
    async with Database.open(new_database()) as db:

        async def fails() -> None:
            async with db.write() as connection:
                await connection.execute(insert(cabinets).values(name="x", note="", created=1))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fails()
        async with db.write() as connection:
            await connection.execute(insert(cabinets).values(name="y", note="", created=1))
        assert await names(db) == ["y"]


async def test_writers_take_turns(new_database: NewDatabase) -> None:
    async with Database.open(new_database()) as db:

        async def add(n: int) -> None:
            async with db.write() as connection:
                held = len((await connection.execute(select(cabinets.c.name))).all())
                await connection.execute(insert(cabinets).values(name=f"c{held}", note="", created=n))

        async with asyncio.TaskGroup() as tasks:
            for n in range(20):
                tasks.create_task(add(n))
        assert len(await names(db)) == 20


async def test_what_was_written_stands_when_it_is_opened_again(new_database: NewDatabase) -> None:
    where = new_database()
    async with Database.open(where) as db, db.write() as connection:
        await connection.execute(insert(cabinets).values(name="x", note="", created=1))
    async with Database.open(where) as db:
        assert await names(db) == ["x"]
