"""A folder of the real disk whose every change is recorded, and what a power cut would have left of it.

Rules
- Code under test works on the folder with `os`; each call is recorded beside what the journal does on the
  `RecordingDisk`, so that one moment is the same moment for both.
- The promise of a disk at its word: bytes and mode of a file are safe after a sync of that file, a name after a sync of
  its folder, everything after a sync of the file system; nothing else is.  A rename within a folder is one change, one
  between folders is a new name in the one and a name less in the other.
- Each sync has a site (who called it); a site in the disk's `ignored` does nothing, which must make a test fail.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.crash.recording import RecordingDisk

from tiercast_endpoint.trees.treewriter import TreeWriter
from tiercast_protocol.node import files

#: Functions that sync for others: the site is whoever called them.
_WRAPPERS = {
    "fsync_folder",
    "_fsync_folder",
    "_sync_folder",
    "sync_folders",
    "_fsync_with_mode",
    "sync",
    "sync_file_system",
}


@dataclass(frozen=True, slots=True)
class Named:
    """In `folder` the name `new` stands for `inode` from now on, and `old` for nothing; each if any."""

    folder: int
    inode: int = 0
    new: str = ""
    old: str = ""


@dataclass(frozen=True, slots=True)
class Wrote:
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """An inode, or everything (0)."""

    inode: int


Change = Named | Wrote | Cut | Synced
#: What an inode is: a folder (None), a link (text), or a file (bytes).
Content = dict[str, bytes | str | None]


@dataclass
class Kept:
    """What a power cut leaves of one inode."""

    target: str | None = None
    folder: bool = False
    data: bytearray = field(default_factory=bytearray)
    names: dict[str, int] = field(default_factory=dict)


class TreeDisk:
    """Records what happens below `top`; what lies there at the start is safe.

    What is written past `os` (by a buffered file) is found where its file is synced or gets another name.
    """

    def __init__(self, disk: RecordingDisk, top: Path) -> None:
        self._disk = disk
        self.top = top
        self._numbers: dict[int, int] = {top.stat().st_ino: 1}
        self._last = 1
        #: Of every number: the target of a link, True for a folder, None for a file.
        self._kinds: dict[int, str | bool | None] = {1: True}
        self._guard = threading.RLock()
        self._data: dict[int, bytes] = {}
        for path in sorted(top.rglob("*")):
            folder = self._numbers[path.parent.stat().st_ino]
            kind = str(path.readlink()) if path.is_symlink() else True if path.is_dir() else None
            self._new(folder, path.name, path, None, kind)
            if kind is None:
                self._discover(path.stat().st_ino, path)
        self._note(Synced(0))

    # -- what a power cut leaves -----------------------------------------------------------------------

    def crash(self, prefix: int, rng: random.Random | None = None, chance: float = 0.0) -> Content:
        """Paths below the top after the first `prefix` operations of the disk and a power cut; see `RecordingDisk`."""
        rng = rng or random.Random(0)
        changes = [fact[1] for fact in self._disk.facts(prefix) if fact[0] == "tree"]
        synced: dict[int, int] = {}
        everything = -1
        for n, change in enumerate(changes):
            if isinstance(change, Synced):
                if change.inode:
                    synced[change.inode] = n
                else:
                    everything = n
        kept: dict[int, Kept] = {}
        for n, change in enumerate(changes):
            if isinstance(change, Synced):
                continue
            owner = change.folder if isinstance(change, Named) else change.inode
            if n < max(synced.get(owner, -1), everything) or rng.random() < chance:
                self._apply(kept.setdefault(owner, Kept()), change)
        found: Content = {}
        self._walk(kept, 1, "", found)
        return found

    @staticmethod
    def _apply(kept: Kept, change: Change) -> None:
        match change:
            case Named(_, inode, new, old):
                kept.names.pop(old, None)
                if new:
                    kept.names[new] = inode
            case Wrote(_, offset, data):
                kept.data.extend(bytes(max(0, offset - len(kept.data))))
                kept.data[offset : offset + len(data)] = data
            case Cut(_, size):
                del kept.data[size:]
                kept.data.extend(bytes(size - len(kept.data)))

    def _walk(self, kept: dict[int, Kept], folder: int, path: str, found: Content) -> None:
        for name, inode in kept.get(folder, Kept()).names.items():
            inner = f"{path}/{name}" if path else name
            kind = self._kinds[inode]
            if kind is True:
                found[inner] = None
                self._walk(kept, inode, inner, found)
            else:
                found[inner] = kind if isinstance(kind, str) else bytes(kept.get(inode, Kept()).data)

    # -- recording -------------------------------------------------------------------------------------

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record every change below the top while the block runs."""
        with ExitStack() as stack:
            for name in ("mkdir", "symlink", "unlink", "rmdir", "rename", "replace", "link", "open", "write", "pwrite",
                         "pwritev", "writev", "ftruncate", "fsync", "fdatasync"):  # fmt: skip
                plain = getattr(os, name)
                handler = getattr(self, f"_{'rename' if name == 'replace' else name}")
                stack.enter_context(patch.object(os, name, self._guarded(plain, handler)))
            stack.enter_context(patch.object(os, "remove", os.unlink))
            defaults: dict[str, Any] = dict(TreeWriter.__init__.__kwdefaults__ or {})
            stack.enter_context(
                patch.object(
                    TreeWriter.__init__,
                    "__kwdefaults__",
                    defaults | {"fsync": os.fsync},
                )
            )
            whole: Any = files._syncfs
            stack.enter_context(patch.object(files, "_syncfs", self._guarded(whole, self._syncfs)))
            yield

    def _guarded(self, plain: Callable[..., Any], handler: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            with self._guard:
                return handler(plain, *args, **more)

        return call

    def _note(self, change: Change) -> None:
        if isinstance(change, Wrote):
            data = bytearray(self._data.get(change.inode, b""))
            data.extend(bytes(max(0, change.offset - len(data))))
            data[change.offset : change.offset + len(change.data)] = change.data
            self._data[change.inode] = bytes(data)
        elif isinstance(change, Cut):
            self._data[change.inode] = self._data.get(change.inode, b"")[: change.size].ljust(change.size, b"\0")
        self._disk.fact("tree", change)

    def _discover(self, real: int, path: Path) -> None:
        """Note what the file holds that was not seen to be written."""
        inode = self._numbers.get(real, 0)
        if not inode or self._kinds[inode] is not None:
            return
        content = path.read_bytes()
        if content != self._data.get(inode, b""):
            self._note(Cut(inode, 0))
            self._note(Wrote(inode, 0, content))

    def _sync(self, inode: int) -> None:
        frame = sys._getframe(3)
        while frame.f_back is not None and frame.f_code.co_name in _WRAPPERS:
            frame = frame.f_back
        site = f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}:{frame.f_lineno}"
        with self._disk.lock:
            self._disk.sites.add(site)
            if site not in self._disk.ignored:
                self._note(Synced(inode))

    def _place(self, path: Any, dir_fd: int | None) -> tuple[int, str]:
        """Number of the folder that holds `path`, 0 for one that is not ours; and the name in it."""
        above, _, name = os.fspath(path).rpartition("/")
        at = os.stat(above or ("/" if os.fspath(path).startswith("/") else "."), dir_fd=dir_fd).st_ino
        return self._numbers.get(at, 0), name

    def _new(self, folder: int, name: str, path: Any, dir_fd: int | None, kind: str | bool | None) -> int:
        self._last += 1
        self._numbers[os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_ino] = self._last
        self._kinds[self._last] = kind
        self._note(Named(folder, self._last, new=name))
        return self._last

    def _mkdir(self, plain: Any, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        plain(path, mode, dir_fd=dir_fd)
        folder, name = self._place(path, dir_fd)
        if folder:
            self._new(folder, name, path, dir_fd, True)

    def _symlink(self, plain: Any, target: Any, path: Any, folder: bool = False, *, dir_fd: int | None = None) -> None:
        plain(target, path, folder, dir_fd=dir_fd)
        above, name = self._place(path, dir_fd)
        if above:
            self._new(above, name, path, dir_fd, os.fspath(target))

    def _open(self, plain: Any, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        new = bool(flags & os.O_CREAT) and not os.path.lexists(
            path if dir_fd is None else f"/proc/self/fd/{dir_fd}/{path}"
        )
        fd: int = plain(path, flags, mode, dir_fd=dir_fd)
        if new and (place := self._place(path, dir_fd))[0]:
            self._new(*place, path, dir_fd, None)
        return fd

    def _unlink(self, plain: Any, path: Any, *, dir_fd: int | None = None) -> None:
        folder, name = self._place(path, dir_fd)
        plain(path, dir_fd=dir_fd)
        if folder:
            self._note(Named(folder, old=name))

    _rmdir = _unlink

    def _rename(
        self, plain: Any, old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        (above, name), (to, called) = self._place(old, src_dir_fd), self._place(new, dst_dir_fd)
        real = os.stat(old, dir_fd=src_dir_fd, follow_symlinks=False).st_ino
        inode = self._numbers.get(real, 0)
        if inode and self._kinds[inode] is None:
            self._discover(real, Path(old if src_dir_fd is None else f"/proc/self/fd/{src_dir_fd}/{old}"))
        with suppress(FileNotFoundError):
            if os.stat(new, dir_fd=dst_dir_fd, follow_symlinks=False).st_ino == real:
                return  # two names of one file: the system does nothing
        plain(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        if not (above and to and inode):
            return
        if above == to:
            self._note(Named(to, inode, new=called, old=name))
        else:
            self._note(Named(to, inode, new=called))
            self._note(Named(above, old=name))

    def _link(
        self, plain: Any, old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:  # fmt: skip
        plain(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
        inode = self._numbers.get(os.stat(new, dir_fd=dst_dir_fd, follow_symlinks=False).st_ino, 0)
        folder, name = self._place(new, dst_dir_fd)
        if inode and folder:
            self._note(Named(folder, inode, new=name))

    def _of(self, fd: int) -> int:
        return self._numbers.get(os.fstat(fd).st_ino, 0)

    def _write(self, plain: Any, fd: int, data: Any) -> int:
        at = os.lseek(fd, 0, os.SEEK_CUR) if self._of(fd) else 0
        written: int = plain(fd, data)
        if inode := self._of(fd):
            self._note(Wrote(inode, at, bytes(data)[:written]))
        return written

    def _writev(self, plain: Any, fd: int, parts: Any) -> int:
        at = os.lseek(fd, 0, os.SEEK_CUR) if self._of(fd) else 0
        written: int = plain(fd, parts)
        if inode := self._of(fd):
            self._note(Wrote(inode, at, b"".join(parts)[:written]))
        return written

    def _pwrite(self, plain: Any, fd: int, data: Any, offset: int) -> int:
        written: int = plain(fd, data, offset)
        if inode := self._of(fd):
            self._note(Wrote(inode, offset, bytes(data)[:written]))
        return written

    def _pwritev(self, plain: Any, fd: int, parts: Any, offset: int) -> int:
        written: int = plain(fd, parts, offset)
        if inode := self._of(fd):
            self._note(Wrote(inode, offset, b"".join(parts)[:written]))
        return written

    def _ftruncate(self, plain: Any, fd: int, size: int) -> None:
        plain(fd, size)
        if inode := self._of(fd):
            self._note(Cut(inode, size))

    def _fsync(self, plain: Any, fd: int) -> None:
        del plain
        if inode := self._of(fd):
            self._discover(os.fstat(fd).st_ino, Path(f"/proc/self/fd/{fd}"))
            self._sync(inode)

    _fdatasync = _fsync

    def _syncfs(self, plain: Any, fd: int) -> int:
        del plain, fd
        self._sync(0)
        return 0
