"""The inbox's marks."""

import sqlite3

from tiercast_protocol.node import inbox


def test_marks_count_per_peer_and_last_their_time() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(inbox.SCHEMA)
    inbox.mark(connection, [("a", b"1"), ("b", b"2")], now_ms=1000)
    inbox.mark(connection, [("a", b"1")], now_ms=2000)
    assert inbox.seen(connection, "a", b"1")
    assert not inbox.seen(connection, "b", b"1")
    assert inbox.prune(connection, now_ms=inbox.KEEP_MS + 1001) == 1
    assert inbox.seen(connection, "a", b"1")
    assert not inbox.seen(connection, "b", b"2")
    connection.close()
