"""The journal: together or not at all, torn ends, damage, compaction, full disks."""

import errno
from pathlib import Path

import pytest

from tiercast_protocol.errors import StateError, StoreFull
from tiercast_protocol.node.files import RealFile, RealFiles
from tiercast_protocol.node.journal import Journal

FILES = RealFiles()


def test_what_was_appended_is_there_after_reopening(tmp_path: Path) -> None:
    journal = Journal(FILES, tmp_path / "j")
    assert journal.records == []
    journal.append(b"one")
    journal.append(b"two", b"", b"three" * 1000)
    journal.close()
    again = Journal(FILES, tmp_path / "j")
    assert again.records == [b"one", b"two", b"", b"three" * 1000]
    again.append(b"four")
    again.close()
    assert Journal(FILES, tmp_path / "j").records[-1] == b"four"


def test_a_torn_end_is_cut_off_wherever_it_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(FILES, path)
    journal.append(b"one")
    before = path.stat().st_size
    journal.append(b"two", b"three")
    journal.close()
    whole = path.read_bytes()
    for length in range(before, len(whole)):
        for rest in (b"", bytes(len(whole) - length)):
            path.write_bytes(whole[:length] + rest)
            torn = Journal(FILES, path)
            kept = torn.records
            assert kept == [b"one"], length
            assert path.stat().st_size == before
            torn.append(b"new")
            torn.close()
            assert Journal(FILES, path).records == [b"one", b"new"]


def test_damage_before_the_end_is_said_and_nothing_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(FILES, path)
    journal.append(b"one")
    at = path.stat().st_size - 2
    journal.append(b"two")
    journal.close()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(StateError, match="damaged"):
        Journal(FILES, path)
    assert path.read_bytes() == data
    path.write_bytes(b"something else")
    with pytest.raises(StateError, match="damaged at byte 0"):
        Journal(FILES, path)


def test_compaction_replaces_everything(tmp_path: Path) -> None:
    journal = Journal(FILES, tmp_path / "j")
    for n in range(100):
        journal.append(b"x" * 100 + bytes([n]))
    size = (tmp_path / "j").stat().st_size
    journal.compact([b"kept"])
    journal.append(b"new")
    journal.close()
    assert (tmp_path / "j").stat().st_size < size / 10
    assert Journal(FILES, tmp_path / "j").records == [b"kept", b"new"]
    assert [p.name for p in tmp_path.iterdir()] == ["j"]


class Failing(RealFiles):
    def __init__(self) -> None:
        self.full = self.failing = False

    def open(self, path: Path) -> RealFile:
        file = RealFile(path)
        pwrite, datasync = file.pwrite, file.datasync

        def half(data: bytes, offset: int) -> None:
            if self.full:
                pwrite(data[: len(data) // 2], offset)
                raise OSError(errno.ENOSPC, "No space left on device")
            pwrite(data, offset)

        def fail() -> None:
            if self.failing:
                raise OSError(errno.EIO, "Input/output error")
            datasync()

        file.pwrite, file.datasync = half, fail
        return file


def test_a_full_disk_leaves_it_as_it_was(tmp_path: Path) -> None:
    files = Failing()
    journal = Journal(files, tmp_path / "j")
    journal.append(b"one")
    files.full = True
    for act in (lambda: journal.append(b"two"), lambda: journal.compact([b"three"])):
        with pytest.raises(StoreFull):
            act()
    files.full = False
    journal.append(b"four")
    journal.close()
    assert Journal(FILES, tmp_path / "j").records == [b"one", b"four"]
    assert [p.name for p in tmp_path.iterdir()] == ["j"]


def test_after_a_failed_sync_nothing_more_is_promised(tmp_path: Path) -> None:
    files = Failing()
    journal = Journal(files, tmp_path / "j")
    files.failing = True
    with pytest.raises(StateError):
        journal.append(b"one")
    files.failing = False
    with pytest.raises(StateError, match="closed"):
        journal.append(b"two")


def test_a_record_too_large_is_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="journal"):
        Journal(FILES, tmp_path / "j").append(bytes(17 << 20))
