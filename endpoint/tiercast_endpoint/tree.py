"""Writing, checking and deleting file trees without ever following a link (docs/on-the-endpoint.md).

Rules
- Everything below one open folder is reached component by component, each opened relative to its parent with
  `O_NOFOLLOW`: a link planted in the way, by a manifest or by another process, is an error and never a road out.
- Files are made with `O_EXCL`; nothing that exists is opened for writing.
- Links are made last, so that no file is ever written below one; folder modes come after that, deepest first.
- A file, its data and its mode are synced when it is closed, and the disk is asked to begin before, so that a large one
  leaves little for that moment; folders are synced at the end.  After `finish()`
  returns, only the rename is missing.
- Synchronous: called in a worker thread.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import blake3

from tiercast_protocol.node.files import begin_write_back

FILE, FOLDER, LINK = 0, 1, 2

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: Folders kept open at a time; lists are cut per folder, so a few serve nearly all.
_OPEN_FOLDERS = 32
#: No set-user-id and the like, unless the package's definition allows it in so many words.
PLAIN_MODES, ALL_MODES = 0o777, 0o7777
_READ = 1 << 20
#: Bytes of a file after which the disk is asked to begin with them.
_WRITE_BACK = 4 << 20


class TreeError(Exception):
    """The tree can't be as the manifest says: `code` is stable, `detail` says where and why."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class OpenTree:
    """Descriptors of folders below `root`, opened without following links.

    Args:
        root: the tree's own folder; it exists and is no link.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._fd = os.open(root, _FOLDER)
        self._open: OrderedDict[str, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def folder(self, path: str) -> int:
        """Descriptor of the folder `path` ("" is the root); valid until the next call.

        Raises:
            TreeError: a component is a link, no folder, or not there.
        """
        known, rest = path, []
        while known and known not in self._open:
            known, _, name = known.rpartition("/")
            rest.append(name)
        if known:
            self._open.move_to_end(known)
        fd = self._open[known] if known else self._fd
        # A loop, no recursion: a path may have two thousand components.
        for name in reversed(rest):
            known = f"{known}/{name}" if known else name
            fd = self._open[known] = self._enter(fd, name, known)
            while len(self._open) > _OPEN_FOLDERS:
                _, oldest = self._open.popitem(last=False)
                os.close(oldest)
        return fd

    @staticmethod
    def _enter(above: int, name: str, path: str) -> int:
        if name in {"", ".", ".."}:
            raise TreeError("tree.path", f"{path!r} is not a plain path")
        try:
            return os.open(name, _FOLDER, dir_fd=above)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENOENT}:
                raise TreeError("tree.path", f"{path!r} is reached through something that is no folder") from error
            raise

    def parent(self, path: str) -> tuple[int, str]:
        """Descriptor of the folder that holds `path`, and the last component.

        Raises:
            TreeError: as `folder`, or the last component is no plain name.
        """
        above, _, name = path.rpartition("/")
        if name in {"", ".", ".."} or "\0" in name:
            raise TreeError("tree.path", f"{path!r} is not a plain path")
        return self.folder(above), name

    def open_file(self, path: str) -> int:
        """A reading descriptor of the regular file `path`; the caller closes it."""
        above, name = self.parent(path)
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise TreeError("tree.path", f"{path!r} is no regular file")
        return fd


class TreeWriter(OpenTree):
    """Builds a new tree in the empty folder `root`.

    Args:
        root: an existing empty folder.
        modes: the permission bits that are applied.
        fsync: what makes a descriptor durable (tests count it).
    """

    def __init__(self, root: str, *, modes: int = PLAIN_MODES, fsync: Callable[[int], None] = os.fsync) -> None:
        super().__init__(root)
        self._mode_bits = modes
        self._fsync = fsync
        self._modes: list[tuple[str, int]] = []
        self._links: list[tuple[str, str]] = []
        self._written: list[tuple[int, str]] = []
        self._file: tuple[int, str, int, blake3.blake3] | None = None
        self._length = self._begun = 0

    @property
    def present(self) -> str | None:
        """Path of the file that was begun and has not ended."""
        return self._file[1] if self._file is not None else None

    def add_folder(self, path: str, mode: int) -> None:
        """Make the folder `path`; it gets `mode` at the end."""
        above, name = self.parent(path)
        self._made(path, lambda: os.mkdir(name, 0o700, dir_fd=above))
        self._modes.append((path, mode & self._mode_bits))

    def add_link(self, path: str, target: str) -> None:
        """Remember the link `path` -> `target`, made at the end."""
        self.parent(path)
        self._links.append((path, target))

    def begin_file(self, path: str, mode: int) -> None:
        """Make the file `path`; `write` and `end_file` follow."""
        above, name = self.parent(path)
        fd = self._made(path, lambda: os.open(name, _NEW, 0o600, dir_fd=above))
        self._file = (fd, path, mode & self._mode_bits, blake3.blake3())
        self._length = self._begun = 0

    def write(self, data: memoryview) -> None:
        """Append to the present file."""
        if self._file is None:
            raise RuntimeError("no file was begun")
        fd, _, _, hasher = self._file
        hasher.update(data)
        self._length += len(data)
        while data:
            data = data[os.write(fd, data) :]
        if self._length - self._begun >= _WRITE_BACK:
            begin_write_back(fd, self._begun, self._length - self._begun)
            self._begun = self._length

    def end_file(self, digest: bytes) -> None:
        """Give the present file its mode, and compare it with `digest` (BLAKE3-256 of the whole file).

        Raises:
            TreeError: the file is not what the manifest says.
        """
        if self._file is None:
            raise RuntimeError("no file was begun")
        fd, path, mode, hasher = self._file
        self._file = None
        self._written.append((fd, path))
        if hasher.digest() != digest:
            raise TreeError("tree.digest", f"{path!r} does not add up to its digest")
        os.fchmod(fd, mode)

    def flush(self) -> None:
        """Sync and close the files written since the last flush.

        They are synced together, not each as it ends: the first sync carries most of the others' journal entries.
        """
        written, self._written = self._written, []
        try:
            for fd, _ in written:
                self._fsync(fd)
        finally:
            for fd, _ in written:
                os.close(fd)

    def finish(self) -> None:
        """Make the links, set the folders' modes, sync all folders; the root gets 0755."""
        self.flush()
        for path, target in self._links:
            self._make_link(path, target)
        # Deepest first: a folder that forbids entry closes the way to those below it.
        for path, mode in sorted(self._modes, key=lambda item: item[0].count("/"), reverse=True):
            fd = self.folder(path)
            self._fsync_with_mode(fd, mode)
        self._fsync_with_mode(self._fd, 0o755)

    def _make_link(self, path: str, target: str) -> None:
        above, name = self.parent(path)
        self._made(path, lambda: os.symlink(target, name, dir_fd=above))

    def close(self) -> None:
        """Close every descriptor, finished or not."""
        if self._file is not None:
            os.close(self._file[0])
            self._file = None
        for fd, _ in self._written:
            os.close(fd)
        self._written = []
        super().close()

    def _fsync_with_mode(self, fd: int, mode: int) -> None:
        os.fchmod(fd, mode)
        self._fsync(fd)

    @staticmethod
    def _made(path: str, make: Callable[[], object]) -> int:
        try:
            made = make()
        except FileExistsError as error:
            raise TreeError(
                "tree.collision", f"{path!r} is there twice (this file system may not tell capitals from small letters)"
            ) from error
        except OSError as error:
            if error.errno in {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ENOENT, errno.ENOTDIR}:
                raise TreeError("tree.path", f"{path!r} can't be made here: {error.strerror}") from error
            raise
        return made if isinstance(made, int) else -1


def digest_of_file(tree: OpenTree, path: str) -> tuple[bytes, int, int]:
    """BLAKE3-256, size and mode of the regular file `path`, read in pieces."""
    fd = tree.open_file(path)
    try:
        hasher = blake3.blake3()
        while data := os.read(fd, _READ):
            hasher.update(data)
        at = os.fstat(fd)
        return hasher.digest(), at.st_size, stat.S_IMODE(at.st_mode)
    finally:
        os.close(fd)


def paths_of(root: str) -> Iterator[str]:
    """Every path below `root`, relative, folders before what is in them; never enters a link."""
    with OpenTree(root) as tree:
        waiting = [""]
        while waiting:
            at = waiting.pop()
            with os.scandir(tree.folder(at)) as found:
                entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
            for name, is_folder in entries:
                path = f"{at}/{name}" if at else name
                yield path
                if is_folder:
                    waiting.append(path)


def delete_tree(parent_fd: int, name: str) -> None:
    """Delete `name` (a folder, a file or a link) and all below it; what is absent is fine.

    Folders found below are moved up beside it first, so neither depth nor long paths matter.  May be repeated.
    """
    waiting = [name]
    number = 0
    while waiting:
        doomed = waiting.pop()
        fd = _unlink_or_open(parent_fd, doomed)
        if fd is None:
            continue
        try:
            with os.scandir(fd) as found:
                below = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
            for inner, is_folder in below:
                if not is_folder:
                    os.unlink(inner, dir_fd=fd)
                    continue
                number += 1
                moved = f".rest-{name}-{number}"
                _make_ours(fd, inner)
                os.rename(inner, moved, src_dir_fd=fd, dst_dir_fd=parent_fd)
                waiting.append(moved)
        finally:
            os.close(fd)
        os.rmdir(doomed, dir_fd=parent_fd)


def _unlink_or_open(parent_fd: int, name: str) -> int | None:
    """Unlink what is no folder (None); the descriptor of what is one."""
    try:
        os.unlink(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return None
    except (IsADirectoryError, PermissionError):
        _make_ours(parent_fd, name)
        return os.open(name, _FOLDER, dir_fd=parent_fd)
    return None


def _make_ours(parent_fd: int, name: str) -> None:
    """Let the owner read, enter and change the folder: the package's modes may forbid it."""
    mode = stat.S_IMODE(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, mode | stat.S_IRWXU, dir_fd=parent_fd)
