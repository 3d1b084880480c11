"""A SQLite file as a daemon needs it: durable, of a known schema, with errors that say what to do.

Rules
- WAL and `synchronous=FULL`, read back at start.
- The schema is a list of numbered steps; each is taken once and wholly, `user_version` holds the number of the last.
- What an earlier process committed and did not sync is made safe before anyone reads it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tiercast_protocol.errors import StateError, StoreFull

Connect = Callable[[Path], sqlite3.Connection]

_FULL = 2  # PRAGMA synchronous
_BUSY_SECONDS = 10


def connect_sqlite(path: Path) -> sqlite3.Connection:
    """A connection of the standard library, without its implicit transactions."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS)


def roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction that failed, if SQLite has not done so itself."""
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def is_full(error: BaseException) -> bool:
    """Whether SQLite found no room on the disk."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL


def explain(error: BaseException, path: Path, repair: str) -> BaseException:
    """What the waiter is told: a full disk and a damaged file have names, the rest stays as it is."""
    if is_full(error):
        full = StoreFull(needed=4096, free=shutil.disk_usage(path.parent).free, where=str(path))
        full.__cause__ = error
        return full
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) in {
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CORRUPT,
    }:
        damaged = StateError(str(path), f"the database is damaged ({error})", repair)
        damaged.__cause__ = error
        return damaged
    return error


def prepare(connection: sqlite3.Connection, path: Path, schema: Sequence[tuple[int, str]]) -> None:
    """Settings, read back, and the steps of `schema` that the file has not taken yet.

    Raises:
        StateError: not durable there, or newer than this program.
        sqlite3.Error: whatever SQLite says.
    """
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA journal_size_limit=16777216")
    synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
    if str(mode).lower() != "wal" or synchronous != _FULL:
        raise StateError(
            str(path),
            f"the file system does not keep what is committed (journal {mode}, synchronous {synchronous})",
            "Move the state folder to a local disk",
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = max((number for number, _ in schema), default=0)
    if version > newest:
        raise StateError(
            str(path),
            f"made by a newer version of this program (schema {version}, known here is {newest})",
            "Install the newer version again, or start with another state folder",
        )
    for number, script in schema:
        if number > version:
            try:
                connection.executescript(f"BEGIN IMMEDIATE;\n{script};\nPRAGMA user_version={number};\nCOMMIT;")
            except BaseException:
                roll_back(connection)
                raise
    # A killed process may have left commits in the log that were written and never synced.  We see them, and will build
    # on them: folding the log in makes them safe first.
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        # The log is synced before anything is folded in, so a disk that is full by now takes nothing from the promise.
        if not is_full(error):
            raise
