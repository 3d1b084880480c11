"""What this node still has to tell its neighbours, in SQLite.

Rules
- A row is there from before the first sending until the neighbour acknowledged it: losing a broker, a link or
  this process loses no message.
- `n` rises in the order of sending; a message is once in the outbox per peer, however often it is put there.
- Functions of a connection, to be run as units of `Database`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from tiercast_protocol.node.delivery import Entry
from tiercast_protocol.wire.envelope import Envelope, seal

SCHEMA = """
CREATE TABLE outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    peer TEXT NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    dest TEXT NOT NULL,
    cause TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    message BLOB NOT NULL,
    UNIQUE (peer, id)
);
CREATE INDEX outbox_in_order ON outbox (peer, n);
CREATE INDEX outbox_expiring ON outbox (expires) WHERE expires > 0;
"""


@dataclass(frozen=True, slots=True)
class PendingMessage:
    """A message that its neighbour has not acknowledged; times are milliseconds since 1970, `size` bytes."""

    peer: str
    id: bytes
    kind: str
    to: str
    cause: str
    created: int
    expires: int
    size: int


def add(connection: sqlite3.Connection, peer: str, envelope: Envelope, *, now_ms: int) -> Entry | None:
    """Put a message for `peer`; None when it is there already."""
    message = seal(envelope)
    row = connection.execute(
        "INSERT INTO outbox (peer, id, kind, dest, cause, created, expires, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (peer, id) DO NOTHING RETURNING n",
        (peer, envelope.id, envelope.kind, envelope.to, envelope.cause, now_ms, envelope.expires, message),
    ).fetchall()
    return Entry(n=row[0][0], id=envelope.id, size=len(message)) if row else None


def load(connection: sqlite3.Connection, peer: str, *, after: int, limit: int) -> list[Entry]:
    """The next messages for `peer` with `n` above `after`, in order."""
    rows = connection.execute(
        "SELECT n, id, length(message) FROM outbox WHERE peer = ? AND n > ? ORDER BY n LIMIT ?", (peer, after, limit)
    )
    return [Entry(n=n, id=id_, size=size) for n, id_, size in rows]


def message_of(connection: sqlite3.Connection, n: int) -> tuple[bytes, int] | None:
    """The bytes and the expiry of message `n`; None when it is gone."""
    row: tuple[bytes, int] | None = connection.execute(
        "SELECT message, expires FROM outbox WHERE n = ?", (n,)
    ).fetchone()
    return row


def remove(connection: sqlite3.Connection, messages: Iterable[tuple[str, bytes]]) -> None:
    """Forget these (peer, id): acknowledged or expired."""
    connection.executemany("DELETE FROM outbox WHERE peer = ? AND id = ?", list(messages))


def remove_peer(connection: sqlite3.Connection, peer: str) -> None:
    """Forget all for a neighbour that is no more."""
    connection.execute("DELETE FROM outbox WHERE peer = ?", (peer,))


def readdress(connection: sqlite3.Connection, old: str, new: str, *, without: Iterable[str]) -> None:
    """What was for the neighbour `old` is for `new` from now on, in its order; kinds in `without` are forgotten."""
    connection.executemany("DELETE FROM outbox WHERE peer = ? AND kind = ?", [(old, kind) for kind in without])
    connection.execute("UPDATE OR IGNORE outbox SET peer = ? WHERE peer = ?", (new, old))
    remove_peer(connection, old)  # what is left is there twice


def expire(connection: sqlite3.Connection, *, now_ms: int) -> int:
    """Drop what has expired; returns how many."""
    return len(
        connection.execute("DELETE FROM outbox WHERE expires > 0 AND expires <= ? RETURNING n", (now_ms,)).fetchall()
    )


def pending(connection: sqlite3.Connection, *, limit: int) -> list[PendingMessage]:
    """What is unacknowledged, oldest first."""
    rows = connection.execute(
        "SELECT peer, id, kind, dest, cause, created, expires, length(message) FROM outbox ORDER BY n LIMIT ?", (limit,)
    )
    return [PendingMessage(*row) for row in rows]
