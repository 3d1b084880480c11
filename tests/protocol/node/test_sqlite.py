"""Settings, steps and errors of a SQLite file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiercast_protocol.errors import StateError, StoreFull
from tiercast_protocol.node.sqlite import connect_sqlite, explain, is_full, prepare, roll_back

STEP = (1, "CREATE TABLE t (n)")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect_sqlite(tmp_path / "db")
    yield connection
    connection.close()


def test_a_step_is_taken_once_and_wholly(connection: sqlite3.Connection, tmp_path: Path) -> None:
    prepare(connection, tmp_path / "db", [STEP])
    prepare(connection, tmp_path / "db", [STEP])
    with pytest.raises(sqlite3.OperationalError):
        prepare(connection, tmp_path / "db", [STEP, (2, "CREATE TABLE u (n); nonsense")])
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert not connection.in_transaction


def test_a_file_that_can_not_be_durable_is_refused() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(StateError, match="does not keep what is committed"):
        prepare(connection, Path("x"), [STEP])
    connection.close()


def test_a_full_disk_and_a_damaged_file_have_names(connection: sqlite3.Connection, tmp_path: Path) -> None:
    prepare(connection, tmp_path / "db", [STEP])
    connection.execute("PRAGMA max_page_count=3")
    connection.execute("BEGIN")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 100)
    roll_back(connection)
    roll_back(connection)
    assert is_full(caught.value)
    told = explain(caught.value, tmp_path / "db", "do this")
    assert isinstance(told, StoreFull)
    assert told.__cause__ is caught.value
    rot = tmp_path / "rot"
    rot.write_bytes(b"rot" * 1000)
    other = connect_sqlite(rot)
    with pytest.raises(sqlite3.DatabaseError) as damaged:
        prepare(other, rot, [STEP])
    other.close()
    told = explain(damaged.value, rot, "do this")
    assert isinstance(told, StateError)
    assert told.todo == "do this"
    assert explain(error := KeyError(), rot, "") is error
