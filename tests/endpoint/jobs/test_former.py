"""What was installed before: kept once, put back or forgotten, whatever is repeated."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from tiercast_endpoint.jobs import former, journal
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.holdings import Installed

OLD = Installed("app", "1", 1, b"r1", "t1", "", "j1", 1)
NEW = Installed("app", "2", 1, b"r2", "t2", "t1", "j2", 2)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        journal.SCHEMA + journal.OPTIONS + journal.ACTIONS + holdings.SCHEMA + holdings.PARTIAL + former.SCHEMA
    )
    yield connection
    connection.close()


def test_an_undo_puts_back_what_was_there_also_when_it_is_repeated(connection: sqlite3.Connection) -> None:
    holdings.set_installed(connection, OLD)
    for _ in range(2):
        former.enter(connection, 2, NEW)
    assert holdings.installed(connection, "app") == [NEW]
    for _ in range(2):
        former.put_back(connection, 2, "app")
        assert holdings.installed(connection, "app") == [OLD]


def test_where_nothing_was_nothing_is_again(connection: sqlite3.Connection) -> None:
    former.enter(connection, 2, NEW)
    former.put_back(connection, 2, "app")
    assert holdings.installed(connection, "app") == []


def test_what_is_accepted_can_not_be_put_back(connection: sqlite3.Connection) -> None:
    holdings.set_installed(connection, OLD)
    former.enter(connection, 2, NEW)
    former.forget(connection, 2)
    former.put_back(connection, 2, "app")
    assert holdings.installed(connection, "app") == [NEW]
