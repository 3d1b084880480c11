"""What was installed before, while the new version stands and is not accepted yet (docs/transactions.md).

Rules
- Written down before the new version is entered as the installed one; put back by an undo, forgotten by an accept.
- Each may be done again after a crash: what was there first is never overwritten.
- Units of work are plain functions of a connection.
"""

from __future__ import annotations

import sqlite3

import msgspec

from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.holdings import Installed

#: How far an order says that a job is to go, the revision that it answers for by now, and what it replaced.
SCHEMA = """
ALTER TABLE job ADD COLUMN answers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN ordered TEXT NOT NULL DEFAULT '';
CREATE TABLE former (n INTEGER PRIMARY KEY, row BLOB NOT NULL);
"""


def enter(connection: sqlite3.Connection, n: int, row: Installed) -> None:
    """The job numbered `n` made `row` the installed one; what was before is kept."""
    before = holdings.installed(connection, row.package)
    if not before or before[0].job != row.job:
        kept = msgspec.msgpack.encode(before[0]) if before else b""
        connection.execute("INSERT INTO former VALUES (?, ?) ON CONFLICT (n) DO NOTHING", (n, kept))
    holdings.set_installed(connection, row)


def put_back(connection: sqlite3.Connection, n: int, package: str) -> None:
    """What the job numbered `n` replaced is the installed one again, if it had got so far."""
    kept = connection.execute("SELECT row FROM former WHERE n = ?", (n,)).fetchone()
    if kept is None:
        return
    if kept[0]:
        holdings.set_installed(connection, msgspec.msgpack.decode(kept[0], type=Installed))
    else:
        holdings.unset_installed(connection, package)
    forget(connection, n)


def forget(connection: sqlite3.Connection, n: int) -> None:
    """The job numbered `n` is accepted, or was superseded: what it replaced is its business no more."""
    connection.execute("DELETE FROM former WHERE n = ?", (n,))
