"""Walks a folder and says what would go into a package.

Rules
- No link is followed, hidden files count, a hard link is a file like any other, names decide the order.
- What a package can't hold is refused before a byte is read, with the path and what to do: devices, sockets, pipes,
  names that are not UTF-8, two names that differ by case only, links that leave the tree, setuid bits that
  the definition does not allow.
- The first of these is the end, unless a caller wants to hear of all: then each is told, and what it is about left out.
- Size, time and inode are remembered, so that `seal` sees a file that changes while it is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from tiercast_protocol.content.sealed.manifest import Kind, check_path, check_target, folder_of, order_key
from tiercast_protocol.content.sealed.paths import folded
from tiercast_protocol.errors import MessageInvalid, UsageError

_SPECIAL = {
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that a file is still the one that was seen."""

    size: int
    mtime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stamp:
        """The stamp of a stat's result."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)


@dataclass(frozen=True, slots=True)
class Found:
    """One file, folder or link below the top, `path` as in the manifest."""

    path: str
    kind: Kind
    mode: int
    target: str
    stamp: Stamp


#: Hears of a mistake; what it raises ends the look.
Wrong = Callable[[UsageError], None]


def refuse(error: UsageError) -> None:
    """The usual one: the first mistake is the end.

    Raises:
        UsageError: `error`.
    """
    raise error


def scan(
    folder: Path,
    *,
    allow_setuid: bool = False,
    allow_case_collisions: bool = False,
    exclude: Collection[str] = (),
    wrong: Wrong = refuse,
) -> list[Found]:
    """Everything below `folder` in tree order, but for the paths of `exclude` and what is below them.

    About 500 bytes of memory per entry.

    Raises:
        UsageError: not a folder, or something in it that a package can't hold, as `wrong` has it.
    """
    if not folder.is_dir():
        todo = "Name the folder that holds the files."
        raise UsageError("tree.missing", "there is no folder to package", str(folder), todo)
    found = list(_walk(folder, frozenset(exclude), wrong, allow_setuid=allow_setuid))
    found.sort(key=lambda entry: order_key(entry.path))
    if not allow_case_collisions:
        _check_case(folder, found, wrong)
    return found


def _walk(top: Path, exclude: frozenset[str], wrong: Wrong, *, allow_setuid: bool) -> Iterator[Found]:
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        where = top / folder
        try:
            with os.scandir(where) as names:
                inside = sorted(names, key=lambda name: name.name)
        except OSError as error:
            wrong(_unreadable(where, error))
            continue
        for name in inside:
            path = f"{folder}/{name.name}" if folder else name.name
            if path in exclude:
                continue
            try:
                entry = _found(top, path, allow_setuid=allow_setuid)
            except UsageError as error:
                wrong(error)
                continue
            if entry.kind is Kind.FOLDER:
                waiting.append(path)
            yield entry


def _found(top: Path, path: str, *, allow_setuid: bool) -> Found:
    where = top / path
    try:
        check_path(path)
    except MessageInvalid as error:
        shown = os.fsencode(str(where)).decode(errors="backslashreplace")
        todo = "Rename it: names are UTF-8, at most 255 bytes a part and 4,096 bytes in all."
        raise UsageError("tree.name", f"a package can't hold this name: {error.reason}", shown, todo) from error
    try:
        seen = where.lstat()
    except OSError as error:
        raise _unreadable(where, error) from error
    mode = stat.S_IMODE(seen.st_mode)
    stamp = Stamp.of(seen)
    if stat.S_ISLNK(seen.st_mode):
        return Found(path, Kind.LINK, 0, _target(where, path), stamp)
    if special := _SPECIAL.get(stat.S_IFMT(seen.st_mode)):
        todo = "Remove it; programs that need it can make it in run_after."
        raise UsageError("tree.special", f"a package can't hold {special}", str(where), todo)
    if stat.S_ISDIR(seen.st_mode):
        # folders inherit setgid from where they were made; it goes unless it is meant
        return Found(path, Kind.FOLDER, mode if allow_setuid else mode & ~(stat.S_ISUID | stat.S_ISGID), "", stamp)
    if mode & (stat.S_ISUID | stat.S_ISGID) and not allow_setuid:
        todo = "Take the bit away (chmod ug-s), or set allow_setuid = true in the definition."
        raise UsageError("tree.setuid", "the file is setuid or setgid", str(where), todo)
    return Found(path, Kind.FILE, mode, "", stamp)


def _target(where: Path, path: str) -> str:
    try:
        target = os.readlink(where)  # noqa: PTH115 - Path would change "./x" and "x/"
        check_target(path, target)
    except OSError as error:
        raise _unreadable(where, error) from error
    except MessageInvalid as error:
        todo = 'Make it relative and inside the tree: first "../" as needed, then down.'
        raise UsageError("tree.link", f"a package can't hold this link: {error.reason}", str(where), todo) from error
    return target


def _check_case(top: Path, found: list[Found], wrong: Wrong) -> None:
    seen: dict[tuple[str, str], str] = {}
    for entry in found:
        folder = folder_of(entry.path)
        key = (folder, folded(entry.path[len(folder) :]))
        other = seen.setdefault(key, entry.path)
        if other != entry.path:
            todo = "Rename one, or set allow_case_collisions = true if no endpoint's file system folds case."
            what = f"two names differ by case only, or by how an accent is written: {other} and {entry.path}"
            wrong(UsageError("tree.case", what, str(top), todo))


def _unreadable(where: Path, error: OSError) -> UsageError:
    todo = "Check its permissions, and that nothing changes the folder while it is packaged."
    return UsageError("tree.unreadable", f"can't be read: {error.strerror}", str(where), todo)
