"""Assembling a tree from lists that may lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tiercast_endpoint.trees.assemble import Assembler
from tiercast_endpoint.trees.tree import TreeError
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part, Root
from tiercast_protocol.errors import ChunkMissing, ProtocolError

DATA = b"0123456789"
DIGEST = digest_of(DATA)


def a_file(path: str, *parts: Part, size: int = 10, digest: bytes = DIGEST, start: int = 0) -> Entry:
    return Entry(path, Kind.FILE, 0o644, size, digest=digest, parts=parts or (Part(DIGEST, 0, 10),), start=start)


def begun(path: str, *, start: int = 0) -> Entry:
    return Entry(path, Kind.FILE, 0o644, parts=(Part(DIGEST, 0, 10),), start=start, more=True)


def a_root(*, files: int, size: int) -> Root:
    return Root(
        format=1, chunking="tc1", name="x", version="1", revision=1, definition="", lists=[], files=files, size=size,
        chunks=1, chunk_bytes=10,
    )  # fmt: skip


async def assemble(
    folder: Path, lists: Sequence[Sequence[Entry]], *, files: int, size: int, case_collisions: bool = False
) -> int:
    folder.mkdir()

    async def read(digest: bytes) -> bytes:
        assert digest == DIGEST
        return DATA

    async def each() -> AsyncIterator[Sequence[Entry]]:
        for entries in lists:
            yield entries

    told: list[int] = []
    assembler = Assembler(folder, read, told.append, case_collisions=case_collisions)
    await assembler.run(a_root(files=files, size=size), each())
    assert told[-1] == assembler.written
    return assembler.written


async def test_files_that_share_a_chunk_and_go_on_in_the_next_list(tmp_path: Path) -> None:
    parts = (Part(DIGEST, 0, 10),)
    twice = digest_of(DATA + DATA)
    lists = [
        [Entry("a", Kind.FOLDER, 0o755), a_file("a/middle", Part(DIGEST, 3, 4), size=4, digest=digest_of(b"3456"))],
        [begun("big")],
        [a_file("big", *parts, size=20, digest=twice, start=10), Entry("l", Kind.LINK, target="a/middle")],
    ]
    assert await assemble(tmp_path / "t", lists, files=2, size=24) == 24
    assert (tmp_path / "t/big").read_bytes() == DATA + DATA
    assert (tmp_path / "t/l").read_bytes() == b"3456"


@pytest.mark.parametrize(
    ("lists", "code"),
    [
        ([[a_file("f", digest=digest_of(b"other"))]], "tree.digest"),
        ([[a_file("f", Part(DIGEST, 5, 10))]], "tree.digest"),
        ([[a_file("F"), a_file("f")]], "tree.collision"),
    ],
)
async def test_lists_that_lie(tmp_path: Path, lists: list[list[Entry]], code: str) -> None:
    with pytest.raises(TreeError) as raised:
        await assemble(tmp_path / "t", lists, files=len(lists[0]), size=10 * len(lists[0]))
    assert raised.value.code == code


@pytest.mark.parametrize(
    "lists",
    [
        [[a_file("f"), a_file("f/g")]],
        [[a_file("a/f")]],
        [[Entry("l", Kind.LINK, target="/tmp"), a_file("l/f")]],
        [[a_file("f")], [a_file("f")]],
        [[begun("f")]],
        [[begun("f")], [a_file("g")]],
    ],
)
async def test_lists_that_contradict_themselves(tmp_path: Path, lists: list[list[Entry]]) -> None:
    with pytest.raises((ProtocolError, TreeError)):
        await assemble(tmp_path / "t", lists, files=2, size=20)
    assert not (tmp_path / "f").exists()


async def test_counts_that_are_not_the_roots(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError):
        await assemble(tmp_path / "t", [[a_file("f")]], files=2, size=10)


async def test_a_definition_may_allow_names_that_differ_in_capitals(tmp_path: Path) -> None:
    lists = [[a_file("F"), a_file("f")]]
    assert await assemble(tmp_path / "t", lists, files=2, size=20, case_collisions=True) == 20


async def test_many_files_are_written_in_batches(tmp_path: Path) -> None:
    lists = [[a_file(f"f{number:04}") for number in range(at, at + 100)] for at in range(0, 500, 100)]
    assert await assemble(tmp_path / "t", lists, files=500, size=5000) == 5000


async def test_chunks_of_a_file_are_read_together_and_written_in_order(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    chunks = {digest_of(data): data for data in (bytes([number]) * 10 for number in range(5))}
    begun_reads: list[bytes] = []
    all_asked = asyncio.Event()

    async def read(digest: bytes) -> bytes:
        begun_reads.append(digest)
        if len(begun_reads) == len(chunks):
            all_asked.set()
        async with asyncio.timeout(60):
            await all_asked.wait()
        return chunks[digest]

    async def lists() -> AsyncIterator[Sequence[Entry]]:
        parts = [Part(digest, 0, 10) for digest in chunks]
        yield [a_file("f", *parts, size=50, digest=digest_of(b"".join(chunks.values())))]

    await Assembler(tmp_path / "t", read).run(a_root(files=1, size=50), lists())
    assert (tmp_path / "t/f").read_bytes() == b"".join(chunks.values())


async def test_a_chunk_that_is_missing_ends_it_when_the_other_reads_have_ended(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    others: list[bytes] = []

    async def read(digest: bytes) -> bytes:
        if digest == DIGEST:
            raise ChunkMissing(digest)
        await asyncio.sleep(0)
        others.append(digest)
        return b"x"

    async def lists() -> AsyncIterator[Sequence[Entry]]:
        yield [a_file("f", Part(DIGEST, 0, 10), Part(digest_of(b"x"), 0, 1), size=11)]

    with pytest.raises(ChunkMissing):
        await Assembler(tmp_path / "t", read).run(a_root(files=1, size=11), lists())
    assert others == [digest_of(b"x")]


async def test_chunks_of_several_small_files_are_read_at_once_and_what_is_missing_one_by_one(tmp_path: Path) -> None:
    chunks = {digest_of(data): data for data in (bytes([number]) * 10 for number in range(60))}
    asked: list[int] = []
    alone: list[bytes] = []

    async def read(digest: bytes) -> bytes:
        alone.append(digest)
        return chunks[digest]

    async def read_many(digests: Sequence[bytes]) -> dict[bytes, bytes]:
        asked.append(len(digests))
        return {digest: chunks[digest] for digest in digests if chunks[digest][0] != 7}

    async def lists() -> AsyncIterator[Sequence[Entry]]:
        yield [a_file(f"f{data[0]:02}", Part(digest, 0, 10), digest=digest) for digest, data in chunks.items()]

    (tmp_path / "t").mkdir()
    assembler = Assembler(tmp_path / "t", read, read_many=read_many)
    await assembler.run(a_root(files=60, size=600), lists())
    assert [path.read_bytes() for path in sorted((tmp_path / "t").iterdir())] == list(chunks.values())
    assert max(asked) == 24
    assert len(asked) <= 5
    assert alone == [digest_of(bytes([7]) * 10)]
