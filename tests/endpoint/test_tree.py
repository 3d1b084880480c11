"""Trees are written, read and deleted without following a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tiercast_endpoint.tree import (
    ALL_MODES,
    OpenTree,
    TreeError,
    TreeWriter,
    delete_tree,
    digest_of_file,
    paths_of,
)
from tiercast_protocol.content.digest import digest_of


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


def test_reading_follows_no_link_and_waits_for_no_pipe(top: Path) -> None:
    (top / "l").symlink_to("../outside/secret")
    (top / "f").write_bytes(b"data")
    os.mkfifo(top / "pipe")
    with OpenTree(str(top)) as tree:
        assert digest_of_file(tree, "f")[:2] == (digest_of(b"data"), 4)
        with pytest.raises(OSError, match="symbolic"):
            tree.open_file("l")
        with pytest.raises(TreeError):
            tree.open_file("pipe")


def test_deleting_takes_links_and_not_what_they_lead_to(top: Path) -> None:
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/l").symlink_to("../../../outside")
    (top / "a/f").write_text("x")
    (top / "a/b").chmod(0o500)
    fd = os.open(top.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        delete_tree(fd, "tree")
        delete_tree(fd, "tree")
    finally:
        os.close(fd)
    assert not top.exists()
    assert (top.parent / "outside/secret").exists()


def test_many_folders_need_few_descriptors(top: Path) -> None:
    with TreeWriter(str(top)) as writer:
        for number in range(200):
            writer.add_folder(f"d{number}", 0o755)
            write_file(writer, f"d{number}/f", b"x")
            writer.flush()
        assert len(list(Path("/proc/self/fd").iterdir())) < 100
        writer.finish()
    assert len(list(paths_of(str(top)))) == 400


def test_two_thousand_folders_deep(top: Path) -> None:
    deep = "/".join("d" * 2000)
    with TreeWriter(str(top)) as writer:
        for depth in range(1, 2001):
            writer.add_folder(deep[: 2 * depth - 1], 0o555)
        write_file(writer, deep + "/f", b"x")
        writer.finish()
    assert sum(1 for _ in paths_of(str(top))) == 2001
    fd = os.open(top.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        delete_tree(fd, "tree")
    finally:
        os.close(fd)
    assert [p.name for p in top.parent.iterdir()] == ["outside"]
