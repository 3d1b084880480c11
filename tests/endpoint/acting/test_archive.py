"""Archives of the hostile kinds: refused by a code, and nothing of them lies outside of their folder."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tiercast_endpoint.acting import archive as a
from tiercast_endpoint.acting.archive import unpack
from tiercast_endpoint.acting.prefix import ActError


def tar(path: Path, *entries: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as made:
        for entry in entries:
            if isinstance(entry, tuple):
                one = tarfile.TarInfo(entry[0])
                one.size = len(entry[1])
                made.addfile(one, io.BytesIO(entry[1]))
            else:
                made.addfile(entry)
    return path


def special(name: str, type_: bytes, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.type, one.linkname, one.mode = type_, target, mode
    return one


def code(path: Path, to: Path, strip: int = 0) -> str:
    to.mkdir(exist_ok=True)
    with pytest.raises(ActError) as caught:
        unpack(path, to, strip=strip)
    assert path.name in str(caught.value) or caught.value.code == "archive.bomb"
    return caught.value.code


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_honest_one_is_unpacked(tmp_path: Path, mode: str) -> None:
    program = tarfile.TarInfo("app-1/bin/run")
    program.mode, program.size = 0o755, 0
    path = tar(
        tmp_path / "a.tar",
        ("app-1/share/text", b"hello"),
        program,
        special("app-1/lib", tarfile.SYMTYPE, "share"),
        special("app-1/copy", tarfile.LNKTYPE, "app-1/share/text"),
        special("app-1/empty", tarfile.DIRTYPE, mode=0o500),
        mode=mode,
    )
    (tmp_path / "to").mkdir()
    unpack(path, tmp_path / "to", strip=1)
    assert (tmp_path / "to/lib/text").read_bytes() == b"hello"
    assert (tmp_path / "to/copy").read_bytes() == b"hello"
    assert (tmp_path / "to/bin/run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "to/empty").is_dir()


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([("../out", b"x")], "archive.path"),
        ([("/out", b"x")], "archive.path"),
        ([("a/../../out", b"x")], "archive.path"),
        ([special("l", tarfile.SYMTYPE, "../out")], "archive.link"),
        ([special("l", tarfile.SYMTYPE, "/etc")], "archive.link"),
        ([special("l", tarfile.LNKTYPE, "../out")], "archive.path"),
        ([special("l", tarfile.LNKTYPE, "none")], "archive.link"),
        ([special("l", tarfile.SYMTYPE, "d"), ("l/f", b"x")], "archive.twice"),
        (
            # The second's target is inside as its path reads, and outside from where the first would lead it.
            [
                special("p/q/r", tarfile.SYMTYPE, "../../z"),
                special("p/q/r/x", tarfile.SYMTYPE, "../../../o"),
                ("z/f", b""),
            ],
            "archive.link",
        ),
        ([special("null", tarfile.CHRTYPE)], "archive.device"),
        ([special("disk", tarfile.BLKTYPE)], "archive.device"),
        ([special("pipe", tarfile.FIFOTYPE)], "archive.device"),
        ([special("su", tarfile.REGTYPE, mode=0o4755)], "archive.setuid"),
        ([special("sg", tarfile.DIRTYPE, mode=0o2755)], "archive.setuid"),
        ([special("hole", tarfile.GNUTYPE_SPARSE)], "archive.sparse"),
        ([("f", b"1"), ("f", b"2")], "archive.twice"),
        ([("f", b"1"), ("f/g", b"2")], "archive.twice"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, entries: list[tarfile.TarInfo | tuple[str, bytes]], expected: str) -> None:
    assert code(tar(tmp_path / "a.tar", *entries), tmp_path / "deep") == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "deep"]


def cut_off(path: Path) -> None:
    tar(path, ("f", bytes(100_000)), mode="w:gz")
    path.write_bytes(path.read_bytes()[:-40])


def damaged_bz2(path: Path) -> None:
    tar(path, ("f", bytes(range(256)) * 400), mode="w:bz2")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def no_archive(path: Path) -> None:
    path.write_bytes(b"no archive")


def unknown_method(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("f", b"x")
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.index(mark) + at, 97)
    path.write_bytes(data)


@pytest.mark.parametrize("make", [cut_off, damaged_bz2, no_archive, unknown_method])
def test_what_is_none_or_not_whole_is_told_so(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a")
    assert code(tmp_path / "a", tmp_path / "to") == "archive.invalid"


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(a, "FREE", 1 << 20)
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as made:
        one = tarfile.TarInfo("zeros")
        one.size = 8 << 20
        made.addfile(one, io.BytesIO(bytes(8 << 20)))
    assert code(tmp_path / "a.tgz", tmp_path / "to") == "archive.bomb"
    assert sum(path.stat().st_size for path in (tmp_path / "to").iterdir()) <= 4 << 20
    assert code(tmp_path / "a.tgz", tmp_path / "to2", strip=1) == "archive.bomb", "what is left out costs time, too"
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as made_zip:
        made_zip.writestr("zeros", bytes(8 << 20))
    assert code(tmp_path / "a.zip", tmp_path / "to3") == "archive.bomb"


def test_a_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 64 << 20
    with gzip.open(tmp_path / "a.tgz", "wb") as made:
        made.write(header.tobuf(tarfile.GNU_FORMAT))
        made.write(bytes(64 << 20))
    assert code(tmp_path / "a.tgz", tmp_path / "to") == "archive.bomb"


def test_too_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(a, "MOST_ENTRIES", 100)
    assert code(tar(tmp_path / "a.tar", *((f"f{n}", b"") for n in range(101))), tmp_path / "to") == "archive.many"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        for number in range(101):
            made.writestr(f"f{number}", b"")
    assert code(tmp_path / "a.zip", tmp_path / "to2") == "archive.many"
    path = tar(tmp_path / "b.tar", *((f"top{n}", b"") for n in range(101)))
    assert code(path, tmp_path / "to3", strip=1) == "archive.many"


@pytest.mark.parametrize(
    ("name", "mode", "content", "expected"),
    [
        ("../out", stat.S_IFREG | 0o644, b"x", "archive.path"),
        ("l", stat.S_IFLNK | 0o777, b"../out", "archive.link"),
        ("d", stat.S_IFCHR | 0o644, b"", "archive.device"),
        ("su", stat.S_IFREG | 0o4755, b"", "archive.setuid"),
    ],
)
def test_what_a_zip_may_not_hold(tmp_path: Path, name: str, mode: int, content: bytes, expected: str) -> None:
    one = zipfile.ZipInfo(name)
    one.external_attr = mode << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr(one, content)
    assert code(tmp_path / "a.zip", tmp_path / "to") == expected
    assert not (tmp_path / "out").exists()
