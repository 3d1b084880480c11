"""Messages to the owner of this machine, kept until they are read and for a while after (docs/jobs.md).

Rules
- A message is its job's: kept once, however often its order comes or its step is performed.
- Read is what the owner said of it, by his own command; nobody above hears of it.
- Of read messages the newest `MOST` stay; an unread one is never dropped before it is read.
- Units of work are plain functions of a connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

SCHEMA = """
CREATE TABLE message (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    read INTEGER NOT NULL DEFAULT 0
);
"""
#: Read messages that are kept.
MOST = 200


@dataclass(frozen=True, slots=True)
class Kept:
    """One message; `at` and `read` are milliseconds since 1970, `read` 0 while it is unread."""

    n: int
    job: str
    title: str
    text: str
    at: int
    read: int

    def shown(self) -> dict[str, object]:
        """As the control socket shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


def keep(connection: sqlite3.Connection, job: str, title: str, text: str, now_ms: int) -> None:
    """Keep the message of `job`; a second time changes nothing."""
    connection.execute(
        "INSERT INTO message (job, title, text, at) VALUES (?,?,?,?) ON CONFLICT (job) DO NOTHING",
        (job, title, text, now_ms),
    )


def listed(connection: sqlite3.Connection, *, unread: bool = False) -> list[Kept]:
    """All messages, oldest first; or those that were not read."""
    which = " WHERE read=0" if unread else ""
    return [Kept(*row) for row in connection.execute(f"SELECT n, job, title, text, at, read FROM message{which}")]  # noqa: S608 - constants


def mark_read(connection: sqlite3.Connection, numbers: Sequence[int], now_ms: int) -> list[int]:
    """Mark these as read (all when there are none); the numbers that no message has."""
    known = {message.n for message in listed(connection)}
    missing = sorted(set(numbers) - known)
    if missing:
        return missing
    connection.executemany(
        "UPDATE message SET read=? WHERE n=? AND read=0", [(now_ms, number) for number in numbers or known]
    )
    connection.execute(
        "DELETE FROM message WHERE read>0 AND n NOT IN (SELECT n FROM message WHERE read>0 ORDER BY n DESC LIMIT ?)",
        (MOST,),
    )
    return []
