"""Rows of the index, and the gaps between them."""

import sqlite3
from collections.abc import Iterator

import pytest

from tiercast_protocol.node.chunks import index
from tiercast_protocol.node.chunks.index import Place


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(index.SCHEMA[0][1])
    yield connection
    connection.close()


def test_put_move_remove(connection: sqlite3.Connection) -> None:
    rows = {b"a": Place(1, 0, 10), b"b": Place(1, 10, 5), b"c": Place(2, 0, 7)}
    assert index.put(connection, rows) == (3, 22)
    assert index.totals(connection) == (3, 22)
    assert index.ends(connection) == {1: (15, 15), 2: (7, 7)}
    assert index.put(connection, {b"a": Place(2, 7, 10)}) == (0, 0)
    assert index.place_of(connection, b"a") == Place(2, 7, 10)
    assert index.in_section(connection, 2) == [(b"c", Place(2, 0, 7)), (b"a", Place(2, 7, 10))]
    assert index.digests(connection) == [b"b", b"c", b"a"]
    assert index.remove_at(connection, b"a", Place(1, 0, 10)) == 0
    assert index.remove_at(connection, b"a", Place(2, 7, 10)) == 1
    assert index.remove(connection, [b"a", b"b"]) == [Place(1, 10, 5)]
    assert index.place_of(connection, b"b") is None
    assert index.places_of(connection, [b"a", b"b", b"c"]) == {b"c": Place(2, 0, 7)}


def test_many_are_looked_up_together(connection: sqlite3.Connection) -> None:
    places = {n.to_bytes(32, "big"): Place(1, n, 1) for n in range(1500)}
    assert index.put(connection, places) == (1500, 1500)
    assert index.places_of(connection, [*places, b"x" * 32]) == places


def test_gaps() -> None:
    rows = [(b"", Place(1, 10, 5)), (b"", Place(1, 15, 5)), (b"", Place(1, 30, 5))]
    assert list(index.gaps(rows, 50)) == [(0, 10), (20, 10), (35, 15)]
    assert list(index.gaps(rows, 35)) == [(0, 10), (20, 10)]
    assert list(index.gaps([], 9)) == [(0, 9)]
