"""What is synced for whom: each file, or each file system once; names by their folders."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from tiercast_endpoint.acting import syncing
from tiercast_endpoint.acting.prefix import Prefix
from tiercast_protocol.node import files


class Disk:
    """Counts what is asked to be synced; answers as the kernel would that can or can't."""

    def __init__(self, answer: int = 0) -> None:
        self.files: list[str] = []
        self.whole: list[str] = []
        self._answer = answer

    def fsync(self, fd: int) -> None:
        self.files.append(str(Path(f"/proc/self/fd/{fd}").readlink()))

    def syncfs(self, fd: int) -> int:
        self.whole.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        ctypes.set_errno(errno.EIO)
        return self._answer


@pytest.fixture(name="disk")
def _disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    monkeypatch.setattr(files, "_syncfs", disk.syncfs)
    return disk


def test_few_files_one_by_one_and_many_by_their_file_system(tmp_path: Path, disk: Disk) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    names = [f"f{number}" for number in range(syncing._MANY + 1)]
    for name in names:
        (tmp_path / "a/b" / name).touch()
    syncing.sync_files(Prefix(tmp_path), [("/a/b", name) for name in names[:3]], [])
    assert disk.files == [str(tmp_path / "a/b" / name) for name in names[:3]]
    syncing.sync_files(Prefix(tmp_path), [("/a/b", name) for name in names], [])
    syncing.sync_files(Prefix(tmp_path), [], ["/a"])
    assert disk.whole == [str(tmp_path / "a/b"), str(tmp_path / "a")]
    assert len(disk.files) == 3


def test_names_by_their_folders_and_none_of_what_is_gone(tmp_path: Path, disk: Disk) -> None:
    (tmp_path / "a").mkdir()
    syncing.sync_folders(Prefix(tmp_path), ["/a", "/a", "", "/gone"])
    assert disk.files == [str(tmp_path), str(tmp_path / "a")]


def test_a_disk_that_can_not_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_syncfs", Disk(answer=-1).syncfs)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        syncing.sync_files(Prefix(tmp_path), [], [""])
