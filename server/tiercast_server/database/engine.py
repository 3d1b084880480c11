"""The database of a region: how it is opened, read and written.

Rules
- It is one SQLite file, or a database at a PostgreSQL server; nobody above this room knows which.
- One writer: `write()` holds a lock and one transaction; nobody awaits the network inside it.  `read()` sees the last
  commit and can't write.
- Opening migrates to the newest schema; a schema that this code does not know is a StateError.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tiercast_server.database import postgres, sqlite


class Database:
    """The open database; made by `Database.open`."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, where: Path | str) -> AsyncIterator[Database]:
        """Open the database and bring it to the newest schema.

        Args:
            where: the path of an SQLite file, made when it is missing; or the address of a PostgreSQL database.

        Raises:
            StateError: it is not ours, is of a newer Tiercast, is in use, or can't be made durable.
        """
        backend = sqlite.opened(where) if isinstance(where, Path) else postgres.opened(where)
        async with backend as (writer, reader):
            yield cls(writer, reader)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """The only transaction that may write at this moment; committed (durably) on leaving, else undone."""
        async with self._lock, self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state and can't change it."""
        async with self._reader.connect() as connection, connection.begin():
            yield connection
