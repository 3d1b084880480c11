"""The section files of a disk store: stored forms back to back, appended, synced, cut, punched.

Rules
- Blocking; `append` may be called from several threads, everything else from one at a time.
- Names are numbers that rise.  A name is synced before a chunk in it is indexed.
- An append that fails leaves no trace: the file is cut back and the next append goes there.
- A section whose sync failed is never written again: what the kernel made of its pages nobody knows.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.chunks.index import Place
from tiercast_protocol.node.files import File, Files

_SUFFIX = ".section"
#: Bytes after which the disk is asked to begin writing, so that the sync at the end finds little left.
_WRITE_BACK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class SyncFailed(Exception):
    """A sync failed: what was appended since the last one is lost.  `__cause__` says why."""


class Sections:
    """Section files in `folder`, `section_size` bytes each and at most one chunk more."""

    def __init__(self, files: Files, folder: Path, section_size: int) -> None:
        self._files = files
        self._folder = folder
        self._section_size = section_size
        self._lock = threading.Lock()
        self._file: File | None = None
        self._number = 0
        self._end = 0
        self._written_back = 0
        self._unsynced: dict[int, File] = {}
        self._syncing: dict[int, File] = {}
        # Written and not yet indexed; complete at any moment, for it changes under the lock together with the end.
        self.pending: dict[Digest, Place] = {}
        self.pending_bytes = 0

    def recover(self, ends: dict[int, int]) -> list[str]:
        """Bring the files to what the index knows (`ends`: last indexed byte per section); returns names removed."""
        removed = []
        for name in self._files.listdir(self._folder):
            number = _number_of(name)
            if number is None or number not in ends:
                self._files.unlink(self._folder / name)
                removed.append(name)
            elif self._files.size(self._folder / name) > ends[number]:
                file = self._files.open(self._folder / name)
                file.truncate(ends[number])
                file.close()
        self._number = max(ends, default=0)
        # The last one is filled up, unless it is shorter than the index says: then it is damaged, and left as it is.
        if self._number and self._end_of(self._number) == ends[self._number] < self._section_size:
            self._file = self._files.open(self.path(self._number))
            self._end = self._written_back = ends[self._number]
        return removed

    def path(self, number: int) -> Path:
        """The file of section `number`."""
        return self._folder / f"{number:08d}{_SUFFIX}"

    def append(self, chunks: Sequence[tuple[Digest, bytes | memoryview]]) -> list[Place]:
        """Write the first of these stored forms at the end, as many as the section takes, with one call.

        Returns where they lie (at least one, and only these were written); from now on they are in `pending`.

        Raises:
            StoreFull: the disk is full.
        """
        with self._lock:
            file = self._file
            if file is None or self._end >= self._section_size:
                file = self._begin()
            room, count = self._section_size - self._end, 0
            while count < len(chunks) and room > 0:
                room -= len(chunks[count][1])
                count += 1
            return self._write(file, chunks[:count])

    def _write(self, file: File, chunks: Sequence[tuple[Digest, bytes | memoryview]]) -> list[Place]:
        places: list[Place] = []
        try:
            file.pwritev([stored for _, stored in chunks], self._end)
        except OSError as error:
            with suppress(OSError):
                file.truncate(self._end)
            raise self._explain(error, sum(len(stored) for _, stored in chunks)) from error
        self._unsynced[self._number] = file
        for digest, stored in chunks:
            size = len(stored)
            place = Place(self._number, self._end, size)
            places.append(place)
            self.pending[digest] = place
            self._end += size
            self.pending_bytes += size
        if self._end - self._written_back >= _WRITE_BACK:
            file.write_back(self._written_back, self._end - self._written_back)
            self._written_back = self._end
        return places

    def _begin(self) -> File:
        number = self._number + 1
        try:
            file = self._files.open(self.path(number))
            self._files.fsync_folder(self._folder)
        except OSError as error:
            raise self._explain(error, self._section_size) from error
        self._leave()
        self._file, self._number, self._end, self._written_back = file, number, 0, 0
        return file

    def _leave(self) -> None:
        # A file that waits for its sync, or is in it, is closed by `sync`.
        if self._file is not None and self._number not in self._unsynced and self._number not in self._syncing:
            self._file.close()
        self._file = None

    def sync(self) -> dict[Digest, Place]:
        """Make everything safe that was appended before; returns it, to be indexed and then `settled`.

        Raises:
            SyncFailed: everything pending before is lost; it is out of `pending`.
        """
        with self._lock:
            waiting, self._unsynced = self._unsynced, {}
            self._syncing = waiting
            batch = dict(self.pending)
        try:
            for _, file in sorted(waiting.items()):
                file.datasync()
        except OSError as error:
            self._abandon(waiting)
            raise SyncFailed from self._explain(error, sum(place.size for place in batch.values()))
        with self._lock:
            self._syncing = {}
            for number, file in waiting.items():
                if file is not self._file and number not in self._unsynced:
                    file.close()
        return batch

    def _abandon(self, failed: dict[int, File]) -> None:
        with self._lock:
            self._syncing = {}
            if self._number in failed:
                self._file = None
            for number, file in failed.items():
                self._unsynced.pop(number, None)
                with suppress(OSError):
                    file.close()
            for digest, place in list(self.pending.items()):
                if place.section in failed:
                    del self.pending[digest]
                    self.pending_bytes -= place.size

    def settled(self, batch: dict[Digest, Place]) -> None:
        """These are indexed."""
        with self._lock:
            for digest, place in batch.items():
                if self.pending.get(digest) == place:
                    del self.pending[digest]
                    self.pending_bytes -= place.size

    def withdraw(self, digest: Digest, place: Place) -> bool:
        """A pending chunk turned out to be damaged; whether it was still pending there."""
        with self._lock:
            if self.pending.get(digest) != place:
                return False
            del self.pending[digest]
            self.pending_bytes -= place.size
            return True

    def extent(self, number: int) -> tuple[int, list[tuple[Digest, Place]]]:
        """End of a section and what is pending in it, at one moment."""
        with self._lock:
            end = self._end if number == self._number else self._end_of(number)
            return end, [(digest, place) for digest, place in self.pending.items() if place.section == number]

    @property
    def active(self) -> int:
        """The section that is appended to; 0 is none."""
        return self._number if self._file is not None else 0

    def read(self, place: Place) -> bytes:
        """The bytes at `place`; fewer (or none) where the file is shorter or gone."""
        try:
            return self._files.read(self.path(place.section), place.start, place.size)
        except FileNotFoundError:
            return b""

    def uncache(self, place: Place) -> None:
        """The next read of these bytes asks the disk, as far as the system can be told."""
        self._files.uncache(self.path(place.section), place.start, place.size)

    def punch(self, number: int, gaps: list[tuple[int, int]]) -> bool:
        """Give these (offset, length) of a section back; False where the file system can't."""
        file = self._files.open(self.path(number))
        try:
            return all(file.punch(offset, size) for offset, size in gaps)
        finally:
            file.close()

    def drop(self, number: int) -> bool:
        """Remove a section that no row names; False when something is pending in it."""
        with self._lock:
            if any(place.section == number for place in self.pending.values()):
                return False
            if number == self._number:
                self._leave()
        with suppress(FileNotFoundError):
            self._files.unlink(self.path(number))
        return True

    def numbers(self) -> list[int]:
        """The sections that there are."""
        return sorted(n for n in map(_number_of, self._files.listdir(self._folder)) if n is not None)

    def allocated(self, number: int) -> int:
        """Bytes that a section takes on the disk; 0 when it is gone."""
        try:
            return self._files.allocated(self.path(number))
        except FileNotFoundError:
            return 0

    def size_of(self, path: Path) -> int:
        """Length of a file of this store; 0 when there is none."""
        try:
            return self._files.size(path)
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Close all files; what is not synced is cut off at the next start."""
        for file in {id(f): f for f in [*self._unsynced.values(), self._file] if f is not None}.values():
            file.close()
        self._file = None
        self._unsynced = {}

    def free(self) -> int:
        """Bytes free on the disk."""
        return self._files.free(self._folder)

    def _end_of(self, number: int) -> int:
        return self.size_of(self.path(number))

    def _explain(self, error: OSError, needed: int) -> Exception:
        if error.errno in _FULL:
            return StoreFull(needed=needed, free=self.free(), where=str(self._folder))
        return error


def _number_of(name: str) -> int | None:
    stem, dot, suffix = name.partition(".")
    return int(stem) if dot + suffix == _SUFFIX and stem.isdigit() else None
