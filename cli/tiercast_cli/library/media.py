"""Packages on media: a folder of packs of chunks and one index, written by `depot export`, read by `depot seed`.

Rules
- The index is text, a line per fact, appended after the bytes that it speaks of are synced: `tiercast-media 1`,
  `chunk DIGEST PACK OFFSET SIZE`, `package ROOT NAME VERSION REVISION`.  What was cut off is cut back and gone on with.
- The media proves nothing and needs no trust: names come from numbers and never from the index, only plain files are
  read, never through a link, never more than a chunk may be, and every chunk is proved by its digest.
- What is wrong with it is said with the line or the chunk; the rest is used.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tiercast_protocol.content.sealed.chunk import MAX_STORED, unseal
from tiercast_protocol.errors import ChunkCorrupt, UsageError

INDEX = "index.tiercast"
HEAD = "tiercast-media 1"
#: Bytes of a pack: below what every file system of a stick can hold.  Most bytes of an index, most chunks of one.
PACK_BYTES = 1 << 30
MOST_INDEX, MOST_CHUNKS = 512 << 20, 4_000_000
SYNC_BYTES = 32 << 20
#: What may lie in a folder that an export begins in.
_OURS = re.compile(r"\.|lost\+found\Z|index\.tiercast\Z|[0-9]{6}\.pack\Z|System Volume Information\Z")
_CHUNK = re.compile(r"chunk ([0-9a-f]{64}) ([0-9]{1,6}) ([0-9]{1,12}) ([0-9]{1,7})\Z")
_PACKAGE = re.compile(r"package ([0-9a-f]{64}) ([!-~]{1,255}) ([!-~]{1,255}) ([0-9]{1,9})\Z")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a chunk lies on the media."""

    pack: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class OnMedia:
    """A package that was exported whole."""

    root: bytes
    name: str
    version: str
    revision: int


@dataclass(slots=True)
class Contents:
    """What the index says; `length` is how much of it is whole lines."""

    chunks: dict[bytes, Spot] = field(default_factory=dict)
    packages: dict[bytes, OnMedia] = field(default_factory=dict)
    length: int = 0

    def ends(self) -> dict[int, int]:
        """For each pack the end of what the index names in it."""
        found: dict[int, int] = {}
        for spot in self.chunks.values():
            found[spot.pack] = max(found.get(spot.pack, 0), spot.offset + spot.size)
        return found


def read_index(folder: Path) -> Contents:
    """What lies in `folder`.

    Raises:
        UsageError: media.none, media.invalid, media.huge.
    """
    with _opened(folder / INDEX) as file:
        size = os.fstat(file.fd).st_size
        if size > MOST_INDEX:
            raise UsageError("media.huge", f"Its index has {size} bytes; at most {MOST_INDEX} are read.", str(folder))
        data = file.read(0, size)
    contents = Contents()
    # What stands behind the last line break was cut off while it was written.
    lines = data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]
    for number, raw in enumerate(lines, 1):
        _take_line(contents, raw.decode("ascii", "replace"), number, folder)
        contents.length += len(raw) + 1
        if len(contents.chunks) > MOST_CHUNKS:
            raise UsageError("media.huge", f"Its index names more than {MOST_CHUNKS} chunks.", str(folder))
    if not lines:
        raise _invalid(folder, 1, "no head")
    return contents


def _take_line(contents: Contents, line: str, number: int, folder: Path) -> None:
    if number == 1:
        if line != HEAD:
            raise _invalid(folder, 1, f"it begins with {line[:40]!r}")
    elif found := _CHUNK.match(line):
        spot = Spot(int(found[2]), int(found[3]), int(found[4]))
        if not 1 < spot.size <= MAX_STORED:
            raise _invalid(folder, number, f"a chunk of {spot.size} bytes")
        contents.chunks.setdefault(bytes.fromhex(found[1]), spot)
    elif found := _PACKAGE.match(line):
        package = OnMedia(bytes.fromhex(found[1]), found[2], found[3], int(found[4]))
        contents.packages[package.root] = package
    else:
        raise _invalid(folder, number, f"{line[:30]!r}")


class Reader:
    """Chunks out of packs."""

    def __init__(self, folder: Path, contents: Contents) -> None:
        self._folder, self._contents = folder, contents
        self._files: dict[int, _Plain] = {}

    def chunk(self, digest: bytes) -> bytes:
        """The proved stored form.

        Raises:
            ChunkCorrupt: not there, or other bytes than the digest names.
        """
        spot = self._contents.chunks[digest]
        try:
            file = self._files.get(spot.pack)
            if file is None:
                file = self._files[spot.pack] = _opened(self._folder / pack_name(spot.pack))
            stored = file.read(spot.offset, spot.size)
        except UsageError as error:
            raise ChunkCorrupt(digest, error.what) from error
        except OSError as error:
            raise ChunkCorrupt(digest, f"the media does not read it ({error.strerror})") from error
        if len(stored) != spot.size:
            raise ChunkCorrupt(digest, f"{len(stored)} of its {spot.size} bytes are on the media")
        unseal(digest, stored)
        return stored

    def close(self) -> None:
        """Close all packs."""
        for file in self._files.values():
            file.close()


class Writer:
    """Appends chunks and packages to the media in `folder`, which is made, or gone on with."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / INDEX).is_symlink() or ((folder / INDEX).exists() and not _barely_begun(folder / INDEX)):
            self.contents = read_index(folder)
        else:
            _refuse_others(folder)
            self.contents = Contents()
        self._index = _append_to(folder / INDEX, self.contents.length)
        ends = self.contents.ends()
        self._pack = max(ends, default=1)
        self._file = _append_to(folder / pack_name(self._pack), ends.get(self._pack, 0))
        self._end = ends.get(self._pack, 0)
        self._lines: list[str] = [] if self.contents.length else [HEAD]
        self._unsynced = 0

    def add(self, digest: bytes, stored: bytes) -> None:
        """Take a chunk, unless it is there."""
        if digest in self.contents.chunks:
            return
        if self._end >= PACK_BYTES:
            self.sync()
            os.close(self._file)
            self._pack += 1
            self._file, self._end = _append_to(self._folder / pack_name(self._pack), 0), 0
        _write(self._file, stored)
        self.contents.chunks[digest] = Spot(self._pack, self._end, len(stored))
        self._lines.append(f"chunk {digest.hex()} {self._pack} {self._end} {len(stored)}")
        self._end += len(stored)
        self._unsynced += len(stored)
        if self._unsynced >= SYNC_BYTES:
            self.sync()

    def finish(self, package: OnMedia) -> None:
        """All chunks of the package are there."""
        if package.root not in self.contents.packages:
            self.contents.packages[package.root] = package
            self._lines.append(f"package {package.root.hex()} {package.name} {package.version} {package.revision}")
        self.sync()

    def sync(self) -> None:
        """The chunks are safe, then the lines that name them."""
        os.fsync(self._file)
        if self._lines:
            _write(self._index, ("\n".join(self._lines) + "\n").encode("ascii"))
            os.fsync(self._index)
        self._lines, self._unsynced = [], 0

    def close(self) -> None:
        """Close the files; what was taken so far is kept for the next time, if the media still takes it."""
        try:
            with suppress(OSError, UsageError):
                self.sync()
        finally:
            os.close(self._file)
            os.close(self._index)


def pack_name(number: int) -> str:
    """The name of a pack."""
    return f"{number:06d}.pack"


@dataclass(slots=True)
class _Plain:
    """A plain file, open for reading."""

    fd: int

    def read(self, offset: int, size: int) -> bytes:
        data = bytearray()
        while len(data) < size and (more := os.pread(self.fd, size - len(data), offset + len(data))):
            data += more
        return bytes(data)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _barely_begun(index: Path) -> bool:
    """Whether the index was cut off before its first line was whole."""
    with _opened(index) as file:
        return f"{HEAD}\n".encode().startswith(file.read(0, len(HEAD) + 1)) and os.fstat(file.fd).st_size <= len(HEAD)


def _opened(path: Path) -> _Plain:
    """The plain file at `path`: never through a link, and nothing that would wait or do something when opened."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        todo = "Name the folder that `tiercast depot export` wrote."
        raise UsageError("media.none", f"It can't be read: {error.strerror}.", str(path), todo) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageError("media.invalid", "It is no plain file.", str(path))
    return _Plain(fd)


def _append_to(path: Path, length: int) -> int:
    """`path`, cut back to `length` and open for writing at its end."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        os.ftruncate(fd, length)
        os.lseek(fd, length, os.SEEK_SET)
    except OSError as error:
        raise UsageError("media.readonly", f"It can't be written: {error.strerror}.", str(path)) from error
    return fd


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError as error:
            todo = "Make room, then export again: it goes on where it stopped."
            raise UsageError("media.full", f"The media can't be written: {error.strerror}.", todo=todo) from error


def _refuse_others(folder: Path) -> None:
    strange: Iterator[str] = (entry.name for entry in folder.iterdir() if not _OURS.match(entry.name))
    if (name := next(strange, None)) is not None:
        todo = "Name an empty folder, or one that holds an export already."
        raise UsageError("media.strange", f"The folder holds something else: {name[:80]!r}.", str(folder), todo)


def _invalid(folder: Path, line: int, what: str) -> UsageError:
    todo = "Export again, into an empty folder."
    return UsageError("media.invalid", f"Line {line} of its index makes no sense: {what}.", str(folder / INDEX), todo)
