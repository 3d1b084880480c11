"""Chunks from the way above straight to their place in a tree, and only the others to the store.

Rules (docs/on-the-endpoint.md)
- Whoever builds a tree says for chunks that are asked for where they go (`expect`).  What comes is proved, written
  there and indexed as a source, so that it is never stored beside.
- Most are written in the thread that reads the connection (`take`), and count when the loop says so (`taken`).
- A row of the index is written after the file's bytes are synced: after 16 MiB, after half a second, or by `sync`.
- It is a gift: what can't be placed, or would take what is to stay free on the disk, goes to the store, as if nobody
  had expected it; the store says what is wrong.
- A chunk that several trees want goes to the one that said so first; the others read it there.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.growing import GrowingFile
from tiercast_endpoint.trees.tree import TreeError
from tiercast_protocol.content.sealed.chunk import proved
from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.errors import ChunkCorrupt, TiercastError
from tiercast_protocol.node.chunks.port import Taken, WritableStore
from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)

#: Bytes placed after which they are made durable, and above which the next ones wait for it.
FLUSH_BYTES, MOST_PENDING = 16 << 20, 64 << 20
FLUSH_SECONDS = 0.5
_RETRY = 1.0
#: Seconds that the thread that reads waits for the disk before it goes on: then the store's own limits hold.
_CALM_SECONDS = 30.0

Row = tuple[Digest, int, int, str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a whole chunk goes: `length` bytes at `at` of a file of the tree in the making `tree`."""

    tree: str
    file: GrowingFile
    at: int
    length: int

    def row(self, digest: Digest) -> Row:
        """Of the index: digest, place in the chunk, length, path, place in the file."""
        return digest, 0, self.length, self.file.path, self.at


class Placing:
    """A store (`WritableStore`) in front of `store`.  Whoever makes it has it `run`.

    Args:
        store: takes what has no place.
        db: of holdings.py.
        room: bytes that trees may still take of their disk.
    """

    def __init__(self, store: WritableStore, db: Database, room: Callable[[], int]) -> None:
        self._store = store
        self._room = room
        self._db = db
        self._places: dict[Digest, Place] = {}
        #: Placed, and not yet in the index.
        self._pending: dict[Digest, Place] = {}
        self._pending_bytes = 0
        self._syncing = asyncio.Lock()
        self._news, self._enough = asyncio.Event(), asyncio.Event()
        #: Not set while so much is pending that what comes waits for it.
        self._calm = threading.Event()
        self._calm.set()

    async def run(self) -> None:
        """Keep what is placed durable, until cancelled."""
        while True:
            await self._news.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._enough.wait()
            try:
                await self.sync()
            except (TiercastError, OSError, sqlite3.Error) as error:
                log.error("placed chunks not durable", reason=str(error))  # noqa: TRY400 - no bug
                await asyncio.sleep(_RETRY)

    # -- whoever builds a tree -------------------------------------------------------------------------

    def expect(self, digest: Digest, place: Place) -> None:
        """The chunk, when it comes, goes there."""
        self._places.setdefault(digest, place)

    def placed(self, places: Iterable[tuple[Digest, Place]]) -> None:
        """These were put by whoever builds the tree: index them too."""
        for digest, place in places:
            self._note(digest, place)

    def withdraw(self, tree: str) -> None:
        """Nothing more goes into this tree."""
        for digest in [digest for digest, place in self._places.items() if place.tree == tree]:
            del self._places[digest]

    async def sync(self) -> None:
        """What was placed before is durable and indexed when this returns.

        Raises:
            OSError, sqlite3.Error, StoreFull: the disk failed or is full; what is not indexed is missing after a crash.
        """
        async with self._syncing:
            self._news.clear()
            self._enough.clear()
            batch, size = dict(self._pending), self._pending_bytes
            if not batch:
                return
            try:
                await in_thread(_sync_all, {place.file for place in batch.values()})
                await self._db.write(lambda connection: _index(connection, batch))
            except BaseException:
                self._news.set()
                raise
            for digest, place in batch.items():
                if self._pending.get(digest) == place:
                    del self._pending[digest]
            self._pending_bytes -= size
            if self._pending_bytes < MOST_PENDING:
                self._calm.set()

    # -- the thread that reads -------------------------------------------------------------------------

    def take(self, chunks: Sequence[tuple[Digest, memoryview]]) -> Mapping[Digest, object]:
        """See `Placer`: those that are expected go to their places; `Place` is what is to be known of each."""
        places = self._places
        mine = [(*chunk, place) for chunk in chunks if (place := places.get(chunk[0])) is not None]
        if not mine or sum(place.length for _, _, place in mine) > self._room():
            return {}
        self._calm.wait(_CALM_SECONDS)
        results = _place_all(mine)
        found = {digest: (place, results[digest]) for digest, _, place in mine if digest in results}
        return {digest: place if result is True else result for digest, (place, result) in found.items()}

    def taken(self, digest: Digest, what: object) -> None:
        """See `Placer`."""
        assert isinstance(what, Place)  # noqa: S101 - for the type checker: it is ours
        if self._places.get(digest) is what:
            del self._places[digest]
        self._note(digest, what)

    # -- the store -------------------------------------------------------------------------------------

    async def get(self, digest: Digest) -> bytes:
        """See `ChunkStore`: of the store alone, what is placed is read as a source."""
        return await self._store.get(digest)

    async def has(self, digest: Digest) -> bool:
        """Whether it is stored, or was placed just now."""
        return digest in self._pending or await self._store.has(digest)

    def held(self, digests: Sequence[Digest]) -> dict[Digest, int]:
        """Those that are stored, or were placed just now."""
        found = self._store.held(digests)
        if self._pending:
            found.update((d, self._pending[d].length) for d in digests if d in self._pending and d not in found)
        return found

    async def raw(self, digest: Digest) -> bytes | None:
        """The proved bytes of a chunk that was placed just now; None where it was not."""
        place = self._pending.get(digest)
        return None if place is None else await in_thread(place.file.read, place.at, place.length, digest)

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """See `WritableStore`."""
        return await self._store.put(digest, stored)

    async def put_many(self, chunks: Sequence[tuple[Digest, bytes | memoryview]]) -> list[Taken]:
        """Each to its place, or to the store; see `WritableStore.put_many`."""
        mine = [(*chunk, self._places[chunk[0]]) for chunk in chunks if chunk[0] in self._places]
        if not mine or sum(place.length for _, _, place in mine) > self._room():
            return await self._store.put_many(chunks)
        results = await in_thread(_place_all, mine)
        for digest, _, place in mine:
            if results.get(digest) is True:
                self._places.pop(digest, None)
                self._note(digest, place)
        rest = [chunk for chunk in chunks if chunk[0] not in results]
        if rest:
            results.update(zip((chunk[0] for chunk in rest), await self._store.put_many(rest), strict=True))
        if self._pending_bytes >= MOST_PENDING:
            await self.sync()
        return [results[digest] for digest, _ in chunks]

    # -- within ----------------------------------------------------------------------------------------

    def _note(self, digest: Digest, place: Place) -> None:
        self._pending[digest] = place
        self._pending_bytes += place.length
        self._news.set()
        if self._pending_bytes >= FLUSH_BYTES:
            self._enough.set()
        if self._pending_bytes >= MOST_PENDING:
            self._calm.clear()


def _place_all(chunks: Sequence[tuple[Digest, bytes | memoryview, Place]]) -> dict[Digest, Taken]:
    """Prove and write these; without those that can't be placed.  What follows each other is written with one call."""
    results: dict[Digest, Taken] = {}
    run: list[tuple[Digest, bytes | memoryview, Place]] = []
    for digest, stored, place in chunks:
        try:
            raw = proved(digest, stored)
        except ChunkCorrupt as error:
            results[digest] = error
            continue
        if len(raw) != place.length:
            continue
        if run and (run[-1][2].file is not place.file or run[-1][2].at + run[-1][2].length != place.at):
            _write_run(run, results)
            run = []
        run.append((digest, raw, place))
    if run:
        _write_run(run, results)
    return results


def _write_run(run: Sequence[tuple[Digest, bytes | memoryview, Place]], results: dict[Digest, Taken]) -> None:
    first = run[0][2]
    try:
        taken = first.file.put(first.at, [raw for _, raw, _ in run])
    except (OSError, TreeError) as error:
        log.info("chunks not placed", path=first.file.path, reason=str(error))
        return
    if taken:
        results.update((digest, True) for digest, _, _ in run)


def _sync_all(files: Iterable[GrowingFile]) -> None:
    for file in files:
        file.sync(os.fdatasync)


def _index(connection: sqlite3.Connection, places: dict[Digest, Place]) -> None:
    trees: dict[str, list[Row]] = {}
    for digest, place in places.items():
        trees.setdefault(place.tree, []).append(place.row(digest))
    for tree, rows in trees.items():
        holdings.add_sources(connection, tree, rows)
