"""What every part of the region's logic needs to know: whose region it is, its key, its database, its clock.

Rules
- Made once at start and handed to whoever needs it; it decides nothing.
- Time is milliseconds since 1970 and comes from `clock` alone, so tests own it.
- The epoch fences a server that lost its place: every order carries it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import insert, select

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import StateError
from tiercast_server.database.engine import Database
from tiercast_server.database.tables import cabinets, region

#: The cabinet that always exists.
MAIN_CABINET = "main"


def wall_clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Region:
    """One region.

    Attributes:
        name: the region's name.
        server: the server's name as a node.
        epoch: milliseconds since 1970 at which this region was made or taken over.
        key: the region's order key.
        db: its database.
        clock: milliseconds since 1970.
    """

    name: str
    server: str
    epoch: int
    key: PrivateKey
    db: Database
    clock: Callable[[], int] = wall_clock


async def create_region(db: Database, *, name: str, server: str, now: int) -> None:
    """Write the first rows of a new region into an empty database.

    Raises:
        StateError: a region stands there already.
    """
    async with db.write() as connection:
        held = (await connection.execute(select(region.c.name))).scalar_one_or_none()
        if held is not None:
            raise StateError("database", f"it already holds the region {held!r}", "Use another state directory.")
        await connection.execute(
            insert(region).values(id=1, name=name, server=server, epoch=now, created=now, last_job=0)
        )
        await connection.execute(insert(cabinets).values(name=MAIN_CABINET, note="", created=now))


async def open_region(db: Database, key: PrivateKey, *, clock: Callable[[], int] = wall_clock) -> Region:
    """The region that stands in `db`.

    Raises:
        StateError: `init` never finished.
    """
    async with db.read() as connection:
        row = (await connection.execute(select(region.c.name, region.c.server, region.c.epoch))).one_or_none()
    if row is None:
        raise StateError(
            "database", "no region stands in it", "Remove the state directory and run `tiercast-server init`."
        )
    return Region(name=row.name, server=row.server, epoch=row.epoch, key=key, db=db, clock=clock)
