"""Trees are written without following a link, large files in any order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tiercast_endpoint.trees.tree import ALL_MODES, TreeError, paths_of
from tiercast_endpoint.trees.treewriter import TreeWriter
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.transfer.ranges import RangeSet


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    return tmp_path / "tree"


def write_file(writer: TreeWriter, path: str, data: bytes, mode: int = 0o644) -> None:
    writer.begin_file(path, mode)
    writer.write(memoryview(data))
    writer.end_file(digest_of(data))


def test_files_folders_and_links_get_their_modes(top: Path) -> None:
    synced: list[str] = []

    def fsync(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        os.fsync(fd)

    with TreeWriter(str(top), fsync=fsync) as writer:
        writer.add_folder("a", 0o500)
        writer.add_folder("a/b", 0o755)
        write_file(writer, "a/b/f", b"data", 0o4755)
        writer.add_link("a/l", "b/f")
        writer.finish()
    assert (top / "a/b/f").read_bytes() == b"data"
    assert (top / "a/b/f").stat().st_mode & 0o7777 == 0o755, "no set-user-id"
    assert (top / "a").stat().st_mode & 0o777 == 0o500
    assert (top / "a/l").readlink() == Path("b/f")
    assert set(synced) == {str(top), str(top / "a"), str(top / "a/b"), str(top / "a/b/f")}
    assert sorted(paths_of(str(top))) == ["a", "a/b", "a/b/f", "a/l"]


def test_a_tree_of_many_files_is_synced_once_after_all_else(top: Path) -> None:
    synced: list[list[str]] = []

    def each(fd: int) -> None:
        raise AssertionError(fd)

    def all_of_it(fd: int) -> None:
        assert Path(f"/proc/self/fd/{fd}").readlink() == top
        assert (top / "a").stat().st_mode & 0o777 == 0o500
        synced.append(sorted(paths_of(str(top))))

    with TreeWriter(str(top), fsync=each, sync_all=all_of_it, many=True) as writer:
        writer.add_folder("a", 0o500)
        write_file(writer, "a/f", b"data")
        writer.flush()
        writer.grow("a/g").put(0, [b"large"])
        writer.end_growing("a/g", 0o644, digest_of(b"large"), 5)
        writer.add_link("a/l", "f")
        assert not synced
        writer.finish()
    assert synced == [["a", "a/f", "a/g", "a/l"]]


def test_a_definition_may_allow_set_user_id(top: Path) -> None:
    with TreeWriter(str(top), modes=ALL_MODES) as writer:
        write_file(writer, "f", b"data", 0o4755)
        writer.finish()
    assert (top / "f").stat().st_mode & 0o7777 == 0o4755


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/etc/x", "a//b", ".", "", "x/..", "nul\0", "n\0/x"])
def test_paths_that_aim_outside(top: Path, path: str) -> None:
    with TreeWriter(str(top)) as writer, pytest.raises((TreeError, ValueError)):
        writer.begin_file(path, 0o644)
    with TreeWriter(str(top)) as writer, pytest.raises((TreeError, ValueError)):
        writer.add_folder(path, 0o755)
    with TreeWriter(str(top)) as writer, pytest.raises((TreeError, ValueError)):
        writer.add_link(path, "x")
    assert [p.name for p in top.parent.iterdir() if p.name not in {"tree", "outside"}] == []


def test_nothing_is_written_through_a_planted_link(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        (top / "a").symlink_to("../outside")
        for attack in (
            lambda: writer.begin_file("a/new", 0o644),
            lambda: writer.add_folder("a/new", 0o755),
            lambda: writer.add_link("a/new", "x"),
            lambda: writer.begin_file("a", 0o644),
            lambda: writer.add_folder("a", 0o755),
        ):
            with pytest.raises(TreeError):
                attack()
        (top / "f").symlink_to("../outside/secret")
        with pytest.raises(TreeError, match="twice"):
            writer.begin_file("f", 0o644)
    assert sorted(p.name for p in (top.parent / "outside").iterdir()) == ["secret"]
    assert (top.parent / "outside/secret").read_text() == "secret"


def test_a_link_swapped_in_for_a_folder_is_noticed_when_modes_are_set(top: Path) -> None:
    (top.parent / "outside").chmod(0o700)
    with TreeWriter(str(top)) as writer:
        writer.add_folder("a", 0o777)
        (top / "a").rmdir()
        (top / "a").symlink_to("../outside")
        with pytest.raises(TreeError):
            writer.finish()
    assert (top.parent / "outside").stat().st_mode & 0o777 == 0o700


def test_a_file_that_does_not_add_up(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        writer.begin_file("f", 0o644)
        writer.write(memoryview(b"data"))
        with pytest.raises(TreeError) as raised:
            writer.end_file(digest_of(b"other"))
    assert raised.value.code == "tree.digest"


def test_a_name_that_is_there_twice(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        write_file(writer, "f", b"1")
        with pytest.raises(TreeError) as raised:
            writer.begin_file("f", 0o644)
    assert raised.value.code == "tree.collision"


def test_a_name_that_the_file_system_refuses(top: Path) -> None:
    with TreeWriter(str(top)) as writer, pytest.raises(TreeError) as raised:
        writer.begin_file("x" * 300, 0o644)
    assert raised.value.code == "tree.path"


def test_many_folders_need_few_descriptors(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        for number in range(200):
            writer.add_folder(f"d{number}", 0o755)
            write_file(writer, f"d{number}/f", b"x")
            writer.flush()
        assert len(list(Path("/proc/self/fd").iterdir())) < 100
        writer.finish()
    assert len(list(paths_of(str(top)))) == 400


# -- large files ---------------------------------------------------------------------------------------

BIG = os.urandom(5000)


def test_a_large_file_may_come_before_its_folders(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        writer.grow("a/b/big").put(3000, [BIG[3000:]])
        writer.add_folder("a", 0o755)
        writer.add_folder("a/b", 0o500)
        writer.grow("a/b/big").put(0, [BIG[:3000]])
        writer.end_growing("a/b/big", 0o4755, digest_of(BIG), len(BIG))
        writer.finish()
    assert (top / "a/b/big").read_bytes() == BIG
    assert (top / "a/b/big").stat().st_mode & 0o7777 == 0o755
    assert (top / "a/b").stat().st_mode & 0o777 == 0o500


def test_a_folder_that_nobody_adds_does_not_belong_there(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        writer.grow("a/big").put(0, [BIG])
        writer.end_growing("a/big", 0o644, digest_of(BIG), len(BIG))
        with pytest.raises(TreeError, match="belong"):
            writer.finish()


@pytest.mark.parametrize("put", [BIG[:-1], BIG + b"x", b"x" + BIG[1:]])
def test_a_large_file_that_does_not_add_up(top: Path, put: bytes) -> None:
    with TreeWriter(str(top)) as writer:
        writer.grow("big").put(0, [put])
        with pytest.raises(TreeError) as raised:
            writer.end_growing("big", 0o644, digest_of(BIG), len(BIG))
    assert raised.value.code == "tree.digest"


def test_a_large_file_that_is_there_twice(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        writer.grow("big").put(0, [BIG])
        writer.end_growing("big", 0o644, digest_of(BIG), len(BIG))
        with pytest.raises(TreeError) as raised:
            writer.grow("big")
        write_file(writer, "small", b"1")
        with pytest.raises(TreeError):
            writer.grow("small")
    assert raised.value.code == "tree.collision"


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/etc/x", "a//b", ".", "", "x/.."])
def test_large_files_aim_nowhere_else(top: Path, path: str) -> None:
    with TreeWriter(str(top)) as writer, pytest.raises((TreeError, ValueError)):
        writer.grow(path)
    assert [p.name for p in top.parent.iterdir() if p.name not in {"tree", "outside"}] == []


def test_no_large_file_grows_through_a_planted_link(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        (top / "a").symlink_to("../outside")
        with pytest.raises(TreeError):
            writer.grow("a/new")
        (top / "f").symlink_to("../outside/secret")
        with pytest.raises(TreeError):
            writer.grow("f")
    assert (top.parent / "outside/secret").read_text() == "secret"


def test_a_file_swapped_for_a_link_while_it_was_parked(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        file = writer.grow("f")
        file.put(0, [b"data"])
        file.park()
        (top / "f").unlink()
        (top / "f").symlink_to("../outside/secret")
        with pytest.raises(OSError, match="symbolic"):
            file.put(4, [b"more"])
        (top / "f").unlink()
        os.link(top.parent / "outside/secret", top / "f")
        with pytest.raises(TreeError):
            file.put(4, [b"more"])
    assert (top.parent / "outside/secret").read_text() == "secret"


def test_many_growing_files_need_few_descriptors(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        for number in range(300):
            writer.grow(f"f{number}").put(0, [b"x"])
        assert len(list(Path("/proc/self/fd").iterdir())) < 150
        for number in range(300):
            writer.grow(f"f{number}").put(1, [b"y"])
            writer.end_growing(f"f{number}", 0o644, digest_of(b"xy"), 2)
        writer.finish()


def test_what_an_earlier_life_left(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        writer.grow("a/big").put(0, [BIG[:3000]])
        writer.add_folder("b", 0o755)
        write_file(writer, "b/small", b"half")
        writer.grow("done").put(0, [BIG])
        writer.end_growing("done", 0o444, digest_of(BIG), len(BIG))
    claimed = {path: RangeSet() for path in ("a/big", "done", "gone")}
    for path, end in (("a/big", 3000), ("done", len(BIG)), ("gone", 7)):
        claimed[path].add(0, end)
    (top / "b/link").symlink_to("../../outside/secret")
    with TreeWriter(str(top), claimed=claimed) as writer:
        assert sorted(paths_of(str(top))) == ["a", "a/big", "b", "done"]
        for folder in ("a", "b"):
            writer.add_folder(folder, 0o755)
        write_file(writer, "b/small", b"whole")
        for path, end in (("a/big", 3000), ("done", len(BIG))):
            file = writer.grow(path)
            file.prove([(0, end, digest_of(BIG[:end]))])
            assert file.covers(0, end)
        writer.grow("a/big").put(3000, [BIG[3000:]])
        for path in ("a/big", "done"):
            writer.end_growing(path, 0o444, digest_of(BIG), len(BIG))
        writer.finish()
    assert (top / "a/big").read_bytes() == (top / "done").read_bytes() == BIG
