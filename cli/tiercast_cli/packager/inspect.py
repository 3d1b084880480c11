"""All that is wrong with a folder and its definition, told at once (`tiercast package check`).

Rules
- Three looks, each as far as it goes: the text by itself, the tree beside it, and what the library says.  A mistake of
  one keeps none of the others from being looked at, and one in the tree no other there.
- Each finding has line and key of the definition; what is wrong with the tree has the key "(tree)" and the path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tiercast_cli.packager.scan import scan
from tiercast_cli.packager.seal import check_groups, check_programs
from tiercast_cli.packager.send import IN_FOLDER, OUTSIDE
from tiercast_cli.packager.sources import check_sources
from tiercast_protocol.content.package.definition import Definition, canonical, examine
from tiercast_protocol.content.package.lines import line_of, lines_of
from tiercast_protocol.content.sealed.manifest import valid_version
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.topics import valid_name

Finding = dict[str, Any]
#: Mistakes of a tree that are told.
_MOST = 100
#: Asks the library about a definition; raises UsageError.
Library = Callable[[str], Awaitable[list[Finding]]]


async def inspect(folder: Path, definition: Path | None, library: Library | None) -> list[Finding]:
    """Every finding, mistakes before warnings: {line, key, problem, expected, warning}.

    Raises:
        UsageError: folder.unknown, definition.invalid: nothing to look at.
    """
    text = await asyncio.to_thread(_text, folder, definition or folder / IN_FOLDER)
    read, mistakes = examine(text)
    found = [_finding(one.line, one.key, one.problem, one.expected) for one in mistakes]
    if read is None:
        return found
    found += await asyncio.to_thread(_of_tree, folder, read)
    if library is not None and valid_name(read.name) and valid_version(read.version):
        lines = lines_of(text)
        # Only what the library judges is asked: mistakes elsewhere keep it from nothing.
        asked = Definition(
            read.name,
            read.version,
            read.revision,
            requires=read.requires,
            conflicts=read.conflicts,
            before=read.before,
            version_order=read.version_order,
        )
        for one in await _judged(library, canonical(asked if mistakes else read), known=bool(mistakes)):
            line = line_of(lines, one["key"])
            found.append(_finding(line, one["key"], one["problem"], one["expected"], warning=bool(one["warning"])))
    return sorted(found, key=lambda one: (one["warning"], one["line"] or len(text)))


async def _judged(library: Library, text: str, *, known: bool) -> list[Finding]:
    """What the library says; where it can't read what the text says of others, that is among the mistakes `known`."""
    try:
        return await library(text)
    except UsageError as error:
        if known and error.code == "config.invalid":
            return []
        raise


def _text(folder: Path, where: Path) -> str:
    if not folder.is_dir():
        raise UsageError("folder.unknown", "there is no such folder", str(folder), "Name the folder with the tree.")
    try:
        return where.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        todo = f"Write one: tiercast package init {folder}"
        raise UsageError("definition.invalid", f"the definition can't be read: {error}", str(where), todo) from error


def _of_tree(folder: Path, definition: Definition) -> list[Finding]:
    wrong: list[UsageError] = []
    tree = scan(
        folder,
        allow_setuid=definition.allow_setuid,
        allow_case_collisions=definition.allow_case_collisions,
        exclude=[name for name in OUTSIDE if (folder / name).is_file()],
        wrong=wrong.append,
    )
    for look in (check_programs, check_sources, check_groups):
        look(definition, tree, folder, wrong.append)
    told = list(dict.fromkeys((one.what, one.where, one.todo) for one in wrong))
    found = [_in_tree(UsageError("tree", what, where, todo)) for what, where, todo in told[:_MOST]]
    if len(told) > _MOST:
        found.append(_finding(0, "(tree)", f"has {len(told) - _MOST} more mistakes", "these mended first"))
    return found


def _in_tree(error: UsageError) -> Finding:
    place = f" ({error.where})" if error.where else ""
    return _finding(0, "(tree)", f"{error.what}{place}", error.todo.rstrip("."))


def _finding(line: int, key: str, problem: str, expected: str, *, warning: bool = False) -> Finding:
    return {"line": line, "key": key, "problem": problem, "expected": expected, "warning": warning}
