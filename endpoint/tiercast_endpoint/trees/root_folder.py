"""The install root: where trees stand, and the one rename that switches a package (docs/on-the-endpoint.md).

    <root>/<name>                      link to .trees/<name>/<digest>, what readers use
    <root>/.trees/<name>/<digest>      a whole tree, synced before it got this name
    <root>/.staging/<job>              a tree in the making

Rules
- A name changes hands by one rename of a link over the other: a reader sees the old tree or the new one.
- What we did not put at `<root>/<name>` is never replaced or removed.
- Every rename and unlink is followed by a sync of its folder before the call returns.
- All calls may be repeated after a crash.  Synchronous: called in a worker thread.
- One agent per root: two would sweep away each other's trees.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tiercast_endpoint.trees.tree import TreeError, delete_tree
from tiercast_protocol.wire.topics import valid_name

TREES, STAGING = ".trees", ".staging"
_TREE = re.compile(r"\.trees/(?P<name>[^/]+)/(?P<leaf>[0-9a-f]{16}(?:-[0-9]+)?)\Z")


class RootFolder:
    """One install root.

    Args:
        path: absolute; made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1

    @property
    def there(self) -> Path:
        """A folder that exists on its file system."""
        return self.path

    def check(self) -> None:
        """See whether `open` could work; nothing is made and nothing is held.

        Raises:
            TreeError: something else stands there, another agent installs here, or this user may not write.
        """
        there = self.path
        while not os.path.lexists(there) and there != there.parent:
            there = there.parent
        if not there.is_dir():
            raise TreeError("root.foreign", f"{there} is no folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise TreeError("root.denied", f"this user may not write into {there}")
        if (self.path / TREES).is_dir():
            os.close(self._take())

    def open(self) -> None:
        """Make the root and its two folders, and take hold of it until `close`.

        Raises:
            TreeError: something else stands there, or another agent installs here.
        """
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, mode in ((TREES, 0o755), (STAGING, 0o700)):
            folder = self.path / name
            with suppress(FileExistsError):
                folder.mkdir(mode=mode)
            if folder.is_symlink() or not folder.is_dir():
                raise TreeError("root.foreign", f"{name} in the install root is no folder of ours")
        _fsync_folder(self.path)
        self._lock = self._take()

    def _take(self) -> int:
        lock = os.open(self.path / TREES, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise TreeError("root.taken", "another agent installs here; give each one a root of its own") from error
        return lock

    def close(self) -> None:
        """Let go of the root."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def free(self) -> int:
        """Bytes free for us on the root's file system."""
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    # -- staging -----------------------------------------------------------------------------------

    def fresh_staging(self, key: str) -> Path:
        """An empty folder for the job `key`; what an earlier attempt left there is deleted."""
        folder = self.path / STAGING / key
        self._delete(folder)
        folder.mkdir(mode=0o700)
        return folder

    def drop_staging(self, key: str) -> None:
        """Delete what the job `key` staged."""
        self._delete(self.path / STAGING / key)

    def rename_staging(self, old: str, new: str) -> None:
        """A tree in the making, `.staging/<key>`, gets another key; what was there is deleted."""
        self._delete(self.path / new)
        (self.path / old).rename(self.path / new)
        _fsync_folder(self.path / STAGING)

    def delete_partial(self, tree: str) -> None:
        """Delete a tree of staging or of the shelves that no name leads to; absent is fine."""
        if tree.startswith(f"{STAGING}/"):
            self.drop_staging(tree.removeprefix(f"{STAGING}/"))
        else:
            self.delete_tree(tree)

    def adopt(self, key: str, name: str, digest: bytes) -> str:
        """Give the finished, synced staging of `key` its place; returns the tree as `.trees/<name>/<leaf>`."""
        shelf = self.path / TREES / name
        with suppress(FileExistsError):
            shelf.mkdir(mode=0o755)
            _fsync_folder(shelf.parent)
        leaf, number = digest.hex()[:16], 1
        while os.path.lexists(shelf / leaf):
            # A tree of this content stands there already, and was found damaged: it is replaced, not repaired in use.
            number += 1
            leaf = f"{digest.hex()[:16]}-{number}"
        (self.path / STAGING / key).rename(shelf / leaf)
        _fsync_folder(shelf)
        _fsync_folder(self.path / STAGING)
        return f"{TREES}/{name}/{leaf}"

    # -- the name ----------------------------------------------------------------------------------

    def current(self, name: str) -> str | None:
        """The tree that `name` leads to; None when there is no such name.

        Raises:
            TreeError: something that we did not put there has the name.
        """
        if not valid_name(name):
            raise TreeError("package.name", f"{name!r} can't be the name of a package")
        try:
            target = str((self.path / name).readlink())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._foreign(name) from error
        found = _TREE.match(target)
        if found is None or found["name"] != name:
            raise self._foreign(name)
        return target

    def switch(self, name: str, tree: str) -> None:
        """Let `name` lead to `tree`; done already is fine.

        Raises:
            TreeError: something that we did not put there has the name.
        """
        if self.current(name) == tree:
            _fsync_folder(self.path)
            return
        beside = self.path / STAGING / f"{name}.link"
        with suppress(FileNotFoundError):
            beside.unlink()
        beside.symlink_to(tree)
        beside.replace(self.path / name)
        _fsync_folder(self.path)

    def unlink(self, name: str) -> bool:
        """Take the name away; False when it was not there.

        Raises:
            TreeError: something that we did not put there has the name.
        """
        if self.current(name) is None:
            _fsync_folder(self.path)
            return False
        (self.path / name).unlink()
        _fsync_folder(self.path)
        return True

    # -- trees -------------------------------------------------------------------------------------

    def exists(self, tree: str) -> bool:
        """Whether the tree's folder stands."""
        return _TREE.match(tree) is not None and (self.path / tree).is_dir()

    def stands(self, name: str) -> bool:
        """Whether `name` leads to a tree of ours that is there; its files are not looked at."""
        try:
            tree = self.current(name)
        except TreeError:
            return False
        return tree is not None and self.exists(tree)

    def delete_tree(self, tree: str) -> None:
        """Delete a tree; absent is fine.  Whoever calls has made sure that no name leads to it."""
        if _TREE.match(tree) is None:
            raise TreeError("tree.path", f"{tree!r} is no tree of ours")
        # Out of its place first: a crash in the middle leaves rubbish in staging, never half a tree on the shelf.
        doomed = self.path / STAGING / f"{tree.replace('/', '_')}.doomed"
        self._delete(doomed)
        with suppress(FileNotFoundError):
            (self.path / tree).rename(doomed)
        shelf = (self.path / tree).parent
        with suppress(OSError):
            _fsync_folder(shelf)
        self._delete(doomed)
        with suppress(OSError):
            shelf.rmdir()

    def trees(self) -> list[str]:
        """Every tree that stands."""
        found = []
        for shelf in sorted((self.path / TREES).iterdir()):
            if shelf.is_dir() and not shelf.is_symlink():
                found += [f"{TREES}/{shelf.name}/{leaf.name}" for leaf in sorted(shelf.iterdir())]
        return [tree for tree in found if _TREE.match(tree)]

    def trees_like(self, name: str, digest: bytes) -> list[str]:
        """The trees on the shelf of `name` that were made for this content, oldest first."""
        shelf = self.path / TREES / name
        if not shelf.is_dir() or shelf.is_symlink():
            return []
        found = [f"{TREES}/{name}/{leaf.name}" for leaf in shelf.iterdir() if leaf.name[:16] == digest.hex()[:16]]
        return sorted(filter(_TREE.match, found), key=lambda tree: (len(tree), tree))

    def sweep(self, keep: Iterable[str]) -> int:
        """Delete from staging, and of the trees that no name leads to, what is not in `keep`; how many trees went."""
        kept = set(keep)
        for rest in list((self.path / STAGING).iterdir()):
            if f"{STAGING}/{rest.name}" not in kept:
                self._delete(rest)
        doomed = [tree for tree in self.trees() if tree not in kept and tree != self._leads(tree)]
        for tree in doomed:
            self.delete_tree(tree)
        return len(doomed)

    def _leads(self, tree: str) -> str | None:
        try:
            return self.current(tree.split("/")[1])
        except TreeError:
            return None

    def _delete(self, path: Path) -> None:
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            delete_tree(fd, path.name)
        finally:
            os.close(fd)

    def _foreign(self, name: str) -> TreeError:
        return TreeError(
            "path.foreign",
            f"{name!r} in the install root was not put there by this agent; move it away and order again",
        )


def _fsync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
