"""A region's database at a PostgreSQL server.

Rules
- One server of one region per database: the connection that writes holds a lock of that database for as long as it
  lives, and another process that wants it waits a moment and is refused.
- Commits are synced whatever the server's default says; a server that syncs nothing (`fsync` off) is refused.
- Readers see one state (repeatable read) and can't write.
- No password stands in our settings: it comes from the driver's own places (PGPASSWORD, a password file).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tiercast_protocol.errors import StateError
from tiercast_server.database.migrate import upgrade

#: Oldest server that is supported, as it says its version.
_OLDEST = 150_000
#: Names our lock among those of the database ("tiercast").
_LOCK = 0x7469657263617374
#: Seconds to wait for a connection, and for the lock: who was killed keeps it until its connection is seen to be gone.
_CONNECT_S = 10
_LOCK_S = 10
_LOCK_NOT_AVAILABLE = "55P03"
_READERS = 3
_SCHEMES = frozenset({"postgresql", "postgres"})


def address(where: str) -> URL:
    """The address in `where`, for the driver that we use.

    Raises:
        StateError: it is none, or holds a password.
    """
    try:
        url = make_url(where)
    except ArgumentError as error:
        raise _unusable("the database", "its address is none", f"Write {_EXAMPLE}.") from error
    if url.drivername not in _SCHEMES or not url.database:
        raise _unusable(url.render_as_string(), "this is no address of a PostgreSQL database", f"Write {_EXAMPLE}.")
    if url.password:
        raise _unusable(
            url.render_as_string(), "a password stands in its address", "Put it into a password file (PGPASSFILE)."
        )
    return url.set(drivername="postgresql+asyncpg")


_EXAMPLE = "postgresql://USER@HOST/NAME, or postgresql://USER@/NAME?host=/run/postgresql for a socket"


@asynccontextmanager
async def opened(where: str) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    """Bring the database at `where` to the newest schema: who writes, and who reads.

    Raises:
        StateError: it can't be reached, is in use, too old, not durable, or of a newer Tiercast.
    """
    url = address(where)
    async with AsyncExitStack() as stack:
        writer = _engine(url, size=1, read_only=False)
        stack.push_async_callback(writer.dispose)
        reader = _engine(url, size=_READERS, read_only=True)
        stack.push_async_callback(reader.dispose)
        try:
            async with writer.begin() as connection:
                await _check(connection, where)
                await connection.run_sync(upgrade, where)
        except (DBAPIError, OSError) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            if getattr(reason, "sqlstate", "") == _LOCK_NOT_AVAILABLE:
                raise _unusable(where, "another server has it open", "One region is run by one server.") from error
            todo = "Is the PostgreSQL server up, and does the database exist?  createdb makes it."
            raise _unusable(where, f"the database can't be used: {reason}", todo) from error
        yield writer, reader


def _engine(url: URL, *, size: int, read_only: bool) -> AsyncEngine:
    settings = {
        "application_name": "tiercast-server",
        "synchronous_commit": "on",
        "default_transaction_read_only": "on" if read_only else "off",
        "default_transaction_isolation": "repeatable read",
    }
    engine = create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={"timeout": _CONNECT_S, "server_settings": settings},
    )
    if not read_only:
        event.listen(engine.sync_engine, "connect", _take_lock)
    return engine


def _take_lock(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = '{_LOCK_S}s'")
    cursor.execute(f"SELECT pg_advisory_lock({_LOCK})")
    cursor.execute("SET lock_timeout = 0")
    cursor.close()
    connection.commit()


async def _check(connection: AsyncConnection, where: str) -> None:
    async def shown(name: str) -> str:
        return str((await connection.execute(text(f"SHOW {name}"))).scalar_one())

    if int(await shown("server_version_num")) < _OLDEST:
        version = await shown("server_version")
        raise _unusable(where, f"PostgreSQL {version} is too old", f"{_OLDEST // 10_000} or newer is needed.")
    for name in ("fsync", "full_page_writes"):
        if await shown(name) != "on":
            raise _unusable(where, f"its server does not keep what it says ({name} is off)", f"Set {name} = on there.")
    if await shown("server_encoding") != "UTF8":
        raise _unusable(
            where, "its encoding is not UTF8", "Make one with createdb --encoding=UTF8 --template=template0."
        )


def _unusable(where: str, what: str, todo: str) -> StateError:
    return StateError(where, what, todo)
