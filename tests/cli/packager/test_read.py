"""Reading: bounded, in order, and never a file that changes under our hands."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tiercast_cli.packager.read import TreeReader
from tiercast_cli.packager.scan import Found, scan
from tiercast_protocol.content.sealed.chunking import TC1
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, check_entries
from tiercast_protocol.errors import UsageError


def made(top: Path, seed: int = 1, files: int = 60) -> Path:
    chance = random.Random(seed)
    for n in range(files):
        folder = top / f"dir{n % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        size = chance.choice([0, 10, 3000, 20_000, TC1.pack_below - 1, TC1.pack_below, 300_000])
        (folder / f"file{n:03}").write_bytes(chance.randbytes(size))
    (top / "dir0" / "link").symlink_to("file000")
    return top


def read(top: Path) -> tuple[dict[bytes, bytes], list[Entry]]:
    reader = TreeReader(top, scan(top))
    chunks, entries = {}, []
    for digest, raw in reader.chunks():
        assert digest == digest_of(raw)
        chunks[digest] = raw
        entries += reader.take_entries()
    return chunks, entries + reader.take_entries()


def test_the_tree_can_be_made_again(tmp_path: Path) -> None:
    top = made(tmp_path / "t")
    chunks, entries = read(top)
    check_entries(entries)
    assert len(entries) == 60 + 7 + 1
    for entry in entries:
        if entry.kind is Kind.FILE:
            content = b"".join(chunks[part.digest][part.offset : part.offset + part.length] for part in entry.parts)
            assert content == (top / entry.path).read_bytes()
            assert entry.digest == digest_of(content)
            assert entry.size == len(content)


def test_small_files_share_chunks(tmp_path: Path) -> None:
    for n in range(100):
        (tmp_path / f"f{n}").write_bytes(random.Random(n).randbytes(1000))
    chunks, entries = read(tmp_path)
    assert len(chunks) == 1
    assert {part.digest for entry in entries for part in entry.parts} == set(chunks)


def test_an_edit_changes_its_pack_alone(tmp_path: Path) -> None:
    for n in range(400):
        (tmp_path / f"f{n:03}").write_bytes(random.Random(n).randbytes(2000))
    before, _ = read(tmp_path)
    assert len(before) > 4
    costs = []
    for n in range(0, 400, 40):
        kept = (tmp_path / f"f{n:03}").read_bytes()
        (tmp_path / f"f{n:03}").write_bytes(kept[:-1] + b"!")
        costs.append(len(read(tmp_path)[0].keys() - before.keys()))
        (tmp_path / f"f{n:03}").write_bytes(kept)
    assert max(costs) <= 3  # a cut that the edited file made may go, or one may come
    assert sum(costs) <= len(costs) * 1.5


def test_a_renamed_folder_keeps_its_packs(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    for n in range(300):
        (tmp_path / "v1" / f"f{n:03}").write_bytes(random.Random(n).randbytes(2000))
    before, _ = read(tmp_path)
    (tmp_path / "v1").rename(tmp_path / "v2")
    assert read(tmp_path)[0] == before


def grow(path: Path, _: Found) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path, found: Found) -> None:
    os.truncate(path, found.stamp.size - 1)


def replace(path: Path, found: Found) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(found.stamp.size))
    os.utime(other, ns=(found.stamp.mtime_ns, found.stamp.mtime_ns))
    other.rename(path)


def touch(path: Path, found: Found) -> None:
    os.utime(path, ns=(found.stamp.mtime_ns, found.stamp.mtime_ns + 1))


@pytest.mark.parametrize("size", [1000, 500_000])
@pytest.mark.parametrize("change", [grow, shrink, replace, touch])
def test_a_file_that_changed_since_the_scan(tmp_path: Path, size: int, change: Callable[[Path, Found], None]) -> None:
    path = tmp_path / "log"
    path.write_bytes(bytes(size))
    found = scan(tmp_path)
    change(path, found[0])
    with pytest.raises(UsageError, match="changed while") as caught:
        list(TreeReader(tmp_path, found).chunks())
    assert caught.value.code == "tree.changed"
    assert caught.value.where == str(path)


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(random.Random(1).randbytes(2_000_000))
    reader = TreeReader(tmp_path, scan(tmp_path)).chunks()
    next(reader)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(UsageError, match="changed while"):
        list(reader)


def test_a_file_that_became_something_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    found = scan(tmp_path)
    path.unlink()
    with pytest.raises(UsageError, match="No such file"):
        list(TreeReader(tmp_path, found).chunks())
    path.symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match="can't be read"):
        list(TreeReader(tmp_path, found).chunks())
    path.unlink()
    os.mkfifo(path)  # must not wait for a writer
    with pytest.raises(UsageError, match="changed while"):
        list(TreeReader(tmp_path, found).chunks())


def test_a_pack_holds_files_of_one_file_group(tmp_path: Path) -> None:
    for path in ("arm/a", "arm/b", "bin/c", "common", "pc/a", "pc/b"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(path * 9)
    reader = TreeReader(tmp_path, scan(tmp_path), groups=("arm", "pc"))
    assert len(list(reader.chunks())) == 3
    packs: dict[bytes, list[str]] = {}
    for entry in reader.take_entries():
        for part in entry.parts:
            packs.setdefault(part.digest, []).append(entry.path)
    assert sorted(packs.values()) == [["arm/a", "arm/b"], ["bin/c", "common"], ["pc/a", "pc/b"]]
