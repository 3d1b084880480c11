"""The recording disk itself: it must be as cruel as it says, and no crueller."""

import random
from pathlib import Path

from tests.crash.recording import RecordingDisk, RecordingFiles, connect_to

from tiercast_protocol.node.database import Database

A = Path("/a")


def test_unsynced_writes_and_names_are_lost_and_synced_ones_are_not() -> None:
    disk = RecordingDisk()
    files = RecordingFiles(disk)
    file = files.open(A)
    file.pwrite(b"hello", 0)
    assert disk.crash(len(disk.operations)).files == {}
    file.datasync()
    assert disk.crash(len(disk.operations)).files == {}
    files.fsync_folder(A.parent)
    file.pwrite(b"J", 0)
    everything = len(disk.operations)
    assert disk.crash(everything).files == {"/a": b"hello"}
    assert disk.crash(everything, None, 1.0).files == {"/a": b"Jello"}
    assert disk.crash(1, None, 1.0).files == {"/a": b""}


def test_a_rename_is_old_or_new_and_folders_hold_what_is_in_them() -> None:
    disk = RecordingDisk()
    files = RecordingFiles(disk)
    files.mkdir(Path("/d"))
    file = files.open(Path("/d/x"))
    file.pwrite(b"1", 0)
    file.sync()
    files.fsync_folder(Path("/d"))
    assert disk.crash(len(disk.operations)).files == {}  # the folder's own name was not synced
    files.fsync_folder(Path("/"))
    files.rename(Path("/d/x"), Path("/d/y"))
    end = len(disk.operations)
    assert disk.crash(end).files == {"/d/x": b"1"}
    assert disk.crash(end, None, 1.0).files == {"/d/y": b"1"}


def test_writes_are_torn_at_pages_and_bytes() -> None:
    disk = RecordingDisk()
    files = RecordingFiles(disk)
    file = files.open(A)
    files.fsync_folder(A.parent)
    file.pwrite(b"x" * 20_000, 0)
    end = len(disk.operations)
    found = {disk.crash(end, random.Random(n), 0.5).files["/a"] for n in range(200)}
    assert any(0 < len(f) < 20_000 and len(f) % 4096 for f in found)
    assert any(b"\0" * 4096 in f and f.endswith(b"x") for f in found)


async def test_sqlite_runs_on_it_and_a_cut_shows_committed_rows_only(tmp_path: Path) -> None:
    disk = RecordingDisk()
    schema = [(1, "CREATE TABLE t (n)")]
    async with Database.open(Path("/db"), schema, connect=connect_to(disk), readers=0) as db:
        for n in range(3):
            await db.write(lambda c, n=n: c.execute("INSERT INTO t VALUES (?)", (n,)))
        end = len(disk.operations)
    disk.crash(end).write_to(tmp_path)
    async with Database.open(tmp_path / "db", schema) as db:
        assert await db.read(lambda c: c.execute("SELECT n FROM t").fetchall()) == [(0,), (1,), (2,)]
    assert disk.sites == {"sqlite:log", "sqlite:database"}
