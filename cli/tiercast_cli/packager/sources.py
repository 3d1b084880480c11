"""What the ordered actions of a definition take from its tree: it must be there, as what they take it for.

Rules
- A file where a file is placed, a folder where a folder is, and what is run must be a file that can be run.
- Where the package has file groups, it is there on every machine: outside of the groups' folders, or in each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tiercast_cli.packager.scan import Found, Wrong, refuse
from tiercast_protocol.content.package.actiontypes import TYPES
from tiercast_protocol.content.package.definition import Definition
from tiercast_protocol.content.sealed.entry import Kind
from tiercast_protocol.errors import UsageError

_FOLDERS = frozenset({"files", "site"})
FILE, FOLDER, PROGRAM = "a file", "a folder", "a program"


def check_sources(definition: Definition, found: Iterable[Found], folder: Path, wrong: Wrong = refuse) -> None:
    """Refuse a definition whose actions name what the tree does not have.

    Raises:
        UsageError: source.missing, source.kind, as `wrong` has it.
    """
    wanted = list(_wanted(definition))
    there = {entry.path: entry for entry in found} if wanted else {}
    for who, path, kind in wanted:
        for entry in _as_taken(definition, there, path):
            try:
                _check(who, path, kind, entry, folder)
            except UsageError as error:
                wrong(error)


def _wanted(definition: Definition) -> Iterator[tuple[str, str, str]]:
    """(who takes it, path, what it is to be)."""
    for action in definition.action:
        for key, rule in TYPES[action.type].keys.items():
            if rule.kind == "source" and action.text(key):
                yield action.shown, action.text(key), FOLDER if action.type in _FOLDERS else FILE
            elif rule.kind == "sources":
                yield from ((action.shown, path, FILE) for path in action.texts(key))
            elif rule.kind == "argv":
                yield from _program(action.shown, action.texts(key))
    if definition.handler is not None:
        for argv in (definition.handler.install, definition.handler.remove, definition.handler.query):
            yield from _program("handler", argv)


def _program(who: str, argv: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    if argv and argv[0].startswith("./"):
        yield who, argv[0].removeprefix("./"), PROGRAM


def _as_taken(definition: Definition, there: Mapping[str, Found], path: str) -> list[Found | None]:
    if path in there or not definition.files:
        return [there.get(path)]
    return [there.get(f"{group.folder}/{path}") for group in definition.files]


def _check(who: str, path: str, kind: str, entry: Found | None, folder: Path) -> None:
    if entry is None:
        what = f"the action {who!r} takes {path}, which is not in the folder"
        raise UsageError("source.missing", what, str(folder), "Put it there, or correct the definition.")
    wanted = Kind.FOLDER if kind == FOLDER else Kind.FILE
    # A link of the package may lead into its tree by way of another link.
    if entry.kind is not wanted and not who.startswith("link "):
        what = f"the action {who!r} takes {path} for {kind}, which it is not"
        raise UsageError("source.kind", what, str(folder), f"Name {kind}.")
    if kind == PROGRAM and not entry.mode & 0o100:
        raise UsageError("source.kind", f"{path} can't be run", str(folder), "Let its owner run it: chmod +x.")
