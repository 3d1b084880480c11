"""The port to the file system, on the real one."""

import errno
import os
from pathlib import Path

import pytest

from tiercast_protocol.node import files
from tiercast_protocol.node.files import RealFiles, is_full, make_folder, sync_file_system

FILES = RealFiles()


def test_writes_reads_cuts_and_punches(tmp_path: Path) -> None:
    path = tmp_path / "f"
    file = FILES.open(path)
    file.pwrite(b"x" * 100_000, 0)
    file.pwrite(memoryview(b"hello"), 8192)
    file.write_back(0, 100_000)
    file.datasync()
    file.sync()
    assert file.size() == FILES.size(path) == 100_000
    assert FILES.allocated(path) >= 100_000
    assert FILES.read(path, 8190, 9) == b"xxhelloxx"
    assert FILES.read(path, 99_998, 50) == b"xx"
    assert FILES.read(path, 200_000, 5) == b""
    if file.punch(0, 65_536):
        assert FILES.read(path, 0, 65_537) == bytes(65_536) + b"x"
        assert FILES.allocated(path) < 60_000
    file.truncate(10)
    assert FILES.size(path) == 10
    assert path.stat().st_mode & 0o777 == 0o600
    file.close()
    file.close()


def test_names(tmp_path: Path) -> None:
    make_folder(FILES, tmp_path / "a" / "b")
    make_folder(FILES, tmp_path / "a" / "b")
    FILES.open(tmp_path / "a" / "one").close()
    FILES.rename(tmp_path / "a" / "one", tmp_path / "a" / "two")
    FILES.fsync_folder(tmp_path / "a")
    assert FILES.listdir(tmp_path / "a") == ["b", "two"]
    assert FILES.exists(tmp_path / "a" / "two")
    FILES.unlink(tmp_path / "a" / "two")
    assert not FILES.exists(tmp_path / "a" / "two")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert FILES.free(tmp_path) > 0
    with pytest.raises(FileNotFoundError):
        FILES.read(tmp_path / "none", 0, 1)


def test_what_a_full_disk_is() -> None:
    assert is_full(OSError(errno.ENOSPC, ""))
    assert is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(OSError(errno.EIO, ""))
    assert not is_full(ValueError())


def test_a_file_system_is_synced_or_it_is_told_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"data")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert files.SYNCS_FILE_SYSTEMS
        sync_file_system(fd)
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_file_system(fd)
    monkeypatch.setattr(files, "_syncfs", None)
    with pytest.raises(OSError, match="not implemented"):
        sync_file_system(0)
