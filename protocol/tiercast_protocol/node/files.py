"""The file system as the stores see it: a small port, so that tests can record every write.

Rules
- Blocking calls, made from worker threads.  Nothing here knows what the bytes mean.
- Data is safe only after `datasync` or `sync` of its file; a name (created, renamed, unlinked, a new folder)
  only after `fsync_folder` of the folder that it stands in.  The recording layer of the tests takes both at their word.
- Hole punching and early write-back are wishes: where the system can't, `punch` says so and `write_back` does nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_FALLOC_KEEP_SIZE, _FALLOC_PUNCH_HOLE = 1, 2
_SYNC_FILE_RANGE_WRITE = 2
#: Parts of one vectored write; the system's limit is 1,024.
_MOST_PARTS = 512
#: Seconds between two tries to write to a full disk, for what is tried until there is room.
ROOM_AGAIN_S = 2.0
_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate64", None) or getattr(_libc, "fallocate", None)
_sync_file_range = getattr(_libc, "sync_file_range", None)
_syncfs = getattr(_libc, "syncfs", None)
_KERNEL = tuple(int(part) for part in re.findall(r"[0-9]+", os.uname().release)[:2])
#: Whether a whole file system can be synced, and what failed is told: kernels before 5.8 keep it to themselves.
SYNCS_FILE_SYSTEMS = _syncfs is not None and os.uname().sysname == "Linux" and _KERNEL >= (5, 8)


class File(Protocol):
    """One open file, for writing."""

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`; on an error (OSError) any part of it may have been written."""

    def pwritev(self, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """Write `parts` one behind the other at `offset`; errors as `pwrite`."""

    def size(self) -> int:
        """Length in bytes."""
        ...

    def truncate(self, size: int) -> None:
        """Cut or extend to `size` bytes."""

    def datasync(self) -> None:
        """All bytes and the length are safe when this returns."""

    def sync(self) -> None:
        """As `datasync`, and the times and mode, too."""

    def write_back(self, offset: int, size: int) -> None:
        """Begin to write these bytes to the disk, and don't wait."""

    def punch(self, offset: int, size: int) -> bool:
        """Give the space of these bytes back; they read as zeros.  False where the file system can't."""
        ...

    def close(self) -> None:
        """Close; nothing is synced by it."""


class Files(Protocol):
    """What the stores need of a file system.  All raise OSError."""

    def open(self, path: Path) -> File:
        """Open for writing; made empty where it does not exist."""
        ...

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """At most `size` bytes at `offset`; fewer at the end of the file."""
        ...

    def uncache(self, path: Path, offset: int, size: int) -> None:
        """Let the system forget what it keeps of these bytes in memory, so that reading them asks the disk; a wish."""

    def size(self, path: Path) -> int:
        """Length in bytes."""
        ...

    def allocated(self, path: Path) -> int:
        """Bytes that the file takes on the disk."""
        ...

    def exists(self, path: Path) -> bool:
        """Whether there is such a file or folder."""
        ...

    def listdir(self, path: Path) -> list[str]:
        """Names in the folder, sorted."""
        ...

    def mkdir(self, path: Path) -> None:
        """Make one folder (mode 0700)."""

    def rename(self, old: Path, new: Path) -> None:
        """Rename, replacing `new`."""

    def unlink(self, path: Path) -> None:
        """Remove the file's name."""

    def fsync_folder(self, path: Path) -> None:
        """The names in the folder are safe when this returns."""

    def free(self, path: Path) -> int:
        """Bytes free for us on the file system that holds `path`."""
        ...


class RealFile:
    """A file of the operating system."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """See `File`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view = view[written:]
            offset += written

    def pwritev(self, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """See `File`."""
        for at in range(0, len(parts), _MOST_PARTS):
            some = parts[at : at + _MOST_PARTS]
            total = sum(map(len, some))
            written = os.pwritev(self._fd, some, offset)
            if written < total:
                # A full disk or a signal: what is left goes the plain way, which says what is wrong.
                self.pwrite(b"".join(some)[written:], offset + written)
            offset += total

    def size(self) -> int:
        """See `File`."""
        return os.fstat(self._fd).st_size

    def truncate(self, size: int) -> None:
        """See `File`."""
        os.ftruncate(self._fd, size)

    def datasync(self) -> None:
        """See `File`."""
        os.fdatasync(self._fd)

    def sync(self) -> None:
        """See `File`."""
        os.fsync(self._fd)

    def write_back(self, offset: int, size: int) -> None:
        """See `File`."""
        begin_write_back(self._fd, offset, size)

    def punch(self, offset: int, size: int) -> bool:
        """See `File`."""
        if _fallocate is None:
            return False
        mode = _FALLOC_PUNCH_HOLE | _FALLOC_KEEP_SIZE
        return bool(_fallocate(self._fd, mode, ctypes.c_int64(offset), ctypes.c_int64(size)) == 0)

    def close(self) -> None:
        """See `File`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RealFiles:
    """The file system of this machine."""

    def open(self, path: Path) -> File:
        """See `Files`."""
        return RealFile(path)

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """See `Files`."""
        # Opened for each read: 10 us beside the 100 us of checking a chunk, and no handle to lose or to race for.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(fd, size, offset)
            while len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
                data += more
            return data
        finally:
            os.close(fd)

    def uncache(self, path: Path, offset: int, size: int) -> None:
        """See `Files`."""
        if not hasattr(os, "posix_fadvise"):
            return
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(fd, offset, size, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

    def size(self, path: Path) -> int:
        """See `Files`."""
        return path.stat().st_size

    def allocated(self, path: Path) -> int:
        """See `Files`."""
        return path.stat().st_blocks * 512

    def exists(self, path: Path) -> bool:
        """See `Files`."""
        return path.exists()

    def listdir(self, path: Path) -> list[str]:
        """See `Files`."""
        return sorted(entry.name for entry in path.iterdir())

    def mkdir(self, path: Path) -> None:
        """See `Files`."""
        path.mkdir(mode=0o700)

    def rename(self, old: Path, new: Path) -> None:
        """See `Files`."""
        old.rename(new)

    def unlink(self, path: Path) -> None:
        """See `Files`."""
        path.unlink()

    def fsync_folder(self, path: Path) -> None:
        """See `Files`."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free(self, path: Path) -> int:
        """See `Files`."""
        state = os.statvfs(path)
        return state.f_bavail * state.f_frsize


def make_folder(files: Files, path: Path) -> None:
    """Make `path` and every folder above it that is missing; each name is synced before the next is made in it."""
    if files.exists(path):
        return
    make_folder(files, path.parent)
    with suppress(FileExistsError):
        files.mkdir(path)
    files.fsync_folder(path.parent)


def begin_write_back(fd: int, offset: int, size: int) -> None:
    """Begin to write these bytes of a file to the disk, and don't wait; where the system can't, nothing."""
    if _sync_file_range is not None:
        _sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(size), _SYNC_FILE_RANGE_WRITE)


def sync_file_system(fd: int) -> None:
    """All that was written to the file system on which `fd` lies is safe when this returns.

    Raises OSError for whatever failed since `fd` was opened, or where there is no such call; only where
    `SYNCS_FILE_SYSTEMS` is what failed told at all.
    """
    if _syncfs is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def is_full(error: BaseException) -> bool:
    """Whether the disk or the user's share of it is used up."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
