"""Trees are read and deleted without following a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tiercast_endpoint.trees.tree import OpenTree, TreeError, delete_tree, digest_of_file, paths_of
from tiercast_endpoint.trees.treewriter import TreeWriter
from tiercast_protocol.content.sealed.digest import digest_of


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    return tmp_path / "tree"


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


def test_a_deletion_that_was_cut_off_is_repeated_over_what_it_left(top: Path) -> None:
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/f").write_text("x")
    (top.parent / ".rest-tree-1/c").mkdir(parents=True)
    (top.parent / ".rest-tree-1/g").write_text("left")
    (top.parent / ".rest-tree-2/d").mkdir(parents=True)
    fd = os.open(top.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        delete_tree(fd, "tree")
    finally:
        os.close(fd)
    assert [path.name for path in top.parent.iterdir()] == ["outside"]


def test_two_thousand_folders_deep(top: Path) -> None:
    deep = "/".join("d" * 2000)
    with TreeWriter(str(top)) as writer:
        for depth in range(1, 2001):
            writer.add_folder(deep[: 2 * depth - 1], 0o555)
        writer.begin_file(deep + "/f", 0o644)
        writer.end_file(digest_of(b""))
        writer.finish()
    assert sum(1 for _ in paths_of(str(top))) == 2001
    fd = os.open(top.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        delete_tree(fd, "tree")
    finally:
        os.close(fd)
    assert [p.name for p in top.parent.iterdir()] == ["outside"]
