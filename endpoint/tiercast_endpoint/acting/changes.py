"""Placed files: staged beside their places, renamed one by one, and back (docs/actions.md, "Placed").

Rules
- In this order, each synced before the next: what stands is kept; what is to stand is staged beside it; the journal
  says so; names are changed; the journal says so.  A reader sees each file old or new, never half.
- `stage` may be done again from the start; `switch` and `restore` may be done again from wherever they were cut off.
- A kept file is a second name for the very file where the file system has one for us, else a copy with mode, owner,
  times and attributes; so what comes back is what was there.
- What somebody changed after us is not destroyed by going back: it stays beside its place, under a name that is told.
- A folder that is put there whole changes its name once: exchanged with the old one in one step.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import blake3

from tiercast_endpoint.acting.prefix import FILE, FOLDER, LINK, NONE, ActError, Image, Prefix, digest_of, image_of
from tiercast_endpoint.acting.syncing import sync_files, sync_folders
from tiercast_endpoint.trees.tree import delete_tree
from tiercast_protocol.node.files import RealFiles

_EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)
ASIDE = ".tiercast-old"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept under this name comes back as it was."""

    name: str


@dataclass(frozen=True, slots=True)
class Here:
    """A copy of what stands at this path below the prefix; opened as it is looked at: no link is followed."""

    path: str


#: What a staged file gets: bytes, a file of the tree to copy, a copy of what stands somewhere, or what is kept; of a
#: folder: what builds it there.
Fill = bytes | Path | Here | Kept | Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Change:
    """One path that gets another image.

    Attributes:
        path: below the prefix.
        before, after: what stood there, and what is to.
        staged: the name beside it under which the new thing waits, and a folder's old one stays.
        whole: it is a folder that is put there, or taken away, whole.
    """

    path: str
    before: Image
    after: Image
    staged: str = ""
    whole: bool = False


class Changer:
    """Makes changes below a prefix, and takes them back.

    Args:
        prefix: where.
        keep: the folder for what stood there before; the agent's own.
    """

    def __init__(self, prefix: Prefix, keep: Path) -> None:
        self.prefix = prefix
        self._keep = keep

    # -- forward ---------------------------------------------------------------------------------------

    def stage(self, changes: Iterable[Change], fills: Mapping[str, Fill]) -> list[Change]:
        """Keep what stands, stage what is to stand, sync both; the changes as they are then.

        Raises:
            ActError, OSError: nothing has changed but folders that are new and empty, and what is staged: `restore` it.
        """
        found: list[Change] = []
        files: list[Change] = []
        self.prefix.look_again()
        for change in changes:
            if change.before.kind == FILE and change.before.kept:
                self._keep_file(change)
            if not change.staged or change.after.kind == NONE:
                if change.after.kind == FOLDER and change.before.kind == NONE:
                    self._make_folder(change)
                found.append(change)
                continue
            with self.prefix.folder_of(change.path) as (fd, _):
                self._drop(fd, change.staged)
                # By the open folder, not by its path: nobody puts another in its place meanwhile.
                place = Path(f"/proc/self/fd/{fd}") / change.staged
                after = self._fill(fd, change, place, fills.get(change.path))
            if after.kind == FILE:
                files.append(change)
            found.append(replace(change, after=after))
        staged = ((change.path.rpartition("/")[0], change.staged) for change in files)
        built = [change for change in found if change.whole and change.after.kind == FOLDER]
        sync_files(self.prefix, staged, [change.path.rpartition("/")[0] for change in built])
        # Names are as much of what is staged as bytes: what the journal calls ready has only to be renamed.
        sync_folders(self.prefix, {change.path.rpartition("/")[0] for change in found})
        RealFiles().fsync_folder(self._keep)
        return found

    def switch(self, changes: Iterable[Change]) -> None:
        """Give everything its name."""
        touched: set[str] = set()
        self.prefix.look_again()
        for change in changes:
            with suppress(FileNotFoundError), self.prefix.folder_of(change.path) as (fd, name):
                self._switch(fd, name, change)
            touched.add(change.path.rpartition("/")[0])
        sync_folders(self.prefix, touched)

    def _switch(self, fd: int, name: str, change: Change) -> None:
        after, before = change.after, change.before
        if after.kind == NONE:
            if change.whole:
                with suppress(FileNotFoundError):
                    os.rename(name, change.staged, src_dir_fd=fd, dst_dir_fd=fd)
            elif before.kind == FOLDER:
                # Somebody's files may lie in it by now: it stays for them.
                with suppress(OSError):
                    os.rmdir(name, dir_fd=fd)
            else:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=fd)
        elif after.kind == FOLDER and not change.whole:
            if rights_differ(image_of(fd, name), after):
                _own(fd, name, after)
        elif change.whole and before.kind == FOLDER:
            if image_of(fd, name).inode != after.inode:
                _exchange(fd, change.staged, name)
        else:
            with suppress(FileNotFoundError):
                _rename(fd, change.staged, name)

    def forget(self, changes: Iterable[Change]) -> None:
        """Nobody goes back any more: delete the old folders that wait beside the new ones, and what is empty then."""
        for change in changes:
            with suppress(FileNotFoundError, ActError), self.prefix.folder_of(change.path) as (fd, name):
                if change.staged:
                    self._drop(fd, change.staged)
                elif change.before.kind == FOLDER and change.after.kind == NONE:
                    with suppress(OSError):
                        os.rmdir(name, dir_fd=fd)

    # -- back ------------------------------------------------------------------------------------------

    def restore(self, changes: Iterable[Change], *, switched: bool) -> list[str]:
        """Take changes back, the last one first; what was put aside because somebody had changed it."""
        told: list[str] = []
        touched: set[str] = set()
        for change in reversed(list(changes)):
            with suppress(FileNotFoundError), self.prefix.folder_of(change.path) as (fd, name):
                if switched:
                    told += self._back(fd, name, change)
                elif change.before.kind == NONE and change.after.kind == FOLDER and not change.whole:
                    with suppress(OSError):
                        os.rmdir(name, dir_fd=fd)
                if change.staged and not (change.whole and change.after.kind == NONE and not switched):
                    self._drop(fd, change.staged)
            touched.add(change.path.rpartition("/")[0])
        sync_folders(self.prefix, touched)
        return told

    def _back(self, fd: int, name: str, change: Change) -> list[str]:  # noqa: C901, PLR0912 - one line per pair of kinds
        before, after = change.before, change.after
        here = image_of(fd, name)
        told: list[str] = []
        if change.whole:
            self._folder_back(fd, name, change, here)
        elif before.kind == FOLDER:
            if here.kind == NONE:
                os.mkdir(name, before.mode, dir_fd=fd)
            if image_of(fd, name).kind == FOLDER and rights_differ(image_of(fd, name), before):
                _own(fd, name, before)
        elif after.kind == FOLDER:
            with suppress(OSError):
                os.rmdir(name, dir_fd=fd)
        elif here.like(before) and not before.kept:
            if here.kind == FILE and rights_differ(here, before):
                _own(fd, name, before)
        else:
            if here.kind in {FILE, LINK} and not (here.like(after) or here.like(before)):
                told.append(self._aside(fd, name, change.path))
            if before.kind == NONE:
                if here.kind in {FILE, LINK}:
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=fd)
            else:
                beside = f".tiercast-back-{name}"[:250]
                self._drop(fd, beside)
                if before.kind == LINK:
                    os.symlink(before.target, beside, dir_fd=fd)
                    _own(fd, beside, before)
                else:
                    self._bring(fd, beside, before)
                _rename(fd, beside, name)
        return told

    def _folder_back(self, fd: int, name: str, change: Change, here: Image) -> None:
        before, after = change.before, change.after
        if before.kind == FOLDER and after.kind == NONE:
            if here.kind == NONE:
                with suppress(FileNotFoundError):
                    os.rename(change.staged, name, src_dir_fd=fd, dst_dir_fd=fd)
        elif before.kind == FOLDER:
            if here.inode == after.inode:
                _exchange(fd, change.staged, name)
        elif here.kind == FOLDER and here.inode == after.inode:
            os.rename(name, change.staged, src_dir_fd=fd, dst_dir_fd=fd)

    def _aside(self, fd: int, name: str, path: str) -> str:
        aside = free_name(fd, name + ASIDE)
        os.link(name, aside, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
        return f"{path} was changed meanwhile; it is kept as {aside}"

    # -- what is kept ----------------------------------------------------------------------------------

    def _keep_file(self, change: Change) -> None:
        kept = self._keep / change.before.kept
        with suppress(FileNotFoundError):
            kept.unlink()
        with self.prefix.folder_of(change.path) as (fd, name):
            try:
                os.link(name, kept, src_dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}:
                    raise
                _copy(Path(f"/proc/self/fd/{fd}") / name, kept)

    def _bring(self, fd: int, beside: str, before: Image) -> None:
        kept = self._keep / before.kept
        try:
            os.link(kept, beside, dst_dir_fd=fd)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}:
                raise
            _copy(kept, Path(f"/proc/self/fd/{fd}") / beside)

    def kept(self) -> list[str]:
        """What is kept."""
        return [entry.name for entry in self._keep.iterdir() if not entry.is_dir()]

    def unkeep(self, name: str) -> None:
        """Nobody goes back to it any more."""
        with suppress(FileNotFoundError):
            (self._keep / name).unlink()

    # -- staging ---------------------------------------------------------------------------------------

    def _fill(self, fd: int, change: Change, place: Path, fill: Fill | None) -> Image:
        after = change.after
        if after.kind == LINK:
            os.symlink(after.target, change.staged, dir_fd=fd)
            _own(fd, change.staged, after)
        elif change.whole:
            os.mkdir(change.staged, 0o700, dir_fd=fd)
            if callable(fill):
                fill(place)
            _own(fd, change.staged, after)
        elif isinstance(fill, Kept):
            self._bring(fd, change.staged, replace(after, kept=fill.name))
        elif isinstance(fill, (bytes, Path, Here)):
            file = os.open(change.staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd)
            with os.fdopen(file, "wb") as opened:
                after = replace(after, digest=self._write(fill, opened))
            _own(fd, change.staged, after)
        done = image_of(fd, change.staged, content=False)
        return replace(done, digest=after.digest)

    def _write(self, fill: bytes | Path | Here, to: IO[bytes]) -> str:
        """Write it; the digest of what was written."""
        if isinstance(fill, bytes):
            to.write(fill)
            return digest_of(fill)
        if isinstance(fill, Path):
            with fill.open("rb") as source:
                return _copied(source, to)
        with self.prefix.folder_of(fill.path) as (fd, name):
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=fd)
            with os.fdopen(file, "rb") as source:
                return _copied(source, to)

    def _make_folder(self, change: Change) -> None:
        with self.prefix.folder_of(change.path) as (fd, name):
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=fd)
            _own(fd, name, change.after)

    def _drop(self, fd: int, name: str) -> None:
        here = image_of(fd, name, content=False)
        if here.kind == FOLDER:
            delete_tree(fd, name)
        elif here.kind != NONE:
            os.unlink(name, dir_fd=fd)


def free_name(fd: int, name: str) -> str:
    """`name`, or `name` with the first number that nobody has."""
    number, found = 1, name
    while image_of(fd, found, content=False).kind != NONE:
        number += 1
        found = f"{name}.{number}"
    return found


def _copied(source: IO[bytes], to: IO[bytes]) -> str:
    """Copy all of it; the digest of what was copied."""
    hasher = blake3.blake3()
    while data := source.read(1 << 20):
        hasher.update(data)
        to.write(data)
    return hasher.hexdigest()


def rights_differ(here: Image, wanted: Image) -> bool:
    """Whether mode or owner are others; only root can say who owns a thing."""
    owner = os.geteuid() == 0 and (here.uid, here.gid) != (wanted.uid, wanted.gid)
    return owner or here.mode != wanted.mode


def _own(fd: int, name: str, image: Image) -> None:
    """Owner first: a change of it takes set-user-id bits away."""
    here = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if (here.st_uid, here.st_gid) != (image.uid, image.gid):
        os.chown(name, image.uid, image.gid, dir_fd=fd, follow_symlinks=False)
    if not stat.S_ISLNK(here.st_mode):
        os.chmod(name, image.mode, dir_fd=fd)


def _copy(source: Path, to: Path) -> None:
    """The file with all that belongs to it, synced."""
    shutil.copy2(source, to, follow_symlinks=False)
    here = source.lstat()
    os.chown(to, here.st_uid, here.st_gid, follow_symlinks=False)
    to.chmod(stat.S_IMODE(here.st_mode))
    fd = os.open(to, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _rename(fd: int, name: str, to: str) -> None:
    """Rename; where both are names of one file already, the system does nothing, and we take the first away."""
    os.rename(name, to, src_dir_fd=fd, dst_dir_fd=fd)
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=fd)


def _exchange(fd: int, one: str, other: str) -> None:
    """Two names in an open folder change their things, in one step."""
    if _libc.renameat2(fd, os.fsencode(one), fd, os.fsencode(other), _EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), other)
