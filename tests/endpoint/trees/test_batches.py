"""Which files are read together, and what a file that is one whole chunk need not prove again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_endpoint.trees.batches import BATCH_BYTES, TOGETHER, Write, cut, groups, running, write_batch
from tiercast_endpoint.trees.tree import TreeError
from tiercast_endpoint.trees.treewriter import TreeWriter
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part


def a_file(path: str, *parts: Part, digest: bytes = b"") -> Entry:
    return Entry(path, Kind.FILE, 0o644, sum(part.length for part in parts), digest=digest, parts=parts)


def test_groups_are_cut_by_chunks_and_bytes_and_keep_the_order() -> None:
    many = [a_file(f"f{n:03}", Part(digest_of(b"%d" % n), 0, 10)) for n in range(60)]
    cut_by_chunks = list(groups(many))
    assert [len(group) for group in cut_by_chunks] == [TOGETHER, TOGETHER, 60 - 2 * TOGETHER]
    assert [entry for group in cut_by_chunks for entry in group] == many
    shared = Part(digest_of(b"pack"), 0, 10)
    assert len(list(groups([a_file(f"f{n}", shared) for n in range(200)]))) == 1
    large = [a_file(f"g{n}", Part(digest_of(b"%d" % n), 0, 200_000)) for n in range(12)]
    assert [len(group) for group in groups(large)] == [-(-BATCH_BYTES // 200_000)] * 2
    assert list(groups([])) == []


def test_places_of_parts() -> None:
    parts = [Part(b"a", 0, 3), Part(b"b", 5, 4)]
    assert running(parts) == [(0, parts[0]), (3, parts[1])]
    entry = a_file("f", *parts)
    assert bytes(cut(entry, parts[1], b"0123456789")) == b"5678"
    with pytest.raises(TreeError):
        cut(entry, parts[1], b"012345")


@pytest.mark.parametrize("proved", [True, False])
def test_a_small_file_is_written_at_once_and_compared_unless_it_was(tmp_path: Path, *, proved: bool) -> None:
    data = [memoryview(b"one "), memoryview(b"two")]
    entry = a_file("f", Part(b"x", 0, 7), digest=digest_of(b"one two"))
    with TreeWriter(str(tmp_path)) as writer:
        assert write_batch(writer, [Write(entry, None, last=True, whole=data, proved=proved)]) == 7
        other = a_file("g", Part(b"x", 0, 7), digest=digest_of(b"another"))
        if proved:
            write_batch(writer, [Write(other, None, last=True, whole=data, proved=True)])
        else:
            with pytest.raises(TreeError):
                write_batch(writer, [Write(other, None, last=True, whole=data)])
    assert (tmp_path / "f").read_bytes() == b"one two"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644


def test_a_small_file_of_very_many_parts(tmp_path: Path) -> None:
    data = [memoryview(b"%4d" % number) for number in range(1500)]
    whole = b"".join(data)
    entry = a_file("f", Part(b"x", 0, len(whole)), digest=digest_of(whole))
    with TreeWriter(str(tmp_path)) as writer:
        write_batch(writer, [Write(entry, None, last=True, whole=data)])
    assert (tmp_path / "f").read_bytes() == whole
