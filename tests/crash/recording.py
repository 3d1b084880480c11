"""A disk in memory that records every write, and can tell what a power cut would have left at any moment.

The promise of a real disk, taken at its word: bytes of a file are safe after a sync of that file, names in a folder
after a sync of that folder, and nothing else is.  `crash` applies what was safe at a moment, and of the rest a
seeded subset, torn at pages or at any byte.

`RecordingFiles` is the port of our own stores; `connect` gives SQLite the same disk through a VFS.  Each sync has a
site (who called it); a site in `ignored` does nothing, which must make a test fail.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import apsw

PAGE = 4096


@dataclass(frozen=True, slots=True)
class Write:
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Name:
    """A change of names in one folder: `new` now stands for `inode` (0 is a folder), `old` for nothing; each if any."""

    folder: str
    inode: int
    new: str = ""
    old: str = ""


@dataclass(frozen=True, slots=True)
class SyncData:
    inode: int


@dataclass(frozen=True, slots=True)
class SyncNames:
    folder: str


@dataclass(frozen=True, slots=True)
class Fact:
    """What a program was told, or what it is about to do."""

    what: Any


Operation = Write | Truncate | Name | SyncData | SyncNames | Fact


@dataclass(slots=True)
class Image:
    """Files and folders (absolute paths) as a disk holds them."""

    folders: set[str] = field(default_factory=lambda: {"/"})
    files: dict[str, bytes] = field(default_factory=dict)

    def write_to(self, folder: Path) -> None:
        """Make it real below `folder`, which is empty."""
        for name in sorted(self.folders - {"/"}):
            (folder / name[1:]).mkdir(mode=0o700, parents=True)
        for name, data in self.files.items():
            (folder / name[1:]).write_bytes(data)


class RecordingDisk:
    """The disk; `image` is what is safely there at the start."""

    def __init__(self, image: Image | None = None, ignored: Iterable[str] = ()) -> None:
        self.image = image or Image()
        self.operations: list[Operation] = []
        self.sites: set[str] = set()
        self.ignored = frozenset(ignored)
        self.lock = threading.RLock()
        self._inodes = itertools.count(1)
        self.folders = set(self.image.folders)
        self.names: dict[str, int] = {}
        self.contents: dict[int, bytearray] = {}
        for name, data in self.image.files.items():
            inode = self.names[name] = next(self._inodes)
            self.contents[inode] = bytearray(data)
        self._first_names = dict(self.names)

    def fact(self, *what: Any) -> None:
        """Note what is promised, or begun, from here on."""
        with self.lock:
            self.operations.append(Fact(what))

    def facts(self, prefix: int) -> list[Any]:
        """The facts among the first `prefix` operations."""
        return [op.what for op in self.operations[:prefix] if isinstance(op, Fact)]

    # -- operations ------------------------------------------------------------------------------------

    def open(self, path: str) -> int:
        with self.lock:
            folder = str(PurePosixPath(path).parent)
            if folder not in self.folders or path in self.folders:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            inode = self.names.get(path)
            if inode is None:
                inode = self.names[path] = next(self._inodes)
                self.contents[inode] = bytearray()
                self.operations.append(Name(folder, inode, new=path))
            return inode

    def inode(self, path: str) -> int:
        with self.lock:
            if path not in self.names:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            return self.names[path]

    def write(self, inode: int, offset: int, data: bytes) -> None:
        with self.lock:
            _apply(self.contents[inode], op := Write(inode, offset, bytes(data)))
            self.operations.append(op)

    def truncate(self, inode: int, size: int) -> None:
        with self.lock:
            _apply(self.contents[inode], op := Truncate(inode, size))
            self.operations.append(op)

    def mkdir(self, path: str) -> None:
        with self.lock:
            if path in self.folders:
                raise FileExistsError(errno.EEXIST, "File exists", path)
            self.folders.add(path)
            self.operations.append(Name(str(PurePosixPath(path).parent), 0, new=path))

    def rename(self, old: str, new: str) -> None:
        with self.lock:
            inode = self.names.pop(old)
            self.names[new] = inode
            self.operations.append(Name(str(PurePosixPath(new).parent), inode, new=new, old=old))

    def unlink(self, path: str) -> None:
        with self.lock:
            inode = self.inode(path)
            del self.names[path]
            self.operations.append(Name(str(PurePosixPath(path).parent), inode, old=path))

    def sync(self, op: SyncData | SyncNames, site: str) -> None:
        with self.lock:
            self.sites.add(site)
            if site not in self.ignored:
                self.operations.append(op)

    # -- what a power cut leaves -----------------------------------------------------------------------

    def crash(self, prefix: int, rng: random.Random | None = None, chance: float = 0.0) -> Image:
        """The disk after the first `prefix` operations and a power cut.

        Of what was not safe each operation is there with `chance`; with `rng`, writes may be torn.
        """
        rng = rng or random.Random(0)
        operations = self.operations[:prefix]
        synced: dict[Any, int] = {}
        for n, op in enumerate(operations):
            if isinstance(op, SyncData):
                synced[op.inode] = n
            elif isinstance(op, SyncNames):
                synced[op.folder] = n
        contents = {inode: bytearray(self.image.files[name]) for name, inode in self._first_names.items()}
        names = dict(self._first_names)
        folders = set(self.image.folders)
        for n, op in enumerate(operations):
            if isinstance(op, Name):
                if n < synced.get(op.folder, -1) or rng.random() < chance:
                    _rename(names, folders, op)
            elif isinstance(op, (Write, Truncate)):
                content = contents.setdefault(op.inode, bytearray())
                if n < synced.get(op.inode, -1) or rng.random() < chance:
                    _apply(content, op)
                elif isinstance(op, Write) and rng.random() < chance:
                    for part in _torn(op, rng):
                        _apply(content, part)
        image = Image(folders=_reachable(folders))
        image.files = {
            name: bytes(contents.get(inode, b""))
            for name, inode in names.items()
            if str(PurePosixPath(name).parent) in image.folders
        }
        return image


def _apply(content: bytearray, op: Write | Truncate) -> None:
    if isinstance(op, Truncate):
        del content[op.size :]
        content.extend(bytes(op.size - len(content)))
        return
    content.extend(bytes(max(0, op.offset - len(content))))
    content[op.offset : op.offset + len(op.data)] = op.data


def _rename(names: dict[str, int], folders: set[str], op: Name) -> None:
    names.pop(op.old, None)
    if op.new and op.inode:
        names[op.new] = op.inode
    elif op.new:
        folders.add(op.new)


def _reachable(folders: set[str]) -> set[str]:
    found = {"/"}
    for name in sorted(folders, key=len):
        if str(PurePosixPath(name).parent) in found:
            found.add(name)
    return found


def _torn(op: Write, rng: random.Random) -> Iterator[Write]:
    """Parts of a write: some of its pages, or its first bytes."""
    if rng.random() < 0.5:
        length = rng.randrange(len(op.data) + 1)
        if length:
            yield Write(op.inode, op.offset, op.data[:length])
        return
    at = 0
    while at < len(op.data):
        length = min(len(op.data) - at, PAGE - (op.offset + at) % PAGE)
        if rng.random() < 0.5:
            yield Write(op.inode, op.offset + at, op.data[at : at + length])
        at += length


# == the port of our own stores ========================================================================


def _site() -> str:
    """Who called the sync: file and line of the code under test."""
    frame = sys._getframe(2)
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}:{frame.f_lineno}"


class RecordingFile:
    """One file of a `RecordingDisk`."""

    def __init__(self, disk: RecordingDisk, path: str) -> None:
        self._disk = disk
        self._inode = disk.open(path)
        self._open = True

    def _check(self) -> None:
        if not self._open:
            raise OSError(errno.EBADF, "Bad file descriptor")

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        self._check()
        self._disk.write(self._inode, offset, bytes(data))

    def pwritev(self, parts: Sequence[bytes | memoryview], offset: int) -> None:
        self.pwrite(b"".join(parts), offset)

    def size(self) -> int:
        return len(self._disk.contents[self._inode])

    def truncate(self, size: int) -> None:
        self._check()
        self._disk.truncate(self._inode, size)

    def datasync(self) -> None:
        self._check()
        self._disk.sync(SyncData(self._inode), _site())

    def sync(self) -> None:
        self._check()
        self._disk.sync(SyncData(self._inode), _site())

    def write_back(self, offset: int, size: int) -> None:
        self._check()

    def punch(self, offset: int, size: int) -> bool:
        self._check()
        size = max(0, min(size, self.size() - offset))
        if size:
            self._disk.write(self._inode, offset, bytes(size))
        return True

    def close(self) -> None:
        self._open = False


class RecordingFiles:
    """`Files` over a `RecordingDisk`."""

    def __init__(self, disk: RecordingDisk) -> None:
        self._disk = disk

    def open(self, path: Path) -> RecordingFile:
        return RecordingFile(self._disk, str(path))

    def read(self, path: Path, offset: int, size: int) -> bytes:
        with self._disk.lock:
            return bytes(self._disk.contents[self._disk.inode(str(path))][offset : offset + size])

    def size(self, path: Path) -> int:
        return len(self._disk.contents[self._disk.inode(str(path))])

    def allocated(self, path: Path) -> int:
        return self.size(path)

    def exists(self, path: Path) -> bool:
        return str(path) in self._disk.names or str(path) in self._disk.folders

    def listdir(self, path: Path) -> list[str]:
        names = [*self._disk.names, *self._disk.folders]
        return sorted(PurePosixPath(n).name for n in names if n != "/" and PurePosixPath(n).parent == path)

    def mkdir(self, path: Path) -> None:
        self._disk.mkdir(str(path))

    def rename(self, old: Path, new: Path) -> None:
        self._disk.rename(str(old), str(new))

    def unlink(self, path: Path) -> None:
        self._disk.unlink(str(path))

    def uncache(self, path: Path, offset: int, size: int) -> None:
        """Nothing is kept in memory here."""

    def fsync_folder(self, path: Path) -> None:
        self._disk.sync(SyncNames(str(path)), _site())

    def free(self, path: Path) -> int:
        return 1 << 40


# == SQLite on the same disk ===========================================================================


class _VfsFile:
    def __init__(self, disk: RecordingDisk, path: str) -> None:
        self._disk = disk
        self._inode = disk.open(path)
        self._folder = str(PurePosixPath(path).parent)
        self._is_log = path.endswith(("-wal", "-journal"))
        self._new_name = self._is_log

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        with self._disk.lock:
            return bytes(self._disk.contents[self._inode][offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.write(self._inode, offset, bytes(data))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        site = "sqlite:log" if self._is_log else "sqlite:database"
        self._disk.sync(SyncData(self._inode), site)
        if self._new_name:
            # What SQLite's own layer for Unix does at the first sync of a log.
            self._disk.sync(SyncNames(self._folder), site)
            self._new_name = False

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.truncate(self._inode, size)

    def xFileSize(self) -> int:  # noqa: N802 - SQLite's name
        return len(self._disk.contents[self._inode])

    def xLock(self, level: int) -> None:  # noqa: N802 - SQLite's name
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802 - SQLite's name
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802 - SQLite's name
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802 - SQLite's name
        return False

    def xSectorSize(self) -> int:  # noqa: N802 - SQLite's name
        return PAGE

    def xDeviceCharacteristics(self) -> int:  # noqa: N802 - SQLite's name
        return 0

    def xClose(self) -> None:  # noqa: N802 - SQLite's name
        pass


class _Vfs(apsw.VFS):
    def __init__(self, name: str, disk: RecordingDisk) -> None:
        super().__init__(name, "")
        self._disk = disk

    def xOpen(self, name: Any, flags: list[int]) -> _VfsFile:  # noqa: N802 - SQLite's name
        flags[1] = flags[0]
        return _VfsFile(self._disk, name.filename() if isinstance(name, apsw.URIFilename) else str(name))

    def xAccess(self, path: str, flags: int) -> bool:  # noqa: N802 - SQLite's name
        return path in self._disk.names

    def xDelete(self, path: str, sync: bool) -> None:  # noqa: N802 - SQLite's name
        if path not in self._disk.names:
            raise apsw.IOErrorDeleteNoEntError if hasattr(apsw, "IOErrorDeleteNoEntError") else apsw.IOError
        self._disk.unlink(path)
        if sync:
            self._disk.sync(SyncNames(str(PurePosixPath(path).parent)), "sqlite:log")

    def xFullPathname(self, path: str) -> str:  # noqa: N802 - SQLite's name
        return path


class _Cursor:
    """Rows that were fetched at once, as `sqlite3.Cursor` gives them."""

    def __init__(self, rows: list[tuple[Any, ...]], lastrowid: int, rowcount: int) -> None:
        self._rows = iter(rows)
        self.lastrowid = lastrowid
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)


class RecordingConnection:
    """As much of `sqlite3.Connection` as units of work use, over the recording disk."""

    def __init__(self, path: str, vfs: str) -> None:
        self._connection = apsw.Connection(path, vfs=vfs)
        # Without shared memory the log's index lives in the one connection that there is.
        self.execute("PRAGMA locking_mode=EXCLUSIVE")

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        try:
            rows = list(self._connection.execute(sql, parameters))
            return _Cursor(rows, self._connection.last_insert_rowid(), self._connection.changes())
        except apsw.ConstraintError as error:
            raise sqlite3.IntegrityError(str(error)) from error
        except apsw.Error as error:
            raise sqlite3.OperationalError(str(error)) from error

    def executemany(self, sql: str, rows: Iterable[Any]) -> None:
        for row in rows:
            self.execute(sql, row)

    def executescript(self, sql: str) -> None:
        self.execute(sql)

    def close(self) -> None:
        self._connection.close()


_vfs_numbers = itertools.count()


def connect_to(disk: RecordingDisk) -> Callable[[Path], Any]:
    """A connection factory for `Database.open`, to be used with `readers=0`."""
    name = f"recording-{os.getpid()}-{next(_vfs_numbers)}"
    vfs = _Vfs(name, disk)

    def connect(path: Path) -> Any:
        assert vfs  # kept alive by the factory
        return RecordingConnection(str(path), name)

    return connect
