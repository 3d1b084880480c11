"""An append-only file of synced, checksummed records: what the installer meant to do and did.

Rules
- Blocking, one owner.  When `append` returns, its records are safe, together or not at all.
- Frame: u32 length | BLAKE3 (32 bytes) over the checksum before, the length and the payload | payload, which is the
  msgpack list of the records.  The chain makes a stale frame behind the end impossible to take for a new one.
- A torn frame at the end is what a crash leaves: it is cut off at open, and what is left is synced before anyone
  builds on it.  A bad frame before the end is damage, and is said, never cut.
- Compaction writes a new file beside, syncs, renames, syncs the folder: the old journal or the new one.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import blake3
import msgspec

from tiercast_protocol.errors import StateError, StoreFull
from tiercast_protocol.node.files import File, Files

_MAGIC = b"tiercast journal 1\n"
_HEAD = struct.Struct(">I32s")
_START = bytes(32)
#: Largest frame in bytes: a length beyond it is no length.
MAX_FRAME = 16 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Journal:
    """The journal at `path`, opened or made; `records` holds all of it, oldest first.

    Raises:
        StateError: damaged before its end.
        StoreFull: no room to make it.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path
        self._file: File | None = None
        self._end = 0
        self._chain: bytes = _START
        self.records: list[bytes] = []
        if not files.exists(path):
            self._replace([])
        else:
            self._read()

    def append(self, *records: bytes) -> None:
        """Write these records as one; safe when this returns.

        Raises:
            StoreFull: no room; nothing was written, and the journal goes on.
            StateError: the disk failed now or before; what is in the file only opening it again can tell.
        """
        file = self._writable()
        frame, chain = _frame(self._chain, records)
        try:
            file.pwrite(frame, self._end)
        except OSError as error:
            self._cut_back(file, error)
            raise self._explain(error, len(frame)) from error
        try:
            file.datasync()
        except OSError as error:
            # Which of its pages the kernel has dropped, nobody knows.
            self.close()
            raise StateError(str(self._path), f"could not be synced ({error.strerror})", "Check the disk") from error
        self._end += len(frame)
        self._chain = chain
        self.records.extend(records)

    def compact(self, records: Sequence[bytes]) -> None:
        """Replace everything by `records`, wholly or not at all.

        Raises:
            StoreFull: no room; the journal is as it was, and goes on.
        """
        self._writable()
        try:
            self._replace(records)
        except OSError as error:
            raise self._explain(error, sum(map(len, records))) from error

    def close(self) -> None:
        """Close the file; opening it again is another `Journal`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _writable(self) -> File:
        if self._file is None:
            raise StateError(str(self._path), "is closed after an error of the disk", "Check the disk and start again")
        return self._file

    def _replace(self, records: Sequence[bytes]) -> None:
        data, chain = _MAGIC, _START
        if records:
            frame, chain = _frame(_START, records)
            data += frame
        beside = self._path.with_name(self._path.name + ".new")
        file = self._files.open(beside)
        try:
            file.truncate(0)
            file.pwrite(data, 0)
            file.sync()
            self._files.rename(beside, self._path)
            self._files.fsync_folder(self._path.parent)
        except OSError:
            file.close()
            with suppress(OSError):
                self._files.unlink(beside)
            raise
        self.close()
        self._file, self._end, self._chain = file, len(data), chain
        self.records = list(records)

    def _read(self) -> None:
        data = self._files.read(self._path, 0, self._files.size(self._path))
        if not data.startswith(_MAGIC):
            raise self._damaged(0)
        at, chain = len(_MAGIC), _START
        while at < len(data):
            end = at + _HEAD.size
            length, checksum = _HEAD.unpack_from(data, at) if end <= len(data) else (0, b"")
            payload = data[end : end + length]
            if not 0 < length <= MAX_FRAME or _checksum(chain, payload) != checksum:
                if 0 < length <= MAX_FRAME and end + length < len(data):
                    raise self._damaged(at)
                break
            self.records.extend(msgspec.msgpack.decode(payload, type=list[bytes]))
            at, chain = end + length, checksum
        self._file, self._end, self._chain = self._files.open(self._path), at, chain
        if at < len(data):
            self._file.truncate(at)
        # Also without a cut: what a killed process wrote and did not sync was read just now, and counts from here on.
        self._file.sync()

    def _cut_back(self, file: File, error: OSError) -> None:
        try:
            # Unsynced: the frame that failed was never promised, and the next sync or the next open settles it.
            file.truncate(self._end)
        except OSError as second:
            self.close()
            raise StateError(str(self._path), f"could not be written ({second})", "Check the disk") from error

    def _damaged(self, at: int) -> StateError:
        return StateError(
            str(self._path),
            f"the journal is damaged at byte {at}",
            "Move it away and start again: what ran is reported",
        )

    def _explain(self, error: OSError, needed: int) -> Exception:
        if error.errno in _FULL:
            return StoreFull(needed=needed, free=self._files.free(self._path.parent), where=str(self._path))
        return error


def _checksum(chain: bytes, payload: bytes) -> bytes:
    return blake3.blake3(chain + len(payload).to_bytes(4, "big") + payload).digest()


def _frame(chain: bytes, records: Sequence[bytes]) -> tuple[bytes, bytes]:
    payload = msgspec.msgpack.encode(list(records))
    if len(payload) > MAX_FRAME:
        raise ValueError(f"{len(payload)} bytes in one frame of a journal")
    checksum = _checksum(chain, payload)
    return _HEAD.pack(len(payload), checksum) + payload, checksum
