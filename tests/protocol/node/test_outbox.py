"""The outbox's rows."""

import sqlite3
from collections.abc import Iterator

import pytest

from tiercast_protocol.node import outbox
from tiercast_protocol.wire.envelope import open_, wrap
from tiercast_protocol.wire.messages import Dismissed


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(outbox.SCHEMA)
    yield connection
    connection.close()


def message(name: str, expires: int = 0) -> object:
    return wrap("node.dismissed.v1", Dismissed(name=name), sender="me", to="x", cause="c", expires=expires)


def test_in_order_once_per_peer_and_gone_when_removed(connection: sqlite3.Connection) -> None:
    envelopes = [message(str(n)) for n in range(3)]
    entries = [outbox.add(connection, "p", e, now_ms=5) for e in envelopes]
    assert outbox.add(connection, "p", envelopes[1], now_ms=5) is None
    assert outbox.add(connection, "q", envelopes[1], now_ms=5) is not None
    assert outbox.load(connection, "p", after=0, limit=9) == entries
    assert outbox.load(connection, "p", after=entries[0].n, limit=1) == entries[1:2]
    data, expires = outbox.message_of(connection, entries[2].n)
    assert (open_(data), expires, entries[2].size) == (envelopes[2], 0, len(data))
    outbox.remove(connection, [("p", envelopes[1].id), ("q", envelopes[0].id)])
    assert outbox.load(connection, "p", after=0, limit=9) == [entries[0], entries[2]]
    outbox.remove_peer(connection, "p")
    assert [m.peer for m in outbox.pending(connection, limit=9)] == ["q"]
    assert outbox.message_of(connection, entries[2].n) is None


def test_expired_ones_are_dropped_and_counted(connection: sqlite3.Connection) -> None:
    for n, expires in enumerate((0, 10, 20)):
        outbox.add(connection, "p", message(str(n), expires), now_ms=1)
    assert outbox.expire(connection, now_ms=15) == 1
    (first, second) = outbox.pending(connection, limit=9)
    assert (first.expires, second.expires) == (0, 20)
    assert (first.kind, first.to, first.cause, first.created) == ("node.dismissed.v1", "x", "c", 1)


def test_a_number_is_never_used_again(connection: sqlite3.Connection) -> None:
    first = outbox.add(connection, "p", message("a"), now_ms=1)
    outbox.remove_peer(connection, "p")
    assert outbox.add(connection, "p", message("b"), now_ms=1).n > first.n
