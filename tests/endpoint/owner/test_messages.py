"""Messages to the owner: kept once, read by him alone, and not for ever."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tiercast_endpoint.owner import messages
from tiercast_endpoint.owner.messages import keep, listed, mark_read


@pytest.fixture(name="connection")
def _connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(messages.SCHEMA)
        yield connection


def test_a_message_is_kept_once(connection: sqlite3.Connection) -> None:
    keep(connection, "j1", "T", "text", 5)
    keep(connection, "j1", "other", "other", 6)
    (kept,) = listed(connection)
    assert kept.shown() == {"n": 1, "job": "j1", "title": "T", "text": "text", "at": 5, "read": 0}


def test_reading_some_and_all(connection: sqlite3.Connection) -> None:
    for number in range(1, 4):
        keep(connection, f"j{number}", "", "text", number)
    assert mark_read(connection, [2, 9, 8], 10) == [8, 9]
    assert len(listed(connection, unread=True)) == 3, "one wrong number marks nothing"
    assert mark_read(connection, [2], 10) == []
    assert mark_read(connection, [2], 11) == []
    assert [(m.n, m.read) for m in listed(connection)] == [(1, 0), (2, 10), (3, 0)]
    assert mark_read(connection, [], 12) == []
    assert [m.read for m in listed(connection)] == [12, 10, 12]
    assert listed(connection, unread=True) == []


def test_what_was_read_is_not_kept_for_ever_and_what_was_not_is(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MOST", 2)
    for number in range(1, 6):
        keep(connection, f"j{number}", "", "text", number)
    mark_read(connection, [1, 2, 3, 4], 10)
    assert [m.n for m in listed(connection)] == [3, 4, 5]
