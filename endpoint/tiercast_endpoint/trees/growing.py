"""A file whose parts come in any order, each straight to its place (docs/on-the-endpoint.md).

Rules
- What is put was proved by whoever puts it.  It lies in the file when `put` returns, and is hashed in the file's order:
  at once where it is next, else read back when the gap before it has closed.
- What an earlier life of the agent left is only claimed: it counts when it was read and proved (`prove`).
- Puts come from several threads.  Whoever closes or parks waits for them.
- A parked file has a descriptor only while it is used.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

import blake3

from tiercast_endpoint.trees.tree import TreeError
from tiercast_protocol.content.sealed.digest import Digest, digest_of
from tiercast_protocol.node.files import begin_write_back
from tiercast_protocol.transfer.ranges import RangeSet

#: Bytes of one put from which the disk is asked to begin with them.
_WRITE_BACK = 256 << 10
_READ = 1 << 20


class GrowingFile:
    """One file of a tree in the making.

    Args:
        path: relative to the tree.
        open_file: gives a new descriptor to read and write; its errors are raised by whoever needed it.
        claimed: what an earlier life says to have put there.
    """

    def __init__(self, path: str, open_file: Callable[[], int], claimed: RangeSet | None = None) -> None:
        self.path = path
        self._open = open_file
        self._claimed = claimed
        self._disproved: set[int] = set()
        self._covered = RangeSet()
        self._hasher = blake3.blake3()
        self._hashed = 0
        self._fd = -1
        self._users = 0
        self._state = threading.Condition()
        self._closed = self._parked = self._dirty = False

    def put(self, at: int, data: Sequence[bytes | memoryview]) -> bool:
        """Write these bytes, which follow each other, at `at`; False when the file was closed.  Raises `OSError`."""
        if (fd := self._enter()) < 0:
            return False
        try:
            size = _write_all(fd, data, at)
            if size >= _WRITE_BACK:
                begin_write_back(fd, at, size)
            with self._state:
                # Not before it is written: a sync that came between would count for it.
                self._dirty = True
                self._covered.add(at, at + size)
                if at == self._hashed:
                    for some in data:
                        self._hasher.update(some)
                    self._hashed += size
                self._hash_on(fd)
        finally:
            self._leave()
        return True

    def covers(self, at: int, length: int) -> bool:
        """Whether all of these bytes were put, or proved, in this life."""
        with self._state:
            return self._covered.covers(at, at + length)

    def claims(self, at: int, length: int) -> bool:
        """Whether an earlier life said to have put these."""
        claimed = self._claimed
        return claimed is not None and at not in self._disproved and claimed.covers(at, at + length)

    def prove(self, parts: Sequence[tuple[int, int, Digest]]) -> None:
        """Take over those of `parts` (place, length, digest of just these bytes) that prove true; errors as `put`."""
        if (fd := self._enter()) < 0:
            return
        try:
            for at, length, digest in parts:
                data = os.pread(fd, length, at)
                if digest_of(data) != digest:
                    self._disproved.add(at)
                    continue
                with self._state:
                    self._covered.add(at, at + length)
                    if at == self._hashed:
                        self._hasher.update(data)
                        self._hashed += length
            with self._state:
                self._hash_on(fd)
        finally:
            self._leave()

    def read(self, at: int, length: int, digest: Digest) -> bytes | None:
        """These bytes, when they are what `digest` names."""
        try:
            if (fd := self._enter()) < 0:
                return None
        except (OSError, TreeError):
            return None
        try:
            data = os.pread(fd, length, at)
        except OSError:
            return None
        finally:
            self._leave()
        return data if digest_of(data) == digest else None

    def seal(self, mode: int) -> tuple[Digest, int]:
        """Give the file its mode; its digest and the bytes it has.  Raises `OSError`."""
        if (fd := self._enter()) < 0:
            raise RuntimeError("the file was closed")
        try:
            os.fchmod(fd, mode)
            with self._state:
                self._dirty = True
                self._hash_on(fd)
                # Bytes behind the hashed ones mean a gap: then this digest is not the file's.
                return self._hasher.digest(), os.fstat(fd).st_size
        finally:
            self._leave()

    def sync(self, fsync: Callable[[int], None]) -> None:
        """What was put before is on the disk when this returns; `fsync` gets the descriptor.  Raises `OSError`."""
        if not self._dirty or (fd := self._enter()) < 0:
            return
        try:
            self._dirty = False
            fsync(fd)
        except OSError:
            self._dirty = True
            raise
        finally:
            self._leave()

    def park(self) -> None:
        """From now on the descriptor is let go after each use."""
        with self._state:
            self._parked = True
            if not self._users:
                self._let_go()

    def close(self) -> None:
        """No more puts; returns when none is under way."""
        with self._state:
            self._closed = True
            self._state.wait_for(lambda: not self._users)
            self._let_go()

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _enter(self) -> int:
        with self._state:
            if self._closed:
                return -1
            if self._fd < 0:
                self._fd = self._open()
            self._users += 1
            return self._fd

    def _leave(self) -> None:
        with self._state:
            self._users -= 1
            if self._parked and not self._users:
                self._let_go()
            self._state.notify_all()

    def _hash_on(self, fd: int) -> None:
        """Hash what lies behind the hashed bytes without a gap."""
        end = self._covered.end_of(self._hashed)
        while self._hashed < end:
            data = os.pread(fd, min(_READ, end - self._hashed), self._hashed)
            if not data:
                return
            self._hasher.update(data)
            self._hashed += len(data)


def _write_all(fd: int, data: Sequence[bytes | memoryview], at: int) -> int:
    size = sum(map(len, data))
    done = os.pwritev(fd, data, at)
    if done < size:
        rest = memoryview(b"".join(data))
        while done < size:
            done += os.pwrite(fd, rest[done:], at + done)
    return size
