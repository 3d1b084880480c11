"""The ledger of one node: bytes per hour, link, job and reason, in a file of its own.

Rules
- Only steps are added; they gather in memory and are written down together, every few seconds and at the end.  Who is
  killed loses the last of them, and nothing else: where a leg stood is written with the steps that led there.
- Parts of the node are sources: they are asked for their steps when it is time to write.
- It is bounded in age and in rows, the oldest go first.  It may be thrown away: nothing depends on it but looking.
- Its time is the clock's at the start and runs on steadily: a clock that steps by a year neither ages what is written
  nor tears the two ends of a leg apart.
- A full disk stops the writing, not the node: the steps wait, and add up.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.database import Database
from tiercast_protocol.transfer.books import Place

log = structlog.get_logger(__name__)

FILE = "ledger.db"
#: Seconds between two writings.
WRITE_EVERY = 5.0
HOUR_MS = 3_600_000
#: Hours and rows that are kept.
KEPT_HOURS = 90 * 24
KEPT_ROWS = 400_000

#: Whose count a row is: the parent's of what it sent, the child's of what came, the depot's, the kernel's.
SENT, CAME, DEPOT, KERNEL = "sent", "came", "depot", "kernel"

_SCHEMA = (
    (
        1,
        """
        CREATE TABLE entries(
            hour INTEGER NOT NULL, side TEXT NOT NULL, link TEXT NOT NULL, session TEXT NOT NULL, job TEXT NOT NULL,
            reason TEXT NOT NULL, bytes INTEGER NOT NULL, frames INTEGER NOT NULL, chunks INTEGER NOT NULL,
            PRIMARY KEY(hour, side, link, session, job, reason)) WITHOUT ROWID;
        CREATE TABLE legs(
            link TEXT NOT NULL, session TEXT NOT NULL, position INTEGER NOT NULL, received INTEGER NOT NULL,
            hour INTEGER NOT NULL, PRIMARY KEY(link, session)) WITHOUT ROWID;
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class Key:
    """What a row is about.  `link` is the neighbour's name, `session` that of the child on it; "" is none."""

    side: str
    link: str
    reason: str
    session: str = ""
    job: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the hour (in milliseconds since 1970), what it is about, how much."""

    hour: int
    key: Key
    bytes: int
    frames: int
    chunks: int


def shown(row: Row) -> dict[str, Any]:
    """A row as verbs show it."""
    key = row.key
    return {
        "hour": row.hour,
        "side": key.side,
        "link": key.link,
        "session": key.session,
        "job": key.job,
        "reason": key.reason,
        "bytes": row.bytes,
        "frames": row.frames,
        "chunks": row.chunks,
    }


Source = Callable[["Ledger"], None]


class Ledger:
    """Made by `open_ledger`.

    Args:
        db: its file.
        now_ms: the time, in milliseconds since 1970; None is our own.
    """

    def __init__(self, db: Database, now_ms: Callable[[], int] | None = None) -> None:
        began = time.time() - time.monotonic()
        self._db, self._now_ms = db, now_ms or (lambda: int((began + time.monotonic()) * 1000))
        self._sources: list[Source] = []
        self._steps: dict[tuple[int, Key], list[int]] = {}
        self._places: dict[tuple[str, int], Place] = {}
        self._stood: dict[tuple[str, int], Place] = {}
        self._pruned = 0

    def source(self, source: Source) -> None:
        """Ask this part for its steps whenever it is time to write."""
        self._sources.append(source)

    def add(self, key: Key, size: int, *, frames: int = 0, chunks: int = 0) -> None:
        """So much more, in this hour."""
        if size or frames or chunks:
            sums = self._steps.setdefault((self._hour(), key), [0, 0, 0])
            sums[0] += size
            sums[1] += frames
            sums[2] += chunks

    def stand(self, link: str, session: int, place: Place) -> None:
        """Where the leg to this child stands; written when it has changed."""
        if self._stood.get((link, session)) != place:
            self._stood[link, session] = self._places[link, session] = place

    def _hour(self) -> int:
        return self._now_ms() // HOUR_MS

    async def run(self) -> None:
        """Write every few seconds, until cancelled; the end of `open_ledger` writes the last."""
        while True:
            await asyncio.sleep(WRITE_EVERY)
            await self.write()

    async def write(self) -> None:
        """Write all steps down; on a full disk they wait for the next time."""
        for source in self._sources:
            source(self)
        steps, places = self._steps, self._places
        hour = self._hour()
        prune = hour > self._pruned
        if not (steps or places or prune):
            return
        self._steps, self._places = {}, {}

        def unit(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes, frames = frames + excluded.frames,"
                " chunks = chunks + excluded.chunks",
                [(at, k.side, k.link, k.session, k.job, k.reason, *sums) for (at, k), sums in steps.items()],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO legs VALUES (?, ?, ?, ?, ?)",
                [(link, f"{session:x}", p.position, p.received, hour) for (link, session), p in places.items()],
            )
            if prune:
                _prune(connection, hour)

        try:
            await self._db.write(unit)
            self._pruned = hour
        except StoreFull as error:
            log.warning("ledger.waits", needed=error.needed, free=error.free)
            for (at, key), (size, frames, chunks) in steps.items():
                sums = self._steps.setdefault((at, key), [0, 0, 0])
                sums[0] += size
                sums[1] += frames
                sums[2] += chunks
            self._places = places | self._places

    async def places(self) -> dict[tuple[str, int], Place]:
        """Where the legs stood when they were last written down."""

        def unit(connection: sqlite3.Connection) -> dict[tuple[str, int], Place]:
            found = connection.execute("SELECT link, session, position, received FROM legs")
            return {(link, int(session, 16)): Place(position, received) for link, session, position, received in found}

        return await self._db.read(unit)

    async def rows(
        self, *, link: str = "", job: str | None = None, since: int = 0, before: int = 0, limit: int = 100_000
    ) -> list[Row]:
        """The newest rows, oldest first.

        Args:
            link: only of this one; "" is all.
            job: only of this one; None is all.
            since: milliseconds since 1970: from the hour on that this lies in.
            before: up to the hour that this lies in, without it; 0 is no end.
            limit: most rows.
        """

        def unit(connection: sqlite3.Connection) -> list[Row]:
            found = connection.execute(
                "SELECT hour, side, link, session, job, reason, bytes, frames, chunks FROM entries WHERE hour >= ?"
                " AND (? = 0 OR hour < ?) AND (? = '' OR link = ?) AND (? IS NULL OR job = ?)"
                " ORDER BY hour DESC, side, link, session, job, reason LIMIT ?",
                (since // HOUR_MS, before, before // HOUR_MS, link, link, job, job, limit),
            )
            return [Row(r[0] * HOUR_MS, Key(r[1], r[2], r[5], r[3], r[4]), r[6], r[7], r[8]) for r in found][::-1]

        return await self._db.read(unit)

    async def jobs(self) -> set[str]:
        """The jobs of which there are rows."""

        def unit(connection: sqlite3.Connection) -> set[str]:
            return {str(row[0]) for row in connection.execute("SELECT DISTINCT job FROM entries WHERE job != ''")}

        return await self._db.read(unit)

    async def totals(self, *, side: str = "", link: str = "") -> list[Row]:
        """All that is kept, hours added up (a row's hour is the first); of this side and link only, "" is all."""

        def unit(connection: sqlite3.Connection) -> list[Row]:
            found = connection.execute(
                "SELECT min(hour), side, link, session, job, reason, sum(bytes), sum(frames), sum(chunks) FROM entries"
                " WHERE (? = '' OR side = ?) AND (? = '' OR link = ?) GROUP BY side, link, session, job, reason",
                (side, side, link, link),
            )
            return [Row(r[0] * HOUR_MS, Key(r[1], r[2], r[5], r[3], r[4]), r[6], r[7], r[8]) for r in found]

        return await self._db.read(unit)


def _prune(connection: sqlite3.Connection, hour: int) -> None:
    oldest = hour - KEPT_HOURS
    beyond = connection.execute("SELECT hour FROM entries ORDER BY hour DESC LIMIT 1 OFFSET ?", (KEPT_ROWS,)).fetchone()
    if beyond is not None:
        oldest = max(oldest, beyond[0] + 1)
    connection.execute("DELETE FROM entries WHERE hour < ?", (oldest,))
    connection.execute("DELETE FROM legs WHERE hour < ?", (oldest,))


@asynccontextmanager
async def open_ledger(folder: Path) -> AsyncIterator[Ledger]:
    """The ledger in `folder`; what was not written yet is written at the end.

    Raises:
        StateError: its file is damaged or of a newer version.
    """
    repair = "Remove it: nothing but the ledger's past is lost"
    async with Database.open(folder / FILE, _SCHEMA, readers=0, repair=repair) as db:
        ledger = Ledger(db)
        try:
            yield ledger
        finally:
            await ledger.write()
