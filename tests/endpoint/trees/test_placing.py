"""Chunks go straight to their places, and what can't goes to the store."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.growing import GrowingFile
from tiercast_endpoint.trees.placing import Place, Placing
from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.errors import ChunkCorrupt
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database

TREE = ".staging/j1.1"
RAWS = [os.urandom(5000) for _ in range(4)] + [b"compresses well " * 300]
SEALED = [seal(raw) for raw in RAWS]


class Lab:
    """A store, a database and one growing file."""

    def __init__(self, folder: Path, store: DiskStore, db: Database) -> None:
        self.path = folder / "big"
        self.path.touch()
        self.store, self.db = store, db
        self.room = 1 << 30
        self.placing = Placing(store, db, lambda: self.room)
        self.file = GrowingFile("big", lambda: os.open(self.path, os.O_RDWR))

    def expect(self) -> None:
        at = 0
        for (digest, _), raw in zip(SEALED, RAWS, strict=True):
            self.placing.expect(digest, Place(TREE, self.file, at, len(raw)))
            at += len(raw)

    async def sources(self, number: int) -> list[holdings.Source]:
        return await self.db.read(lambda connection: holdings.sources_of(connection, SEALED[number][0]))


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with (
        DiskStore.open(tmp_path / "store", reserve=0) as store,
        Database.open(tmp_path / "db", [(1, holdings.SCHEMA + holdings.PARTIAL)]) as db,
    ):
        row = holdings.Tree(TREE, "p", "1", 1, b"root", 1, sum(map(len, RAWS)))
        await db.write(lambda connection: holdings.begin_tree(connection, row))
        yield Lab(tmp_path, store, db)


async def test_what_is_expected_goes_to_its_place_and_into_the_index(lab: Lab) -> None:
    lab.expect()
    assert await lab.placing.put_many(SEALED) == [True] * 5
    assert lab.path.read_bytes() == b"".join(RAWS)
    assert lab.store.held([digest for digest, _ in SEALED]) == {}
    assert lab.placing.held([SEALED[1][0]]) == {SEALED[1][0]: 5000}
    assert await lab.placing.has(SEALED[1][0])
    assert await lab.placing.raw(SEALED[4][0]) == RAWS[4]
    assert await lab.sources(1) == []
    await lab.placing.sync()
    assert await lab.sources(1) == [holdings.Source(0, 5000, TREE, "big", 5000)]
    assert await lab.placing.raw(SEALED[1][0]) is None, "from now on it is a source like others"
    assert lab.placing.held([SEALED[1][0]]) == {}


async def test_what_nobody_expects_goes_to_the_store(lab: Lab) -> None:
    lab.placing.expect(SEALED[1][0], Place(TREE, lab.file, 0, 5000))
    assert await lab.placing.put_many(SEALED[:2]) == [True, True]
    assert lab.path.read_bytes() == RAWS[1]
    assert set(lab.store.held([digest for digest, _ in SEALED])) == {SEALED[0][0]}


async def test_a_damaged_chunk_is_nowhere_and_still_expected(lab: Lab) -> None:
    lab.expect()
    digest, stored = SEALED[0]
    (result,) = await lab.placing.put_many([(digest, stored[:-1] + bytes([stored[-1] ^ 1]))])
    assert isinstance(result, ChunkCorrupt)
    assert lab.path.read_bytes() == b""
    assert await lab.placing.put_many([(digest, memoryview(stored))]) == [True]
    assert lab.path.read_bytes() == RAWS[0]


async def test_a_place_of_another_length_is_no_place(lab: Lab) -> None:
    digest, stored = SEALED[0]
    lab.placing.expect(digest, Place(TREE, lab.file, 0, 4999))
    assert await lab.placing.put_many([(digest, stored)]) == [True]
    assert lab.path.read_bytes() == b""
    assert await lab.store.get(digest) == stored


@pytest.mark.parametrize("broken", ["closed", "full"])
async def test_what_can_not_be_placed_is_stored(lab: Lab, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.expect()
    if broken == "closed":
        lab.file.close()
    else:

        def full(*_: object) -> bool:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(lab.file, "put", full)
    assert await lab.placing.put_many(SEALED) == [True] * 5
    assert len(lab.store.held([digest for digest, _ in SEALED])) == 5


async def test_what_is_to_stay_free_is_not_taken(lab: Lab) -> None:
    lab.expect()
    lab.room = 10_000
    assert await lab.placing.put_many(SEALED[:2]) == [True, True]
    assert await lab.placing.put_many(SEALED[2:]) == [True] * 3
    assert lab.path.read_bytes() == b"".join(RAWS[:2])
    assert len(lab.store.held([digest for digest, _ in SEALED])) == 3


async def test_who_said_so_first_has_it_and_a_tree_that_goes_expects_nothing(lab: Lab) -> None:
    lab.expect()
    lab.placing.expect(SEALED[0][0], Place("other", lab.file, 70_000, 5000))
    lab.placing.withdraw("other")
    assert await lab.placing.put_many(SEALED[:1]) == [True]
    assert lab.path.read_bytes() == RAWS[0]
    lab.placing.withdraw(TREE)
    assert await lab.placing.put_many(SEALED[1:2]) == [True]
    assert await lab.store.has(SEALED[1][0])


async def test_a_failed_sync_indexes_nothing_and_is_tried_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.expect()
    await lab.placing.put_many(SEALED)

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fails)
        with pytest.raises(OSError, match="broken"):
            await lab.placing.sync()
    assert await lab.sources(0) == []
    await lab.placing.sync()
    assert len(await lab.sources(0)) == 1


async def test_it_becomes_durable_by_itself(lab: Lab) -> None:
    lab.expect()
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(lab.placing.run())
        await lab.placing.put_many(SEALED)
        while not await lab.sources(4):  # noqa: ASYNC110 - a row has no event for us
            await asyncio.sleep(0.01)
        running.cancel()


async def test_a_tree_that_was_forgotten_gets_no_rows(lab: Lab) -> None:
    lab.expect()
    await lab.placing.put_many(SEALED)
    await lab.db.write(lambda connection: holdings.remove_tree(connection, TREE))
    await lab.placing.sync()

    def count(connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT count(*) FROM source").fetchone()[0])

    assert await lab.db.read(count) == 0


def _views(number: int = 5) -> list[tuple[bytes, memoryview]]:
    return [(digest, memoryview(stored)) for digest, stored in SEALED[:number]]


async def test_what_is_taken_where_it_is_read_counts_when_the_loop_says_so(lab: Lab) -> None:
    lab.expect()
    found = await asyncio.to_thread(lab.placing.take, _views())
    assert list(found) == [digest for digest, _ in SEALED]
    assert lab.path.read_bytes() == b"".join(RAWS)
    assert not await lab.placing.has(SEALED[1][0])
    lab.placing.taken(SEALED[1][0], found[SEALED[1][0]])
    assert await lab.placing.has(SEALED[1][0])
    await lab.placing.sync()
    assert await lab.sources(1) == [holdings.Source(0, 5000, TREE, "big", 5000)]
    assert await lab.sources(2) == []
    assert list(lab.placing.take(_views(3))) == [SEALED[0][0], SEALED[2][0]], "what counts has no place any more"


async def test_what_has_no_place_is_not_taken(lab: Lab) -> None:
    assert lab.placing.take(_views()) == {}
    lab.expect()
    lab.room = sum(map(len, RAWS)) - 1
    assert lab.placing.take(_views()) == {}
    lab.room += 1
    digest, stored = SEALED[0]
    found = lab.placing.take([(digest, memoryview(stored[:-1] + bytes([stored[-1] ^ 1])))])
    assert isinstance(found[digest], ChunkCorrupt)
    lab.file.close()
    assert lab.placing.take(_views()) == {}, "the tree has gone meanwhile"


async def test_a_place_that_is_another_meanwhile_stays_expected(lab: Lab) -> None:
    lab.expect()
    digest = SEALED[0][0]
    found = lab.placing.take(_views(1))
    lab.placing.withdraw(TREE)
    other = GrowingFile("other", lambda: os.open(lab.path, os.O_RDWR))
    lab.placing.expect(digest, Place("tree-2", other, 0, len(RAWS[0])))
    lab.placing.taken(digest, found[digest])
    again = lab.placing.take(_views(1))[digest]
    assert isinstance(again, Place)
    assert again.tree == "tree-2"


async def test_who_reads_waits_while_too_much_is_not_durable(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiercast_endpoint.trees.placing.MOST_PENDING", 10_000)
    lab.expect()
    for digest, what in lab.placing.take(_views(2)).items():
        lab.placing.taken(digest, what)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(asyncio.to_thread(lab.placing.take, _views(3)))
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert not done
        await lab.placing.sync()
    assert list(waiting.result()) == [SEALED[2][0]]
