"""The part of the machine's file system that actions may touch: everything below one prefix.

Rules
- Every folder on the way is opened relative to its parent and no link is followed, so nobody can lead us elsewhere
  while we walk; a link on the way is refused by its name, and so is a path that something is mounted on.
- A thing is told by its image: kind, mode, owner and content.  Times are nobody's business.
- Blocking calls, made from worker threads.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import blake3

_READ = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NONE, FILE, LINK, FOLDER, OTHER = "none", "file", "link", "folder", "other"


class ActError(Exception):
    """An action can't be carried out: a stable code, a sentence, and the final state that the job gets."""

    def __init__(self, code: str, detail: str, state: str = "failed") -> None:
        super().__init__(detail)
        self.code, self.detail, self.state = code, detail, state


@dataclass(frozen=True, slots=True)
class Image:
    """What stands at a path.

    Attributes:
        kind: none, file, link, folder or other.
        mode: permission bits of a file or folder.
        uid, gid: its owner.
        digest: of a file's content, in hex.
        target: of a link.
        kept: where a copy of the file is kept; "" where there is none.
        inode: of a folder that was put there whole; 0 of all else.
    """

    kind: str = NONE
    mode: int = 0
    uid: int = 0
    gid: int = 0
    digest: str = ""
    target: str = ""
    kept: str = ""
    inode: int = 0

    def like(self, other: Image) -> bool:
        """Whether both hold the same, whoever owns it."""
        return (self.kind, self.digest, self.target) == (other.kind, other.digest, other.target)


class Prefix:
    """Everything below `path`.

    Args:
        path: absolute; "/" is the machine itself.
        mounts: the list of what is mounted where, as the kernel has it.
    """

    def __init__(self, path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> None:
        self.path = path
        self._mounts = mounts
        self._mounted: frozenset[str] | None = None

    @property
    def whole(self) -> bool:
        """Whether it is the machine itself."""
        return self.path == Path("/")

    def at(self, path: str) -> Path:
        """Where `path` is on the machine."""
        return self.path / path.removeprefix("/")

    @contextmanager
    def folder_of(self, path: str, *, mounted: bool = False) -> Iterator[tuple[int, str]]:
        """The folder that `path` stands in, open, and the last part of `path`; `mounted` is for who only looks.

        Raises:
            ActError: path.link, path.mount, path.foreign.
            FileNotFoundError: a folder on the way is missing.
        """
        parts = path.removeprefix("/").split("/")
        if not mounted and self._is_mounted(path):
            raise ActError("path.mount", f"{path} is a mount point; name a path below it, or unmount it")
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for number, part in enumerate(parts[:-1], 1):
                try:
                    inner = os.open(part, _FOLDER, dir_fd=fd)
                except OSError as error:
                    if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                        raise
                    raise self._no_folder("/" + "/".join(parts[:number]), fd, part) from error
                os.close(fd)
                fd = inner
            yield fd, parts[-1]
        finally:
            os.close(fd)

    def missing(self, path: str) -> list[str]:
        """The folders on the way to `path` that are not there, the highest first."""
        found: list[str] = []
        above = path.rpartition("/")[0]
        while above:
            try:
                with self.folder_of(above, mounted=True) as (fd, name):
                    if image_of(fd, name, content=False).kind != NONE:
                        break
            except FileNotFoundError:
                pass
            found.insert(0, above)
            above = above.rpartition("/")[0]
        return found

    def look(self, path: str, *, content: bool = True) -> Image:
        """What stands at `path`; of a file the digest only where `content` says so."""
        try:
            with self.folder_of(path) as (fd, name):
                return image_of(fd, name, content=content)
        except FileNotFoundError:
            return Image()

    def read(self, path: str, most: int) -> bytes:
        """The file at `path`; longer than `most` bytes is refused."""
        with self.folder_of(path) as (fd, name):
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=fd)
            with os.fdopen(file, "rb") as opened:
                data = opened.read(most + 1)
        if len(data) > most:
            raise ActError("file.long", f"{path} is longer than {most:,} bytes, which is no file of settings")
        return data

    def ids(self, owner: str, group: str) -> tuple[int, int]:
        """The numbers of a user and a group of this prefix; without a name root's, or our own where we are not root.

        Raises:
            ActError: user.unknown.
        """
        uid, gid = (0, 0) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        if owner:
            uid, first = self._user(owner)
            gid = gid if group else first
        if group:
            gid = self._group(group)
        return uid, gid

    def _user(self, name: str) -> tuple[int, int]:
        if self.whole:
            with suppress(KeyError):
                found = pwd.getpwnam(name)
                return found.pw_uid, found.pw_gid
        else:
            for fields in self._lines("etc/passwd", name):
                return int(fields[2]), int(fields[3])
        raise ActError("user.unknown", f"this machine has no user {name!r}; an action before this one may make it")

    def _group(self, name: str) -> int:
        if self.whole:
            with suppress(KeyError):
                return grp.getgrnam(name).gr_gid
        else:
            for fields in self._lines("etc/group", name):
                return int(fields[2])
        raise ActError("user.unknown", f"this machine has no group {name!r}; an action before this one may make it")

    def _lines(self, file: str, name: str) -> Iterator[list[str]]:
        with suppress(FileNotFoundError):
            for line in self.at(file).read_text("utf-8", "replace").splitlines():
                if line.startswith(f"{name}:"):
                    yield line.split(":")

    def look_again(self) -> None:
        """What is mounted where may be another: looked up when it is needed next."""
        self._mounted = None

    def _is_mounted(self, path: str) -> bool:
        if self._mounted is None:
            try:
                lines = self._mounts.read_text("utf-8", "replace").splitlines()
            except OSError:
                return os.path.ismount(self.at(path))
            self._mounted = frozenset(_plain(line.split(" ")[4]) for line in lines if line.count(" ") > 4)  # noqa: PLR2004
        return str(self.at(path)) in self._mounted

    def _no_folder(self, path: str, fd: int, part: str) -> ActError:
        here = os.stat(part, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISLNK(here.st_mode):
            target = os.readlink(part, dir_fd=fd)
            return ActError("path.link", f"{path} is a link to {target}, which is not followed; name the real path")
        return ActError("path.foreign", f"{path} is no folder")


def image_of(fd: int, name: str, *, content: bool = True) -> Image:
    """What `name` in the open folder is."""
    try:
        here = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return Image()
    mode, owner = stat.S_IMODE(here.st_mode), (here.st_uid, here.st_gid)
    if stat.S_ISREG(here.st_mode):
        return Image(FILE, mode, *owner, digest=_digest(fd, name) if content else "")
    if stat.S_ISLNK(here.st_mode):
        return Image(LINK, 0, *owner, target=os.readlink(name, dir_fd=fd))
    if stat.S_ISDIR(here.st_mode):
        return Image(FOLDER, mode, *owner, inode=here.st_ino)
    return Image(OTHER, mode, *owner)


def digest_of(data: bytes) -> str:
    """The digest of a file's content, as images have it."""
    return blake3.blake3(data).hexdigest()


def _digest(fd: int, name: str) -> str:
    hasher = blake3.blake3()
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=fd)
    try:
        while data := os.read(file, _READ):
            hasher.update(data)
    finally:
        os.close(file)
    return hasher.hexdigest()


def _plain(text: str) -> str:
    """A path of the list of mounts, whose blanks stand there as octal."""
    for code, mark in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, mark)
    return text
