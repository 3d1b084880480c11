"""Whether a tree on the disk is what its manifest says (docs/on-the-endpoint.md).

Rules
- Everything counts: each file's bytes, each mode, each link's target, and that nothing else is there.
- Nothing is followed; where all differences are not asked for, the first one ends the look.
- A set-user-id bit that was not applied does not count as missing.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees.tree import OpenTree, TreeError, digest_of_file, paths_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind


async def first_difference(tree: Path, lists: AsyncIterator[Sequence[Entry]], *, modes: int) -> str | None:
    """The first thing in which `tree` differs, in words; None when it is whole."""
    entries = 0
    async for part in lists:
        found = await in_thread(_compare, tree, part, modes)
        if found is not None:
            return found
        entries += sum(1 for entry in part if not entry.more)
    return await in_thread(_count, tree, entries)


async def differences(
    tree: Path, lists: AsyncIterator[Sequence[Entry]], *, modes: int, most: int
) -> tuple[list[tuple[str, str]], int]:
    """Every path in which `tree` differs, and how, `most` at most; and how many paths belong there."""
    found: list[tuple[str, str]] = []
    belong: set[str] = set()
    async for part in lists:
        belong.update(entry.path for entry in part)
        if len(found) < most:
            found += await in_thread(_all_of, tree, part, modes)
    strange = await in_thread(lambda: [path for path in paths_of(str(tree)) if path not in belong])
    found += [(path, "does not belong there") for path in strange]
    return found[:most], len(belong)


def _all_of(root: Path, entries: Sequence[Entry], modes: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    with OpenTree(str(root)) as tree:
        for entry in entries:
            try:
                if not entry.more and not _same(tree, entry, modes):
                    found.append((entry.path, "was changed"))
            except FileNotFoundError:
                found.append((entry.path, "is gone"))
            except (TreeError, OSError):
                found.append((entry.path, "can't be read as what it was"))
    return found


def _count(tree: Path, entries: int) -> str | None:
    there = sum(1 for _ in paths_of(str(tree)))
    return None if there == entries else f"{there} paths are there, {entries} belong there"


def _compare(root: Path, entries: Sequence[Entry], modes: int) -> str | None:
    try:
        with OpenTree(str(root)) as tree:
            for entry in entries:
                if not entry.more and not _same(tree, entry, modes):
                    return f"{entry.path!r} was changed"
    except TreeError as error:
        return error.detail
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.ENXIO}:
            raise
        return f"a path is not what it was: {error.strerror}"
    return None


def _same(tree: OpenTree, entry: Entry, modes: int) -> bool:
    parent, name = tree.parent(entry.path)
    at = os.stat(name, dir_fd=parent, follow_symlinks=False)
    mode = entry.mode & modes
    if entry.kind is Kind.LINK:
        return stat.S_ISLNK(at.st_mode) and os.readlink(name, dir_fd=parent) == entry.target
    if entry.kind is Kind.FOLDER:
        return stat.S_ISDIR(at.st_mode) and stat.S_IMODE(at.st_mode) == mode
    if not stat.S_ISREG(at.st_mode) or at.st_size != entry.size or stat.S_IMODE(at.st_mode) != mode:
        return False
    return digest_of_file(tree, entry.path)[0] == entry.digest
