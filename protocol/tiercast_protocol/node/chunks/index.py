"""Which chunk lies where: the index of a disk store, as units over `Database`.

Rules
- A row is written after its bytes are synced, and removed (committed) before its bytes are given back:
  so every row of a crashed store names bytes that are there.
- An index of a million chunks must cost no memory here: rows are looked up, not kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tiercast_protocol.content.sealed.digest import Digest

#: Digests of one look-up; every SQLite takes 999 parameters.
_LOOKUP = 512
SCHEMA = (
    (
        1,
        """
        CREATE TABLE chunks (
            digest BLOB PRIMARY KEY,
            section INTEGER NOT NULL,
            start INTEGER NOT NULL,
            size INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX chunks_by_place ON chunks (section, start, size);
        """,
    ),
)


class Place(NamedTuple):
    """Where a stored form lies: section number, offset and length in bytes."""

    section: int
    start: int
    size: int


def place_of(connection: sqlite3.Connection, digest: Digest) -> Place | None:
    """Where the chunk lies; None when it is not held."""
    row = connection.execute("SELECT section, start, size FROM chunks WHERE digest = ?", (digest,)).fetchone()
    return Place(*row) if row is not None else None


def places_of(connection: sqlite3.Connection, digests: Sequence[Digest]) -> dict[Digest, Place]:
    """Where those of `digests` lie that are held; a fifth of the cost of asking one by one."""
    found: dict[Digest, Place] = {}
    for at in range(0, len(digests), _LOOKUP):
        some = digests[at : at + _LOOKUP]
        marks = ",".join("?" * len(some))
        rows = connection.execute(f"SELECT digest, section, start, size FROM chunks WHERE digest IN ({marks})", some)  # noqa: S608 - question marks
        found.update([(row[0], Place._make(row[1:])) for row in rows])
    return found


def put(connection: sqlite3.Connection, places: Mapping[Digest, Place]) -> tuple[int, int]:
    """Index these chunks; one that was moved gets its new place.  Returns number and bytes of the new ones."""
    known = places_of(connection, list(places))
    connection.executemany(
        "INSERT INTO chunks (digest, section, start, size) VALUES (?, ?, ?, ?) ON CONFLICT (digest)"
        " DO UPDATE SET section = excluded.section, start = excluded.start, size = excluded.size",
        [(digest, *place) for digest, place in places.items()],
    )
    return len(places) - len(known), sum(place.size for digest, place in places.items() if digest not in known)


def remove(connection: sqlite3.Connection, digests: Iterable[Digest]) -> list[Place]:
    """Forget these chunks; returns where those lay that were known."""
    found: list[Place] = []
    doomed = sorted(digests)
    for at in range(0, len(doomed), _LOOKUP):
        some = doomed[at : at + _LOOKUP]
        marks = ",".join("?" * len(some))
        rows = connection.execute(
            f"DELETE FROM chunks WHERE digest IN ({marks}) RETURNING section, start, size",  # noqa: S608 - question marks
            some,
        )
        found += map(Place._make, rows.fetchall())
    return found


def remove_at(connection: sqlite3.Connection, digest: Digest, place: Place) -> int:
    """Forget the chunk if it still lies there; returns how many rows went."""
    return len(
        connection.execute(
            "DELETE FROM chunks WHERE digest = ? AND section = ? AND start = ? RETURNING 1",
            (digest, place.section, place.start),
        ).fetchall()
    )


def totals(connection: sqlite3.Connection) -> tuple[int, int]:
    """Number of chunks and sum of their bytes."""
    chunks, size = connection.execute("SELECT count(*), coalesce(sum(size), 0) FROM chunks").fetchone()
    return chunks, size


def ends(connection: sqlite3.Connection) -> dict[int, tuple[int, int]]:
    """For each section the end of its last chunk and the sum of its chunks, in bytes."""
    rows = connection.execute("SELECT section, max(start + size), sum(size) FROM chunks GROUP BY section")
    return {section: (end, size) for section, end, size in rows}


def in_section(connection: sqlite3.Connection, section: int) -> list[tuple[Digest, Place]]:
    """The chunks of one section, by offset."""
    rows = connection.execute(
        "SELECT digest, section, start, size FROM chunks WHERE section = ? ORDER BY start", (section,)
    )
    return [(digest, Place(section, start, size)) for digest, section, start, size in rows]


def following(connection: sqlite3.Connection, section: int, start: int, size: int) -> list[tuple[Digest, Place]]:
    """The chunks of `section` from the offset `start` on, by offset, up to `size` bytes of the file."""
    rows = connection.execute(
        "SELECT digest, section, start, size FROM chunks WHERE section = ? AND start >= ? AND start < ? ORDER BY start",
        (section, start, start + size),
    )
    return [(digest, Place(section, start, size)) for digest, section, start, size in rows]


def digests(connection: sqlite3.Connection) -> list[Digest]:
    """All chunks, oldest section first."""
    return [row[0] for row in connection.execute("SELECT digest FROM chunks ORDER BY section, start")]


def sizes(connection: sqlite3.Connection) -> dict[Digest, int]:
    """All chunks with their bytes, oldest section first."""
    return dict(connection.execute("SELECT digest, size FROM chunks ORDER BY section, start"))


def after(connection: sqlite3.Connection, place: Place | None, most: int) -> list[tuple[Digest, Place]]:
    """At most `most` chunks that lie behind `place` (None: from the first), in the order of the disk."""
    rows = connection.execute(
        "SELECT digest, section, start, size FROM chunks WHERE (section, start) > (?, ?)"
        " ORDER BY section, start LIMIT ?",
        (*(place[:2] if place is not None else (-1, -1)), most),
    )
    return [(digest, Place(section, start, size)) for digest, section, start, size in rows]


def gaps(places: Iterable[tuple[Digest, Place]], end: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of what no chunk of a section covers, up to `end`; `places` are in order of offset."""
    at = 0
    for _, place in places:
        if place.start > at:
            yield at, place.start - at
        at = max(at, place.start + place.size)
    if end > at:
        yield at, end - at
