"""The install root: names switch by one rename, and what is not ours stays."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiercast_endpoint.trees import root_folder
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.tree import TreeError

ONE, TWO = bytes(range(32)), bytes(range(32, 64))


@pytest.fixture
def root(tmp_path: Path) -> Iterator[RootFolder]:
    root = RootFolder(tmp_path / "root")
    root.open()
    yield root
    root.close()


def stage(root: RootFolder, key: str, digest: bytes, text: str) -> str:
    folder = root.fresh_staging(key)
    (folder / "f").write_text(text)
    return root.adopt(key, "app", digest)


def test_what_would_not_open_is_known_before_and_nothing_is_made(tmp_path: Path, root: RootFolder) -> None:
    RootFolder(tmp_path / "new" / "deep").check()
    assert not (tmp_path / "new").exists()
    with pytest.raises(TreeError, match="another agent"):
        RootFolder(root.path).check()
    root.close()
    RootFolder(root.path).check()
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(TreeError, match="is no folder"):
            RootFolder(wrong).check()


def test_a_root_that_may_not_be_written_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(TreeError, match="may not write"):
        RootFolder(tmp_path / "apps").check()


def test_switch_back_and_unlink(root: RootFolder) -> None:
    one, two = stage(root, "j1", ONE, "one"), stage(root, "j2", TWO, "two")
    assert root.current("app") is None
    root.switch("app", one)
    root.switch("app", one)
    assert (root.path / "app/f").read_text() == "one"
    root.switch("app", two)
    assert (root.path / "app/f").read_text() == "two"
    assert root.current("app") == two
    root.switch("app", one)
    assert root.current("app") == one
    assert root.unlink("app")
    assert not root.unlink("app")
    assert root.trees() == [one, two]
    assert root.sweep({one}) == 1
    assert root.trees() == [one]
    root.delete_tree(one)
    root.delete_tree(one)
    assert list((root.path / ".trees").iterdir()) == []


def test_a_reader_never_finds_nothing(root: RootFolder) -> None:
    trees = [stage(root, "j1", ONE, "one"), stage(root, "j2", TWO, "two")]
    root.switch("app", trees[0])
    seen: set[str] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add((root.path / "app/f").read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(300):
        root.switch("app", trees[number % 2])
    stop.set()
    reader.join()
    assert seen <= {"one", "two"}


def test_the_same_content_again_gets_a_place_of_its_own(root: RootFolder) -> None:
    first, second = stage(root, "j1", ONE, "damaged"), stage(root, "j2", ONE, "whole")
    assert second == first + "-2"


@pytest.mark.parametrize("kind", ["file", "folder", "link outside", "link to another"])
def test_what_is_not_ours_stays(root: RootFolder, kind: str) -> None:
    path = root.path / "app"
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/etc" if kind == "link outside" else f".trees/other/{ONE.hex()[:16]}")
    tree = stage(root, "j1", ONE, "one")
    for attempt in (lambda: root.switch("app", tree), lambda: root.unlink("app"), lambda: root.current("app")):
        with pytest.raises(TreeError) as raised:
            attempt()
        assert raised.value.code == "path.foreign"
    assert os.path.lexists(path)


def test_names_and_trees_that_are_none(root: RootFolder) -> None:
    for name in ("..", "a/b", "", ".trees"):
        with pytest.raises(TreeError):
            root.current(name)
    for tree in ("/etc", ".trees/../x", ".trees/app/..", "app"):
        with pytest.raises(TreeError):
            root.delete_tree(tree)
        assert not root.exists(tree)


def test_sweeping_leaves_what_a_name_leads_to(root: RootFolder) -> None:
    one = stage(root, "j1", ONE, "one")
    root.switch("app", one)
    root.fresh_staging("half").joinpath("f").write_text("half")
    assert root.sweep([]) == 0
    assert root.trees() == [one]
    assert list((root.path / ".staging").iterdir()) == []


def test_a_root_whose_folders_are_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/.trees").symlink_to("../elsewhere")
    with pytest.raises(TreeError) as raised:
        RootFolder(tmp_path / "root").open()
    assert raised.value.code == "root.foreign"


def test_one_agent_per_root(root: RootFolder) -> None:
    other = RootFolder(root.path)
    with pytest.raises(TreeError) as raised:
        other.open()
    assert raised.value.code == "root.taken"
    root.close()
    other.open()
    other.close()


def test_every_change_of_a_name_is_synced_before_it_is_told(root: RootFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    plain = root_folder._fsync_folder

    def fsync_folder(path: Path) -> None:
        synced.append(str(path.relative_to(root.path)))
        plain(path)

    monkeypatch.setattr(root_folder, "_fsync_folder", fsync_folder)
    root.fresh_staging("j1")
    tree = root.adopt("j1", "app", ONE)
    assert synced == [".trees", ".trees/app", ".staging"]
    for change in (lambda: root.switch("app", tree), lambda: root.switch("app", tree), lambda: root.unlink("app")):
        synced.clear()
        change()
        assert synced == ["."]
    synced.clear()
    root.delete_tree(tree)
    assert synced == [".trees/app"]


def test_what_was_deleted_by_hand_stands_no_more(root: RootFolder) -> None:
    assert not root.stands("app")
    tree = stage(root, "k1", ONE, "one")
    root.switch("app", tree)
    assert root.stands("app")
    root.delete_tree(tree)
    assert not root.stands("app")
    (root.path / "app").unlink()
    (root.path / "app").mkdir()
    assert not root.stands("app"), "not what we put there"
