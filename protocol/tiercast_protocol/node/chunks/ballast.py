"""Room set aside for letting go: on a full disk even an eviction must first write to the index.

Rules
- A file of real bytes, thrown overboard when the index finds no room, taken in again when there is some.
- Best effort: without room for it the store works as before, it only can't help itself on a full disk.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tiercast_protocol.node.files import Files

_PIECE = 64 * 1024


class Ballast:
    """`size` bytes at `path`; 0 is no ballast at all."""

    def __init__(self, files: Files, path: Path, size: int) -> None:
        self._files = files
        self._path = path
        self._size = size

    def take_in(self) -> bool:
        """Have it; False when there is no room."""
        if self._size == 0 or (self._files.exists(self._path) and self._files.size(self._path) == self._size):
            return True
        try:
            file = self._files.open(self._path)
            try:
                # Written, not merely allocated: every file system then has the blocks.
                for at in range(0, self._size, _PIECE):
                    file.pwrite(bytes(min(_PIECE, self._size - at)), at)
                file.truncate(self._size)
            finally:
                file.close()
        except OSError:
            self.drop()
            return False
        return True

    def drop(self) -> bool:
        """Throw it overboard; False when there was none."""
        with suppress(OSError):
            self._files.unlink(self._path)
            return True
        return False
