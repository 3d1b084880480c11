"""One writer, group commit, units that fail alone, a disk that fills."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from tiercast_protocol.errors import StateError, StoreFull
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.sqlite import connect_sqlite

SCHEMA = ((1, "CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB)"),)


def insert(n: int, x: bytes = b"") -> object:
    return lambda connection: connection.execute("INSERT INTO t VALUES (?, ?)", (n, x)).rowcount


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT n FROM t ORDER BY n")]


async def test_what_is_written_is_read_by_all_ways_and_after_reopening(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "db", SCHEMA) as db:
        assert await db.write(insert(1)) == 1
        assert await db.read(numbers) == db.peek(numbers) == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["db"]  # the log was folded in
    async with Database.open(tmp_path / "db", SCHEMA) as db:
        assert await db.read(numbers) == [1]


async def test_settings_are_read_back(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "db", SCHEMA) as db:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert await db.write(lambda c, p=pragma: c.execute(f"PRAGMA {p}").fetchone()[0]) == value


async def test_readers_can_not_write(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "db", SCHEMA) as db:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await db.read(insert(1))
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.peek(insert(1))


async def test_units_that_wait_share_a_commit_and_a_failing_one_rolls_back_alone(tmp_path: Path) -> None:
    commits: list[str] = []

    def connect(path: Path) -> sqlite3.Connection:
        connection = connect_sqlite(path)
        connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        return connection

    async with Database.open(tmp_path / "db", SCHEMA, connect=connect) as db:
        gate = threading.Event()
        first = asyncio.gather(db.write(lambda _: gate.wait()))
        await asyncio.sleep(0)
        rest = asyncio.gather(*(db.write(insert(n % 90)) for n in range(100)), return_exceptions=True)
        await asyncio.sleep(0)
        commits.clear()
        gate.set()
        await first
        results = await rest
        assert sum(isinstance(r, sqlite3.IntegrityError) for r in results) == 10
        assert await db.read(numbers) == list(range(90))
        assert len(commits) <= 5


async def test_a_failing_unit_leaves_nothing_behind(tmp_path: Path) -> None:
    def unit(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1, NULL)")
        raise KeyError("no")

    async with Database.open(tmp_path / "db", SCHEMA) as db:
        with pytest.raises(KeyError):
            await db.write(unit)
        assert await db.read(numbers) == []


async def test_a_full_disk_is_told_to_those_it_hits_and_the_database_goes_on(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "db", SCHEMA) as db:
        await db.write(lambda c: c.execute("PRAGMA max_page_count=40").fetchall())
        results = await asyncio.gather(
            db.write(insert(1)), db.write(insert(2, bytes(500_000))), db.write(insert(3)), return_exceptions=True
        )
        assert isinstance(results[1], StoreFull)
        assert "no room" in str(results[1])
        assert results[0] == results[2] == 1
        assert await db.read(numbers) == [1, 3]


async def test_newer_schema_is_refused_with_advice(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "db", [*SCHEMA, (7, "CREATE TABLE u (n)")]):
        pass
    with pytest.raises(StateError) as caught:
        async with Database.open(tmp_path / "db", SCHEMA):
            pass
    assert "newer version" in str(caught.value)
    assert caught.value.todo


async def test_steps_are_taken_once_and_wholly(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "db", SCHEMA) as db:
        await db.write(insert(1))
    with pytest.raises(sqlite3.OperationalError):
        async with Database.open(tmp_path / "db", [*SCHEMA, (2, "CREATE TABLE u (n); CREATE nonsense")]):
            pass
    async with Database.open(tmp_path / "db", [*SCHEMA, (2, "CREATE TABLE u (n)")]) as db:
        assert await db.read(numbers) == [1]


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"hello " * 1000)
    with pytest.raises(StateError, match="damaged"):
        async with Database.open(tmp_path / "db", SCHEMA):
            pass


async def test_a_cancelled_waiter_harms_nobody(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "db", SCHEMA) as db:
        gate = threading.Event()
        first = asyncio.gather(db.write(lambda _: gate.wait()))
        await asyncio.sleep(0)
        second = asyncio.gather(db.write(insert(1)))
        third = asyncio.gather(db.write(insert(2)))
        await asyncio.sleep(0)
        second.cancel()
        gate.set()
        await asyncio.gather(first, third)
        with pytest.raises(asyncio.CancelledError):
            await second
        assert await db.read(numbers) in ([2], [1, 2])


async def test_without_readers_one_connection_does_all(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "db", SCHEMA, readers=0) as db:
        await db.write(insert(1))
        assert await db.read(numbers) == db.peek(numbers) == [1]


async def test_closed_is_said(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "db", SCHEMA) as db:
        pass
    with pytest.raises(RuntimeError):
        await db.write(insert(1))
