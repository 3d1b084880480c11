"""Which paths an action is about, and what it wants them to be.

Rules
- Sources lie in the package's tree, and a link in it leads nowhere: what is placed is what was sealed.
- Folders come before what is in them; those that are missing on the way are wanted, too, with the usual mode.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tiercast_endpoint.acting.changes import Fill
from tiercast_endpoint.acting.prefix import FILE, FOLDER, LINK, ActError, Image, Prefix
from tiercast_protocol.content.package.actiontypes import FOLDERS as WHOLE_TYPES
from tiercast_protocol.content.package.actiontypes import Action


@dataclass(frozen=True, slots=True)
class Want:
    """One path that an action wants to be something; `implied` for a folder that is only on the way."""

    path: str
    after: Image
    fill: Fill = b""
    implied: bool = False


@dataclass(frozen=True, slots=True)
class Where:
    """What a draft is made for.

    Attributes:
        package: whose action it is.
        tree: where its sources lie.
        link: the name under which everybody sees the package's tree.
        old_tree: where the older version's sources lie; None if there is none.
        token: begins the names of what is staged and kept: of this job and position alone.
    """

    package: str
    tree: Path
    link: Path
    old_tree: Path | None
    token: str


class Wanting:
    """Looks up what actions of one package want below a prefix."""

    def __init__(self, prefix: Prefix, where: Where) -> None:
        self._prefix, self._where = prefix, where

    def wants(self, action: Action) -> list[Want]:
        """Every path that the action is about, folders before what is in them."""
        if "path" not in dict(action.values):
            return self._unit_file(action)
        path = action.text("path")
        owner = (
            (action.text("owner"), action.text("group")) if action.type in {"file", "files", "directory"} else ("", "")
        )
        ids = self._prefix.ids(*owner)
        match action.type:
            case "directory":
                own = [Want(path, Image(FOLDER, int(action.text("mode"), 8), *ids))]
            case "link":
                inside = action.text("source")
                target = str(self._where.link / inside) if inside else action.text("target")
                own = [Want(path, Image(LINK, 0, *ids, target=target))]
            case "file":
                source = source_of(self._where.tree, action.text("source"))
                mode = int(action.text("mode"), 8) if action.text("mode") else stat.S_IMODE(source.lstat().st_mode)
                own = [Want(path, Image(FILE, mode, *ids), source)]
            case "files":
                own = list(self._files(path, source_of(self._where.tree, action.text("source"), folder=True), ids))
            case _:
                own = [Want(path, Image(FOLDER if action.type in WHOLE_TYPES else FILE, 0o755, *ids))]
        return [*self._on_the_way(own), *own]

    def _unit_file(self, action: Action) -> list[Want]:
        if action.type != "unit" or not action.text("source"):
            return []
        source = source_of(self._where.tree, action.text("source"))
        own = [
            Want(f"/etc/systemd/system/{action.text('name')}", Image(FILE, 0o644, *self._prefix.ids("", "")), source)
        ]
        return [*self._on_the_way(own), *own]

    def _files(self, path: str, source: Path, ids: tuple[int, int]) -> Iterator[Want]:
        yield Want(path, Image(FOLDER, 0o755, *ids), implied=True)
        for folder, names, files in os.walk(source):
            names.sort()
            inner = os.path.relpath(folder, source)
            here = path if inner == "." else f"{path}/{inner}"
            for name in sorted(files + [one for one in names if (Path(folder) / one).is_symlink()]):
                file = Path(folder) / name
                if file.is_symlink():
                    yield Want(f"{here}/{name}", Image(LINK, 0, *ids, target=str(file.readlink())))
                else:
                    yield Want(f"{here}/{name}", Image(FILE, stat.S_IMODE(file.stat().st_mode), *ids), file)
            for name in names:
                below = Path(folder) / name
                if not below.is_symlink():
                    mode = stat.S_IMODE(below.stat().st_mode)
                    yield Want(f"{here}/{name}", Image(FOLDER, mode, *ids), implied=True)

    def _on_the_way(self, own: list[Want]) -> list[Want]:
        ids = self._prefix.ids("", "")
        missing = self._prefix.missing(own[0].path) if own else []
        return [Want(path, Image(FOLDER, 0o755, *ids), implied=True) for path in missing]


def source_of(tree: Path, source: str, *, folder: bool = False) -> Path:
    """A file (or folder) of the package's tree.

    Raises:
        ActError: source.missing.
    """
    path = tree / source
    there = path.is_dir() if folder else path.is_file()
    if not there or path.resolve() != tree.resolve() / source:
        kind = "folder" if folder else "file"
        raise ActError("source.missing", f"the package's tree has no {kind} {source!r}")
    return path
