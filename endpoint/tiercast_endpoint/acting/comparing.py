"""Whether what a package's actions did to the machine stands as they left it (docs/transactions.md, "Verify").

Rules
- Placed: each path that the package owns, by kind, content, mode and owner; settings key by key; whole folders against
  what they are made from.  What a rule lets people change (`config = "keep"` and `"merge"`) is not compared by content.
- Native: what the machine's own tool says of it now (`Native.verify`); what no tool can say is named as not compared.
- Nothing is changed, no link is followed, and nothing but tools that only look is run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiercast_endpoint.acting import values
from tiercast_endpoint.acting.changes import rights_differ
from tiercast_endpoint.acting.effects import BESIDE, SETTINGS, WHOLE, Acted, Owned
from tiercast_endpoint.acting.folders import builder
from tiercast_endpoint.acting.native import Native
from tiercast_endpoint.acting.prefix import FILE, FOLDER, LINK, NONE, ActError, Image, Prefix, image_of
from tiercast_endpoint.acting.wants import source_of
from tiercast_endpoint.threads import in_thread
from tiercast_protocol.content.package.actionread import unpack_actions
from tiercast_protocol.content.package.actiontypes import PLACED, Action

CHANGED, GONE, STRANGE = "was changed", "is gone", "does not belong there"
RIGHTS = "has another mode or owner"
#: Programs that read a folder of wheels leave these in it.
_CACHE = "__pycache__"
#: The rule by which a changed file is set right again; the others leave it to people.
_OURS = "replace"
#: Where a whole folder is built to be compared, in what the agent keeps.
MEANT = "compare"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Differences = list[tuple[str, str]]


@dataclass(slots=True)
class Compared:
    """What came of it.

    Attributes:
        differences: (path or name, in what it differs).
        count: paths and things that were compared.
        unseen: actions that nobody can compare.
        placed: identities of actions of placed files that differ: those can be carried out again.
    """

    differences: Differences = field(default_factory=list)
    count: int = 0
    unseen: list[str] = field(default_factory=list)
    placed: list[str] = field(default_factory=list)


class Comparing:
    """Compares what stands below a prefix.

    Args:
        prefix: where.
        keep: the agent's own folder: whole folders are built there to be compared, and deleted.
    """

    def __init__(self, prefix: Prefix, keep: Path) -> None:
        self._prefix, self._keep = prefix, keep
        self._one_at_a_time = asyncio.Lock()

    async def compare(
        self, acted: Iterable[Acted], owned: Mapping[str, list[Owned]], tree_of: Callable[[Acted], Path],
        native: Callable[[Action, Acted], Native | None],
    ) -> Compared:  # fmt: skip
        """All actions of one package; `owned` is what each identity placed, `tree_of` where sources lie."""
        done = Compared()
        self._prefix.look_again()
        for one in acted:
            action = unpack_actions(one.action)[0]
            async with self._one_at_a_time:
                found = await in_thread(self._owned, action, owned.get(one.identity, []), tree_of(one))
            done.count += len(owned.get(one.identity, []))
            if found and action.class_ == PLACED:
                done.placed.append(one.identity)
            if (asked := native(action, one)) is not None:
                try:
                    told = await asked.verify(one.state)
                except (ActError, OSError) as error:
                    told = [(action.shown, f"can't be asked after: {error}")]
                if told is None:
                    done.unseen.append(action.shown)
                else:
                    done.count += 1
                    found += told
            done.differences += found
        return done

    def _owned(self, action: Action, owned: Iterable[Owned], tree: Path) -> Differences:
        found: Differences = []
        for one in sorted(owned, key=lambda one: one.path):
            try:
                found += self._one(action, one, tree)
            except (ActError, OSError) as error:
                found.append((one.path, f"can't be read as what it was: {error}"))
        return found

    def _one(self, action: Action, one: Owned, tree: Path) -> Differences:
        here = self._prefix.look(one.path)
        if one.kind == BESIDE:
            return []  # it lay there for people: they may have taken it away
        if here.kind == NONE:
            return [(one.path, GONE)]
        if one.kind == SETTINGS:
            return list(self._settings(action, one, here))
        if one.kind in {FOLDER, WHOLE}:
            return self._folder(action, one, here, tree)
        return self._file(action, one, here)

    def _file(self, action: Action, one: Owned, here: Image) -> Differences:
        theirs = action.type == "file" and action.text("config") != _OURS
        if not (theirs and here.kind in {FILE, LINK}) and not here.like(one.after):
            return [(one.path, CHANGED)]
        rights = here.kind == FILE and rights_differ(here, one.after)
        return [(one.path, RIGHTS)] if rights and not theirs else []

    def _settings(self, action: Action, one: Owned, here: Image) -> Iterator[tuple[str, str]]:
        if here.kind != FILE:
            yield one.path, CHANGED
            return
        present = values.read(action.type, self._prefix.read(one.path, values.MOST), one.keys)
        for key, (_, wanted) in sorted(one.keys.items()):
            if present.get(key) != wanted:
                yield one.path, f"{key!r} {CHANGED}"

    def _folder(self, action: Action, one: Owned, here: Image, tree: Path) -> Differences:
        if here.kind != FOLDER:
            return [(one.path, CHANGED)]
        # A folder on the way to something may have any mode that people gave it.
        named = one.kind == WHOLE or (action.type == "directory" and action.text("path") == one.path)
        found: Differences = [(one.path, RIGHTS)] if named and rights_differ(here, one.after) else []
        return found + (self._whole(action, one.path, tree) if one.kind == WHOLE else [])

    def _whole(self, action: Action, path: str, tree: Path) -> Differences:
        if action.type == "site":
            return self._against(source_of(tree, action.text("source"), folder=True), action, path)
        meant = self._keep / MEANT
        self._keep.mkdir(mode=0o700, exist_ok=True)
        shutil.rmtree(meant, ignore_errors=True)  # a kill may have left one
        meant.mkdir(mode=0o700)
        try:
            builder(action, tree, self._prefix)(meant)
            return self._against(meant, action, path)
        finally:
            shutil.rmtree(meant)

    def _against(self, meant: Path, action: Action, path: str) -> Differences:
        with self._prefix.folder_of(path) as (above, name):
            fd = os.open(name, _FOLDER, dir_fd=above)
            try:
                return list(_below(meant, fd, path, cache=action.type == "wheel"))
            finally:
                os.close(fd)


def _below(meant: Path, fd: int, path: str, *, cache: bool) -> Iterator[tuple[str, str]]:
    """In what the open folder, which is `path`, differs from `meant`, at any depth."""
    strange = set(os.listdir(fd))
    for entry in sorted(meant.iterdir()):
        inner = f"{path}/{entry.name}"
        if entry.name not in strange:
            yield inner, GONE
            continue
        strange.remove(entry.name)
        if (what := _differs(entry, fd)) is not None:
            yield inner, what
        elif entry.is_dir() and not entry.is_symlink():
            below = os.open(entry.name, _FOLDER, dir_fd=fd)
            try:
                yield from _below(entry, below, inner, cache=cache)
            finally:
                os.close(below)
    for name in sorted(strange - ({_CACHE} if cache else set())):
        yield f"{path}/{name}", STRANGE


def _differs(entry: Path, fd: int) -> str | None:
    """In what the thing of this name in the open folder differs from `entry`; of a folder not what is in it."""
    wanted, found = entry.lstat(), os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
    if stat.S_IFMT(wanted.st_mode) != stat.S_IFMT(found.st_mode):
        return CHANGED
    if entry.is_symlink():
        return None if os.readlink(entry.name, dir_fd=fd) == str(entry.readlink()) else CHANGED
    if entry.is_file() and (wanted.st_size != found.st_size or not _same(entry, fd)):
        return CHANGED
    return None if _mode(wanted) == stat.S_IMODE(found.st_mode) else RIGHTS


def _mode(wanted: os.stat_result) -> int:
    """Whoever builds a folder may always enter it."""
    return stat.S_IMODE(wanted.st_mode) | (0o700 if stat.S_ISDIR(wanted.st_mode) else 0)


def _same(entry: Path, fd: int) -> bool:
    above = os.open(entry.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return image_of(above, entry.name).like(image_of(fd, entry.name))
    finally:
        os.close(above)
