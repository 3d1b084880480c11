"""Reading and deleting file trees without ever following a link (docs/on-the-endpoint.md).

Rules
- Everything below one open folder is reached component by component, each opened relative to its parent with
  `O_NOFOLLOW`: a link planted in the way, by a manifest or by another process, is an error and never a road out.
- Synchronous: called in a worker thread.  Writing: treewriter.py.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import blake3

FILE, FOLDER, LINK = 0, 1, 2

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Folders kept open at a time; lists are cut per folder, so a few serve nearly all.
_OPEN_FOLDERS = 32
#: No set-user-id and the like, unless the package's definition allows it in so many words.
PLAIN_MODES, ALL_MODES = 0o777, 0o7777
_READ = 1 << 20


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
                make_ours(fd, inner)
                while True:
                    number += 1
                    waiting.append(f".rest-{name}-{number}")
                    if _moved(fd, inner, parent_fd, waiting[-1]):
                        break
        finally:
            os.close(fd)
        os.rmdir(doomed, dir_fd=parent_fd)


def _moved(fd: int, name: str, parent_fd: int, to: str) -> bool:
    """Rename the folder `name` to `to`; False where a deletion that was cut off has left one there."""
    try:
        os.rename(name, to, src_dir_fd=fd, dst_dir_fd=parent_fd)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    return True


def _unlink_or_open(parent_fd: int, name: str) -> int | None:
    """Unlink what is no folder (None); the descriptor of what is one."""
    try:
        os.unlink(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return None
    except (IsADirectoryError, PermissionError):
        make_ours(parent_fd, name)
        return os.open(name, _FOLDER, dir_fd=parent_fd)
    return None


def make_ours(parent_fd: int, name: str) -> None:
    """Let the owner read, enter and change the folder: the package's modes may forbid it."""
    mode = stat.S_IMODE(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, mode | stat.S_IRWXU, dir_fd=parent_fd)
