"""Media: written, cut off, gone on with, and hostile."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tiercast_cli.library import media
from tiercast_cli.library.media import HEAD, INDEX, OnMedia, Reader, Writer, pack_name, read_index
from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.errors import ChunkCorrupt, UsageError

RNG = random.Random(7)
CHUNKS = dict(seal(RNG.randbytes(size)) for size in (1, 3000, 262_144, 50, 70_000))
ROOT = next(iter(CHUNKS))
PACKAGE = OnMedia(ROOT, "tool", "1.0", 1)


def written(folder: Path) -> Path:
    writer = Writer(folder)
    for digest, stored in CHUNKS.items():
        writer.add(digest, stored)
    writer.finish(PACKAGE)
    writer.close()
    return folder


def read_all(folder: Path) -> dict[bytes, bytes]:
    contents = read_index(folder)
    reader = Reader(folder, contents)
    try:
        return {digest: reader.chunk(digest) for digest in contents.chunks}
    finally:
        reader.close()


def test_what_was_written_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "PACK_BYTES", 100_000)
    folder = written(tmp_path / "stick")
    assert read_all(folder) == CHUNKS
    assert read_index(folder).packages == {ROOT: PACKAGE}
    assert len(list(folder.glob("*.pack"))) > 1
    written(folder)
    assert read_all(folder) == CHUNKS, "again it is the same"


@pytest.mark.parametrize("cut", range(0, 700, 23))
def test_cut_off_anywhere_it_goes_on(tmp_path: Path, cut: int) -> None:
    folder = written(tmp_path / "stick")
    index, pack = folder / INDEX, folder / pack_name(1)
    os.truncate(index, max(len(HEAD) + 1, index.stat().st_size - cut))
    with pack.open("ab") as file:
        file.write(b"what was not indexed yet")
    assert read_all(folder).items() <= CHUNKS.items()
    written(folder)
    assert read_all(folder) == CHUNKS
    assert read_index(folder).packages == {ROOT: PACKAGE}


def test_damage_is_told_by_chunk_and_the_rest_serves(tmp_path: Path) -> None:
    folder = written(tmp_path / "stick")
    pack = folder / pack_name(1)
    data = bytearray(pack.read_bytes())
    data[1000] ^= 1
    pack.write_bytes(data[:-10])
    contents = read_index(folder)
    reader = Reader(folder, contents)
    bad = []
    for digest in contents.chunks:
        try:
            assert reader.chunk(digest) == CHUNKS[digest]
        except ChunkCorrupt as error:
            bad.append(error.reason)
    reader.close()
    assert len(bad) == 2


HEX = "a" * 64


@pytest.mark.parametrize(
    "line",
    [
        "#!/bin/sh",
        "chunk",
        f"chunk {HEX} ../../etc/shadow 0 10",
        f"chunk {HEX} 1 0 9999999",
        f"chunk {HEX} 1 0 0",
        f"chunk {HEX} 1 -5 10",
        f"package {HEX} na\x1b[2Jme 1 1",
        f"package {HEX} name 1",
        "\x00" * 50,
        "chunk " + "a" * 100_000,
    ],
)
def test_lines_that_make_no_sense_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / INDEX).write_text(f"{HEAD}\n{line}\n")
    with pytest.raises(UsageError, match="Line 2") as caught:
        read_index(tmp_path)
    assert caught.value.code == "media.invalid"
    assert len(caught.value.what) < 200


def test_links_devices_and_giants_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / INDEX).symlink_to(secret)
    with pytest.raises(UsageError) as caught:
        read_index(stick)
    assert caught.value.code == "media.none"
    with pytest.raises(UsageError):
        Writer(stick)
    assert secret.read_text() == "mine"
    (stick / INDEX).unlink()
    os.mkfifo(stick / INDEX)
    with pytest.raises(UsageError, match="no plain file"):
        read_index(stick)
    (stick / INDEX).unlink()
    (stick / INDEX).write_text(HEAD + "\n")
    monkeypatch.setattr(media, "MOST_INDEX", 10)
    with pytest.raises(UsageError, match="at most 10"):
        read_index(stick)
    monkeypatch.undo()
    monkeypatch.setattr(media, "MOST_CHUNKS", 1)
    lines = "".join(f"chunk {digit * 64} 1 0 10\n" for digit in "abc")
    (stick / INDEX).write_text(f"{HEAD}\n{lines}")
    with pytest.raises(UsageError, match="more than 1 chunks"):
        read_index(stick)


def test_a_pack_that_is_a_link_gives_no_chunk(tmp_path: Path) -> None:
    folder = written(tmp_path / "stick")
    elsewhere = tmp_path / "elsewhere"
    (folder / pack_name(1)).rename(elsewhere)
    (folder / pack_name(1)).symlink_to(elsewhere)
    contents = read_index(folder)
    with pytest.raises(ChunkCorrupt):
        Reader(folder, contents).chunk(ROOT)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis\.odt"):
        Writer(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.odt"]


@pytest.mark.parametrize("text", ["", HEAD, "tiercast-media 2\n", "something else\n"])
def test_no_media_at_all(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(UsageError, match="Line 1"):
        read_index(tmp_path)
    with pytest.raises(UsageError, match="can't be read"):
        read_index(tmp_path / "nowhere")
