"""A region's database in one SQLite file.

Rules
- The journal is WAL and every commit is synced (synchronous=FULL); both are read back, because a file system may
  refuse either silently.
- A writing transaction begins with its lock (BEGIN IMMEDIATE); readers can't write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tiercast_protocol.errors import StateError
from tiercast_server.database.migrate import upgrade

_FULL = 2
#: How long a statement waits for another process's lock (a backup tool, say), in seconds.
_BUSY_S = 10


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    """Open (or make) the file at `path` with the newest schema: who writes, and who reads.

    Raises:
        StateError: the file is not ours, is of a newer Tiercast, or can't be made durable.
    """
    url = f"sqlite+aiosqlite:///{path}"
    async with AsyncExitStack() as stack:
        writer = _engine(url, begin="BEGIN IMMEDIATE", query_only=False, size=1)
        stack.push_async_callback(writer.dispose)
        reader = _engine(url, begin="BEGIN", query_only=True, size=3)
        stack.push_async_callback(reader.dispose)
        try:
            async with writer.begin() as connection:
                await _check_durable(connection, path)
                await connection.run_sync(upgrade, str(path))
        except DatabaseError as error:
            raise StateError(
                str(path), f"the database can't be used: {error.orig}", "Restore a backup, or free the disk."
            ) from error
        yield writer, reader


def _engine(url: str, *, begin: str, query_only: bool, size: int) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=size, max_overflow=0, connect_args={"timeout": _BUSY_S})

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: `on_begin` does, with the lock that we want.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"query_only={int(query_only)}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


async def _check_durable(connection: AsyncConnection, path: Path) -> None:
    journal = (await connection.execute(text("PRAGMA journal_mode"))).scalar_one()
    synchronous = (await connection.execute(text("PRAGMA synchronous"))).scalar_one()
    if journal != "wal" or synchronous != _FULL:
        raise StateError(
            str(path),
            f"the file system does not take a durable database (journal {journal}, synchronous {synchronous})",
            "Put the state directory on a local disk.",
        )
