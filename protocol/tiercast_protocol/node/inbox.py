"""Which messages this node has acted on already, in SQLite.

Rules
- An id is marked only after the effect of its message is in the database, and acknowledged only after the mark.
- Ids count per peer: what one neighbour says can't silence what another one will say.
- Marks are kept `KEEP_MS`, longer than a node may be cut off; a repeat after that meets handlers that are idempotent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

#: 45 days: the autonomy promised to a department is 30.
KEEP_MS = 45 * 86_400_000

SCHEMA = """
CREATE TABLE inbox (
    peer TEXT NOT NULL,
    id BLOB NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (peer, id)
) WITHOUT ROWID;
CREATE INDEX inbox_by_age ON inbox (seen);
"""


def seen(connection: sqlite3.Connection, peer: str, id_: bytes) -> bool:
    """Whether the message was acted on."""
    return connection.execute("SELECT 1 FROM inbox WHERE peer = ? AND id = ?", (peer, id_)).fetchone() is not None


def mark(connection: sqlite3.Connection, messages: Iterable[tuple[str, bytes]], *, now_ms: int) -> None:
    """Note that these (peer, id) were acted on."""
    connection.executemany(
        "INSERT INTO inbox (peer, id, seen) VALUES (?, ?, ?) ON CONFLICT (peer, id) DO UPDATE SET seen = excluded.seen",
        [(peer, id_, now_ms) for peer, id_ in messages],
    )


def prune(connection: sqlite3.Connection, *, now_ms: int) -> int:
    """Forget the oldest marks; returns how many."""
    return len(connection.execute("DELETE FROM inbox WHERE seen < ? RETURNING 1", (now_ms - KEEP_MS,)).fetchall())
