"""Stretches of a tree, written by several threads, and what they leave."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from pathlib import Path

import pytest

from tiercast_endpoint.trees import assemble as assemble_module
from tiercast_endpoint.trees import wholesale
from tiercast_endpoint.trees.assemble import Assembler
from tiercast_endpoint.trees.batches import Write
from tiercast_endpoint.trees.tree import TreeError
from tiercast_endpoint.trees.treewriter import TreeWriter
from tiercast_endpoint.trees.wholesale import Stretch, Wholesale
from tiercast_protocol.content.sealed.digest import Digest, digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part, Root
from tiercast_protocol.node.chunks.port import Reading
from tiercast_protocol.transfer.ranges import RangeSet

#: A large file of eight chunks, and a pack of which small files are cut.
CHUNKS = [bytes([number]) * (64 << 10) for number in range(8)]
LARGE = b"".join(CHUNKS)
PACK = bytes(range(200))


class Chunks:
    """Gives chunks to worker threads; those in `lacking` it can't read."""

    def __init__(self, *lacking: bytes) -> None:
        self.raws = {digest_of(raw): raw for raw in (*CHUNKS, PACK)}
        self.lacking = {digest_of(raw) for raw in lacking}
        self.threads: set[int] = set()
        self.unproved: set[Digest] = set()
        self.alone: list[Digest] = []
        self.most = 0

    def reading(self, digests: Sequence[Digest]) -> Reading:
        def read(some: Iterable[Digest], unproved: Collection[Digest]) -> dict[Digest, bytes | memoryview]:
            self.threads.add(threading.get_ident())
            self.unproved.update(unproved)
            found = [digest for digest in some if digest not in self.lacking]
            assert set(found) <= set(digests)
            self.most = max(self.most, sum(len(self.raws[digest]) for digest in found))
            return {digest: self.raws[digest] for digest in found}

        return read

    async def read(self, digest: Digest) -> bytes:
        self.alone.append(digest)
        return self.raws[digest]


def a_large(path: str, start: int = 0, end: int = 8) -> Entry:
    parts = tuple(Part(digest_of(raw), 0, len(raw)) for raw in CHUNKS[start:end])
    more, at = end < 8, start * (64 << 10)
    whole = (0, b"") if more else (len(LARGE), digest_of(LARGE))
    return Entry(path, Kind.FILE, 0o640, whole[0], digest=whole[1], parts=parts, start=at, more=more)


def a_small(path: str, at: int, size: int = 50, mode: int = 0o644) -> Entry:
    data = PACK[at : at + size]
    return Entry(path, Kind.FILE, mode, size, digest=digest_of(data), parts=(Part(digest_of(PACK), at, size),))


def entries() -> list[list[Entry]]:
    """Two lists: folders, small files, an empty one, a link, a large file that goes on in the second list."""
    first = [Entry("a", Kind.FOLDER, 0o750), Entry("a/empty", Kind.FILE, 0o600, digest=digest_of(b""))]
    first += [a_small(f"a/f{number:03}", number) for number in range(90)]
    first += [Entry("a/l", Kind.LINK, target="f000"), a_large("a/large", 0, 5)]
    return [first, [a_large("a/large", 5), Entry("b", Kind.FOLDER, 0o755), a_small("b/tool", 7, mode=0o4755)]]


def a_root(lists: Sequence[Sequence[Entry]]) -> Root:
    files = [entry for entries in lists for entry in entries if entry.kind is Kind.FILE and not entry.more]
    size = sum(entry.size for entry in files)
    return Root(
        format=1, chunking="tc1", name="x", version="1", revision=1, definition="", lists=[], files=len(files),
        size=size, chunks=9, chunk_bytes=len(LARGE) + len(PACK),
    )  # fmt: skip


async def assemble(folder: Path, lists: Sequence[Sequence[Entry]], chunks: Chunks) -> int:
    folder.mkdir(mode=0o700)

    async def each() -> AsyncIterator[Sequence[Entry]]:
        for one in lists:
            yield one

    assembler = Assembler(folder, chunks.read, reading=chunks.reading)
    await assembler.run(a_root(lists), each())
    return assembler.written


def check(folder: Path) -> None:
    assert (folder / "a/large").read_bytes() == LARGE
    assert [(folder / f"a/f{number:03}").read_bytes() for number in range(90)] == [PACK[n : n + 50] for n in range(90)]
    assert (folder / "a/empty").read_bytes() == b""
    assert (folder / "a/l").readlink() == Path("f000")
    modes = {path: (folder / path).stat().st_mode & 0o7777 for path in ("a", "a/large", "a/f000", "a/empty", "b/tool")}
    assert modes == {"a": 0o750, "a/large": 0o640, "a/f000": 0o644, "a/empty": 0o600, "b/tool": 0o755}


async def test_a_tree_is_written_in_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wholesale, "STRETCH_BYTES", 500)
    monkeypatch.setattr(wholesale, "RUN_BYTES", 100 << 10)
    chunks = Chunks()
    assert await assemble(tmp_path / "t", entries(), chunks) == a_root(entries()).size
    check(tmp_path / "t")
    assert chunks.alone == []
    assert chunks.most <= 128 << 10, "a large file is read a few chunks at a time"
    assert chunks.unproved == {digest_of(PACK)}, "chunks of large files are proved where they are read"


async def test_modes_are_the_manifests_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        await assemble(tmp_path / "t", entries(), Chunks())
    finally:
        os.umask(before)
    check(tmp_path / "t")


@pytest.mark.parametrize("lacking", [PACK, CHUNKS[1], CHUNKS[6]])
async def test_what_can_not_be_read_at_once_is_read_alone(tmp_path: Path, lacking: bytes) -> None:
    chunks = Chunks(lacking)
    assert await assemble(tmp_path / "t", entries(), chunks) == a_root(entries()).size
    check(tmp_path / "t")
    assert set(chunks.alone) >= {digest_of(lacking)}


async def test_a_damaged_pack_is_left_and_read_again(tmp_path: Path) -> None:
    chunks = Chunks()
    given = chunks.reading

    def damaged(digests: Sequence[Digest]) -> Reading:
        read = given(digests)
        return lambda some, unproved: {**read(some, unproved), digest_of(PACK): b"\xff" * len(PACK)}

    chunks.reading = damaged  # type: ignore[method-assign]
    await assemble(tmp_path / "t", entries(), chunks)
    check(tmp_path / "t")
    assert digest_of(PACK) in chunks.alone


@pytest.mark.parametrize("which", ["f005", "large", "collision"])
async def test_a_manifest_that_lies_ends_it(tmp_path: Path, which: str) -> None:
    lists = entries()
    if which == "collision":
        lists[0].insert(1, a_small("a/F000", 0))
    else:
        for one in lists:
            for at, entry in enumerate(one):
                if entry.path == f"a/{which}" and not entry.more:
                    one[at] = Entry(
                        entry.path, entry.kind, entry.mode, entry.size, digest=digest_of(b"other"), parts=entry.parts,
                        start=entry.start,
                    )  # fmt: skip
    with pytest.raises(TreeError) as raised:
        await assemble(tmp_path / "t", lists, Chunks())
    assert raised.value.code == ("tree.collision" if which == "collision" else "tree.digest")


def test_a_large_file_ends_with_its_last_piece_whichever_thread_writes_it(tmp_path: Path) -> None:
    with TreeWriter(str(tmp_path), many=True) as writer:
        work, chunks = Wholesale(writer), Chunks()
        first, last = a_large("large", 0, 5), a_large("large", 5)
        stretches = [*work.take_in([first]), *work.take_in([last])]
        for stretch in reversed(stretches):
            assert not (tmp_path / "large").exists() or (tmp_path / "large").stat().st_mode & 0o777 == 0o600
            work.write(stretch.entries, chunks.reading(stretch.digests))
        writer.finish()
    assert (tmp_path / "large").read_bytes() == LARGE
    assert (tmp_path / "large").stat().st_mode & 0o777 == 0o640


def test_what_an_earlier_life_left_is_proved_and_not_written_again(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE[: 128 << 10] + b"x" * (64 << 10))
    claimed = RangeSet()
    claimed.add(0, 192 << 10)
    chunks = Chunks()
    with TreeWriter(str(tmp_path), many=True, claimed={"large": claimed}) as writer:
        work = Wholesale(writer)
        (stretch,) = work.take_in([a_large("large")])
        written, left = work.write(stretch.entries, chunks.reading(stretch.digests))
        writer.finish()
    assert (written, left) == (len(LARGE) - (128 << 10), [])
    assert (tmp_path / "large").read_bytes() == LARGE


def test_nothing_is_written_through_a_planted_link(tmp_path: Path) -> None:
    top, outside = tmp_path / "t", tmp_path / "outside"
    top.mkdir()
    outside.mkdir()
    with TreeWriter(str(top), many=True) as writer:
        work, chunks = Wholesale(writer), Chunks()
        (stretch,) = work.take_in([Entry("a", Kind.FOLDER, 0o755), a_small("a/f", 0)])
        (top / "a").rmdir()
        (top / "a").symlink_to(outside)
        with pytest.raises(TreeError):
            work.write(stretch.entries, chunks.reading(stretch.digests))
    assert list(outside.iterdir()) == []


async def test_folders_of_a_batch_that_is_being_written_come_before_those_of_the_next_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree that was begun while its chunks still came, and is ended when all are here."""
    began = threading.Event()
    write, take_in = assemble_module.write_batch, Wholesale.take_in

    def slow(writer: TreeWriter, batch: list[Write]) -> int:
        began.wait(0.2)  # who comes too early has the time to
        return write(writer, batch)

    def told(self: Wholesale, entries: Sequence[Entry]) -> list[Stretch]:
        began.set()
        return take_in(self, entries)

    monkeypatch.setattr(assemble_module, "write_batch", slow)
    monkeypatch.setattr(Wholesale, "take_in", told)
    (tmp_path / "t").mkdir(mode=0o700)
    chunks = Chunks()
    lists = [
        [Entry("a", Kind.FOLDER, 0o755), *(a_small(f"a/f{number:03}", number) for number in range(90))],
        [a_large("a/g"), Entry("a/h", Kind.FOLDER, 0o755), a_small("a/h/x", 3)],
    ]

    async def each() -> AsyncIterator[Sequence[Entry]]:
        for one in lists:
            yield one

    assembler = Assembler(tmp_path / "t", chunks.read, reading=chunks.reading)
    try:
        await assembler.begin(a_root(lists), each())
        assert not await assembler.advance(lambda digests: set(digests) <= {digest_of(PACK)})
        await assembler.end()
    finally:
        await assembler.close()
    assert (tmp_path / "t/a/h/x").read_bytes() == PACK[3:53]
    assert len(list((tmp_path / "t/a").iterdir())) == 92
