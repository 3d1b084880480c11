"""Writing a file tree without ever following a link (docs/on-the-endpoint.md).

Rules
- Every path is reached as tree.py says.  Files are made with `O_EXCL`; nothing that exists is opened for writing, but
  what this agent itself left unfinished in its staging folder, and that is proved before it counts.
- Small files are written from front to back; large ones grow (growing.py), perhaps before their folder has its turn:
  the folder is made then, and must be added later.
- Links are made last, so that no file is ever written below one; folder modes come after that, deepest first.
- Of a tree of few files each is synced, data and mode, when it ends, and folders at the end.  A tree of many is synced
  at the end, with all of its file system: a sync of each costs many times their bytes.  After `finish()` returns, only
  the rename is missing.
- Synchronous: called in worker threads, of which several may call `grow` and put into what it gave.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import blake3

from tiercast_endpoint.trees.growing import GrowingFile
from tiercast_endpoint.trees.tree import PLAIN_MODES, OpenTree, TreeError, make_ours, paths_of
from tiercast_protocol.node.files import SYNCS_FILE_SYSTEMS, begin_write_back, sync_file_system
from tiercast_protocol.transfer.ranges import RangeSet

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AGAIN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Growing files that have a descriptor at a time.
_OPEN_FILES = 64
#: Parts of one vectored write; the system's limit is 1,024.
_MOST_PARTS = 512
#: Bytes of a small file from which the disk is asked to begin with them at once.
_WRITE_BACK = 32 << 10


class TreeWriter(OpenTree):
    """Builds a new tree in the folder `root`.

    Args:
        root: an existing folder: empty, or what an earlier life left.
        modes: the permission bits that are applied.
        fsync, sync_all: what makes a descriptor, and its whole file system, durable (tests count it).
        many: whether all is synced at the end, where the system can; what files hold is not durable before.
        claimed: which bytes of which files an earlier life left there; all else in the folder is deleted.
    """

    def __init__(
        self,
        root: str,
        *,
        modes: int = PLAIN_MODES,
        fsync: Callable[[int], None] = os.fsync,
        sync_all: Callable[[int], None] = sync_file_system,
        many: bool = False,
        claimed: Mapping[str, RangeSet] | None = None,
    ) -> None:
        super().__init__(root)
        self._mode_bits = modes
        self._fsync = fsync
        self._sync_all = sync_all
        self._many = many and SYNCS_FILE_SYSTEMS
        self._modes: list[tuple[str, int]] = []
        self._links: list[tuple[str, str]] = []
        self._written: list[tuple[int, str]] = []
        self._file: tuple[int, str, int, blake3.blake3] | None = None
        self._growing: dict[str, GrowingFile] = {}
        self._open_files: OrderedDict[str, GrowingFile] = OrderedDict()
        #: Folders that were made for a growing file before their turn.
        self._early: set[str] = set()
        self._guard = threading.RLock()
        self._given = _given_modes(self._fd) if self._many else 0
        self._claimed = dict(claimed or {})
        if claimed:
            self._sweep()

    # -- in the manifest's order -----------------------------------------------------------------------

    @property
    def present(self) -> str | None:
        """Path of the small file that was begun and has not ended."""
        return self._file[1] if self._file is not None else None

    def add_folder(self, path: str, mode: int) -> None:
        """Make the folder `path`; it gets `mode` at the end."""
        with self._guard:
            above, name = self.parent(path)
            if path in self._early:
                self._early.remove(path)
            else:
                self._made(path, lambda: os.mkdir(name, 0o700, dir_fd=above))
        self._modes.append((path, mode & self._mode_bits))

    def add_link(self, path: str, target: str) -> None:
        """Remember the link `path` -> `target`, made at the end."""
        with self._guard:
            self.parent(path)
        self._links.append((path, target))

    def add_file(self, path: str, mode: int, parts: Sequence[memoryview], digest: bytes) -> None:
        """Make the small file `path` out of `parts`; with a digest it is compared, without one it was.

        Raises:
            TreeError: the file is not what the manifest says.
        """
        fd = self._make_file(path)
        self._written.append((fd, path))
        if digest:
            hasher = blake3.blake3()
            for part in parts:
                hasher.update(part)
            _compare(path, hasher.digest(), digest)
        _write_parts(fd, parts)
        os.fchmod(fd, mode & self._mode_bits)

    def put_file(self, folders: OpenTree, path: str, mode: int, parts: Sequence[memoryview]) -> None:
        """Make the small file `path` of a tree that is synced at the end out of `parts`, which were proved.

        Several threads may, each with `folders` of its own.

        Raises:
            TreeError: it can't be made here.
        """
        mode &= self._mode_bits
        above, name = folders.parent(path)
        # A mode that the system gives to what is made needs no second call.
        given = not mode & ~self._given
        fd = self._made(path, lambda: os.open(name, _NEW, mode if given else 0o600, dir_fd=above))
        try:
            size = _write_parts(fd, parts)
            if not given:
                os.fchmod(fd, mode)
            if size >= _WRITE_BACK:
                begin_write_back(fd, 0, size)
        finally:
            os.close(fd)

    def begin_file(self, path: str, mode: int) -> None:
        """Make the small file `path`; `write` and `end_file` follow."""
        fd = self._make_file(path)
        self._file = (fd, path, mode & self._mode_bits, blake3.blake3())

    def write(self, data: memoryview) -> None:
        """Append to the present file."""
        if self._file is None:
            raise RuntimeError("no file was begun")
        fd, _, _, hasher = self._file
        hasher.update(data)
        while data:
            data = data[os.write(fd, data) :]

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
        _compare(path, hasher.digest(), digest)
        os.fchmod(fd, mode)

    # -- in any order ----------------------------------------------------------------------------------

    def grow(self, path: str) -> GrowingFile:
        """The large file `path`, made (with its folders) when it is asked for first; `end_growing` follows.

        Raises:
            TreeError: as `begin_file`.
        """
        parked: GrowingFile | None = None
        with self._guard:
            file = self._growing.get(path)
            if file is None:
                claimed = self._claimed.pop(path, None)
                if claimed is None:
                    self._make_parents(path)
                    os.close(self._make_file(path))
                file = GrowingFile(path, lambda: self._open_again(path), claimed)
                self._growing[path] = self._open_files[path] = file
                if len(self._open_files) > _OPEN_FILES:
                    _, parked = self._open_files.popitem(last=False)
        if parked is not None:
            parked.park()  # outside: who puts into it may be about to open it
        return file

    def end_growing(self, path: str, mode: int, digest: bytes, size: int) -> None:
        """All of it was put: give it its mode and compare it; where not all is synced at the end, sync it.

        Raises:
            TreeError: the file is not what the manifest says.
        """
        file = self.grow(path)
        found, length = file.seal(mode & self._mode_bits)
        if length != size:
            raise TreeError("tree.digest", f"{path!r} has {length} bytes where {size} belong")
        _compare(path, found, digest)
        if not self._many:
            file.sync(self._fsync)
        file.close()
        with self._guard:
            self._open_files.pop(path, None)
            # A second entry of this name finds it there, whether it is large or small.
            del self._growing[path]

    # -- the end ---------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Close the small files written since the last flush; where not all is synced at the end, sync them.

        They are synced together, not each as it ends: the first sync carries most of the others' journal entries.
        """
        written, self._written = self._written, []
        try:
            for fd, _ in written:
                if self._many:
                    begin_write_back(fd, 0, 0)
                else:
                    self._fsync(fd)
        finally:
            for fd, _ in written:
                os.close(fd)

    def finish(self) -> None:
        """Make the links, set the folders' modes, sync all folders; the root gets 0755."""
        self.flush()
        stray = next(iter([*self._growing, *self._claimed, *sorted(self._early)]), None)
        if stray is not None:
            raise TreeError("tree.path", f"{stray!r} is there and does not belong there")
        for path, target in self._links:
            self._make_link(path, target)
        # Deepest first: a folder that forbids entry closes the way to those below it.
        folders = sorted(self._modes, key=lambda item: item[0].count("/"), reverse=True)
        if not self._many:
            for path, mode in folders:
                self._fsync_with_mode(self.folder(path), mode)
            self._fsync_with_mode(self._fd, 0o755)
            return
        for path, mode in folders:
            os.fchmod(self.folder(path), mode)
        os.fchmod(self._fd, 0o755)
        # The root was opened before the first write: what failed since then is told here.
        self._sync_all(self._fd)

    def close(self) -> None:
        """Close every descriptor, finished or not; waits for who puts."""
        for file in list(self._growing.values()):
            file.close()
        if self._file is not None:
            os.close(self._file[0])
            self._file = None
        for fd, _ in self._written:
            os.close(fd)
        self._written = []
        super().close()

    # -- within ----------------------------------------------------------------------------------------

    def _make_file(self, path: str) -> int:
        with self._guard:
            above, name = self.parent(path)
            return self._made(path, lambda: os.open(name, _NEW, 0o600, dir_fd=above))

    def _make_parents(self, path: str) -> None:
        """Make the folders above `path` that had no turn yet."""
        if {"", ".", ".."} & set(path.split("/")):
            raise TreeError("tree.path", f"{path!r} is not a plain path")
        missing = []
        above = path.rpartition("/")[0]
        while above:
            try:
                self.folder(above)
                break
            except TreeError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
            missing.append(above)
            above = above.rpartition("/")[0]
        for folder in reversed(missing):
            parent, name = self.parent(folder)
            os.mkdir(name, 0o700, dir_fd=parent)
            self._early.add(folder)

    def _open_again(self, path: str) -> int:
        """A file that this agent made here before, to read and write."""
        with self._guard:
            above, name = self.parent(path)
            try:
                fd = os.open(name, _AGAIN, dir_fd=above)
            except PermissionError:
                # It had its mode already, when the life before ended.
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
                os.fchmod(fd, 0o600)
                os.close(fd)
                fd = os.open(name, _AGAIN, dir_fd=above)
        at = os.fstat(fd)
        if not stat.S_ISREG(at.st_mode) or at.st_nlink != 1:
            os.close(fd)
            raise TreeError("tree.path", f"{path!r} is no file of ours")
        return fd

    def _sweep(self) -> None:
        """Delete all but folders and claimed files; forget claims on what is not there."""
        there: set[str] = set()
        # Folders come before what is in them, so from behind the folders are empty when they have their turn.
        for path in reversed(list(paths_of(self.root))):
            above, name = self.parent(path)
            at = os.stat(name, dir_fd=above, follow_symlinks=False)
            if stat.S_ISDIR(at.st_mode):
                make_ours(above, name)
                self._early.add(path)
            elif stat.S_ISREG(at.st_mode) and at.st_nlink == 1 and path in self._claimed:
                there.add(path)
            else:
                os.unlink(name, dir_fd=above)
        self._claimed = {path: ranges for path, ranges in self._claimed.items() if path in there}

    def _make_link(self, path: str, target: str) -> None:
        above, name = self.parent(path)
        self._made(path, lambda: os.symlink(target, name, dir_fd=above))

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


def _write_parts(fd: int, parts: Sequence[memoryview]) -> int:
    """Write all of a new file; its bytes."""
    size = sum(map(len, parts))
    if parts and os.writev(fd, parts[:_MOST_PARTS]) < size:
        os.ftruncate(fd, 0)
        rest = memoryview(b"".join(parts))
        done = 0
        while done < size:
            done += os.pwrite(fd, rest[done:], done)
    return size


def _given_modes(root: int) -> int:
    """Which permission bits what is made below the folder gets for the asking: umask and access lists take some."""
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, PLAIN_MODES, dir_fd=root)
    except (OSError, AttributeError):
        return 0
    try:
        return stat.S_IMODE(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def _compare(path: str, found: bytes, digest: bytes) -> None:
    if found != digest:
        raise TreeError("tree.digest", f"{path!r} does not add up to its digest")
