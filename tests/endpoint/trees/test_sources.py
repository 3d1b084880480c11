"""Installed files as chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.sources import Sources, rows_of
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part
from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node.database import Database

TREE = ".trees/app/0123456789abcdef"
BIG, PACK = bytes(range(200)), b"one" + b"two"
B, P, UNKNOWN = digest_of(BIG), digest_of(PACK), digest_of(b"unknown")
ENTRIES = [
    Entry("big", Kind.FILE, 0o644, 250, digest=b"", parts=(Part(UNKNOWN, 0, 50), Part(B, 0, 200))),
    Entry("f1", Kind.FILE, 0o644, 3, digest=b"", parts=(Part(P, 0, 3),)),
    Entry("f2", Kind.FILE, 0o644, 3, digest=b"", parts=(Part(P, 3, 3),)),
    Entry("f3", Kind.FILE, 0o644, 2, digest=b"", parts=(Part(P, 1, 2),)),
]


@pytest.fixture
async def sources(tmp_path: Path) -> AsyncIterator[Sources]:
    top = tmp_path / "root" / TREE
    top.mkdir(parents=True)
    (top / "big").write_bytes(b"x" * 50 + BIG)
    (top / "f1").write_bytes(b"one")
    (top / "f2").write_bytes(b"two")
    (top / "f3").write_bytes(b"ne")

    async def lists() -> AsyncIterator[Sequence[Entry]]:
        yield ENTRIES[:2]
        yield ENTRIES[2:]

    async with Database.open(tmp_path / "db", [(1, holdings.SCHEMA + holdings.PARTIAL)]) as db:
        await db.write(lambda c: holdings.add_tree(c, holdings.Tree(TREE, "app", "1", 1, b"", 4, 258)))
        found = Sources(db, tmp_path / "root")
        await found.index(TREE, lists())
        await found.index(TREE, lists())
        yield found


async def test_a_chunk_out_of_one_file_and_one_out_of_several(sources: Sources) -> None:
    assert await sources.known([B, P, digest_of(b"never")]) == {B, P}
    assert await sources.read(B) == BIG
    assert await sources.read(P) == PACK


async def test_a_changed_file_is_no_source_and_is_forgotten(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "root" / TREE / "f2").write_bytes(b"TWO")
    with pytest.raises(ChunkMissing):
        await sources.read(P)
    assert await sources.known([B, P]) == {B}


async def test_a_link_in_the_place_of_a_file_is_not_followed(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x" * 50 + BIG)
    (tmp_path / "root" / TREE / "big").unlink()
    (tmp_path / "root" / TREE / "big").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ChunkMissing):
        await sources.read(B)


async def test_what_nobody_has(sources: Sources) -> None:
    with pytest.raises(ChunkMissing):
        await sources.read(digest_of(b"never"))


def test_a_file_that_goes_on_counts_from_where_it_goes_on() -> None:
    entry = Entry("big", Kind.FILE, 0o644, parts=(Part(B, 0, 200),), start=100, more=True)
    assert list(rows_of([entry])) == [(B, 0, 200, "big", 100)]
