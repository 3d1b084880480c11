"""The port to the file system, on the real one."""

from pathlib import Path

import pytest

from tiercast_protocol.node.files import RealFiles, make_folder

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
