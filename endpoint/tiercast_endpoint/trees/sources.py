"""Chunks out of installed files: what is on the disk already crosses no link (docs/on-the-endpoint.md).

Rules
- The index says where bytes of a chunk were when a tree was assembled; what is read is hashed, and counts
  only when it is the chunk.  Files are never chunked again.
- A chunk is pieced together from files when it is a pack of small ones; any tree serves, whichever job put it there.
- A source that proves wrong (somebody changed the file) is forgotten, and the chunk is missing like any other.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import structlog

from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.placing import Row
from tiercast_endpoint.trees.tree import OpenTree, TreeError
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry
from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node.database import Database

Digest = bytes
log = structlog.get_logger(__name__)

#: Digests looked up in one read of the database.
_LOOKUP = 2048
#: Rows of the index from which on they are written with one commit.
_AT_ONCE = 16_384


class Sources:
    """The chunks in the trees of one install root.

    Args:
        db: the agent's journal.
        root: the install root.
    """

    def __init__(self, db: Database, root: Path) -> None:
        self._db = db
        self._root = root

    async def known(self, digests: Sequence[Digest]) -> set[Digest]:
        """Those of `digests` that the index names; whether the files still hold them is seen when they are read."""
        found: set[Digest] = set()
        for at in range(0, len(digests), _LOOKUP):
            part = digests[at : at + _LOOKUP]
            found |= await self._db.read(lambda connection, part=part: holdings.known_sources(connection, part))  # type: ignore[misc]
        return found

    async def lengths(self, digests: Sequence[Digest]) -> dict[Digest, int]:
        """Those of `digests` that the index names, with the bytes of them that lie in files."""
        found: dict[Digest, int] = {}
        for at in range(0, len(digests), _LOOKUP):
            part = digests[at : at + _LOOKUP]
            found |= await self._db.read(lambda connection, part=part: holdings.source_lengths(connection, part))  # type: ignore[misc]
        return found

    async def read(self, digest: Digest) -> bytes:
        """The proved raw bytes of the chunk.

        Raises:
            ChunkMissing: no file holds it (any more).
        """
        places = await self._db.read(lambda connection: holdings.sources_of(connection, digest))
        if places:
            raw = await in_thread(self._piece_together, digest, places)
            if raw is not None:
                return raw
            log.info("source stale", digest=digest.hex())
            await self._db.write(lambda connection: holdings.drop_source(connection, digest))
        raise ChunkMissing(digest)

    async def index(self, tree: str, lists: AsyncIterator[Sequence[Entry]]) -> None:
        """Write down which chunks the files of `tree`, which stands, hold; again, it is the same."""
        rows: list[Row] = []
        known = await self._db.read(lambda connection: holdings.has_sources(connection, tree))
        async for entries in lists:
            rows += rows_of(entries)
            if len(rows) >= _AT_ONCE:
                await self._write(tree, rows, known=known)
                rows = []
        await self._write(tree, rows, known=known)

    async def _write(self, tree: str, rows: Sequence[Row], *, known: bool) -> None:
        def write(connection: sqlite3.Connection) -> None:
            if known:
                holdings.drop_parts(connection, tree, rows)
            holdings.add_sources(connection, tree, rows)

        if rows:
            await self._db.write(write)

    def _piece_together(self, digest: Digest, places: Sequence[holdings.Source]) -> bytes | None:
        raw = bytearray()
        for place in places:
            # Several files may hold the same bytes of the chunk: the first that continues what is there serves.
            if place.at > len(raw):
                break
            if place.at + place.length <= len(raw):
                continue
            skip = len(raw) - place.at
            raw += self._bytes_of(place, skip)
        return bytes(raw) if raw and digest_of(raw) == digest else None

    def _bytes_of(self, place: holdings.Source, skip: int) -> bytes:
        try:
            with OpenTree(str(self._root / place.tree)) as tree:
                fd = tree.open_file(place.path)
                try:
                    return os.pread(fd, place.length - skip, place.offset + skip)
                finally:
                    os.close(fd)
        except (OSError, TreeError):
            return b""


def rows_of(entries: Iterable[Entry]) -> Iterable[Row]:
    """For each part of each file: digest, place in the chunk, length, path, place in the file."""
    for entry in entries:
        offset = entry.start
        for part in entry.parts:
            yield part.digest, part.offset, part.length, entry.path, offset
            offset += part.length
