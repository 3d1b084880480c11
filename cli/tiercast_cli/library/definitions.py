"""`tiercast package init | check | diff`: definitions, before anything is built of them."""

from __future__ import annotations

import difflib
import json as json_
from pathlib import Path
from typing import Annotated, Any

import typer

from tiercast_cli.said.options import Json, Package
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run

_INIT = """\b
Examples:
  tiercast package init ./editor
  tiercast package init ./dist --name editor --version 2.1
"""
_CHECK = """\b
Examples:
  tiercast package check ./editor
  tiercast package check ./dist -f editor.toml --offline
"""
_DIFF = """\b
Examples:
  tiercast package diff editor=2.0 editor=2.1
  tiercast package diff editor=2.0 editor=2.1 --json
"""
#: Paths of each kind that are shown.
_MOST = 40


def add(app: typer.Typer) -> None:
    """Put the commands below a noun."""
    app.command(epilog=_INIT)(init)
    app.command(epilog=_CHECK)(check)
    app.command(epilog=_DIFF)(diff)


def init(
    folder: Annotated[Path, typer.Argument(help="The tree that is to be a package.")],
    *,
    name: Annotated[str, typer.Option("--name", help="Its name; the folder's own by default.")] = "",
    version: Annotated[str, typer.Option("--version", help="Its version.")] = "1.0",
    json: Json = False,
) -> None:
    """Write a commented package.toml into a folder, and its schema for editors."""

    async def work() -> None:
        from tiercast_cli.packager.schema import schema  # noqa: PLC0415 - late
        from tiercast_cli.packager.send import IN_FOLDER  # noqa: PLC0415 - heavy, late
        from tiercast_cli.packager.template import SCHEMA_FILE, template  # noqa: PLC0415 - late
        from tiercast_protocol.content.package.definition import parse_definition  # noqa: PLC0415 - late
        from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - late

        if not folder.is_dir():
            raise UsageError("folder.unknown", "there is no such folder", str(folder), "Name the folder with the tree.")
        where, beside = folder / IN_FOLDER, folder / SCHEMA_FILE
        if where.exists():
            todo = f"Edit it, or take it away first.  `tiercast package check {folder}` says what is wrong with it."
            raise UsageError("definition.exists", "there is a definition already", str(where), todo)
        text = template(name or folder.resolve().name, version)
        parse_definition(text, "the name and version")
        where.write_text(text, encoding="utf-8")
        beside.write_text(json_.dumps(schema(), indent=2) + "\n", encoding="utf-8")
        if json:
            emit({"definition": str(where), "schema": str(beside)})
            return
        print(f"{where} is written, with a comment for every key; editors find {SCHEMA_FILE} by its first line.")
        print(f"Check it: tiercast package check {folder}")

    run(work, as_json=json)


def check(
    folder: Annotated[Path, typer.Argument(help="The tree with its package.toml.")] = Path(),
    *,
    definition: Annotated[
        Path | None, typer.Option("--definition", "-f", help="A definition that lies elsewhere.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no library about other packages.")] = False,
    json: Json = False,
) -> None:
    """Tell all mistakes of a definition at once: its own, those of the tree, and what the library says."""

    async def work() -> None:
        from tiercast_cli.packager.inspect import inspect  # noqa: PLC0415 - heavy, late

        found = await inspect(folder, definition, None if offline else _library)
        mistakes = [one for one in found if not one["warning"]]
        if json:
            emit({"mistakes": mistakes, "warnings": [one for one in found if one["warning"]]})
        else:
            for one in found:
                at = f"line {one['line']}, " if one["line"] else ""
                kind = "warning: " if one["warning"] else ""
                print(f"{kind}{at}{one['key']}: {one['problem'].rstrip('.')}; expected {one['expected']}")
            print(words.count(len(mistakes), "mistake") if mistakes else "No mistakes.")
        if mistakes:
            raise typer.Exit(1)

    run(work, as_json=json)


async def _library(definition: str) -> list[dict[str, Any]]:
    found: dict[str, Any] = await ask("package.check", definition=definition)
    return list(found["findings"])


def diff(
    package: Package,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The package that it is compared with.")],
    *,
    json: Json = False,
) -> None:
    """Show what leads from one package to another: definition, files, and the bytes that are needed beyond."""

    async def work() -> None:
        found: dict[str, Any] = await ask("package.diff", package=package, **{"with": other})
        if json:
            emit({"diff": found})
            return
        a, b = found["definitions"]
        for line in difflib.unified_diff(a.splitlines(), b.splitlines(), found["from"], found["to"], lineterm="", n=1):
            print(line)
        for kind, mark in (("removed", "-"), ("added", "+"), ("changed", "~")):
            rows = found["paths"][kind]
            for row in rows[:_MOST]:
                print(f"{mark} {row['path']}  {_weight(row)}")
            if found["counts"][kind] > _MOST:
                print(f"{mark} and {found['counts'][kind] - _MOST} more {kind} (--json lists {len(rows)})")
        said = [f"{found['counts'][kind]} {kind}" for kind in ("added", "removed", "changed")]
        new = f"{words.count(found['chunks'], 'chunk')} and {words.size(found['stored_bytes'])}"
        print(f"{', '.join(said)}, {found['counts']['same']} the same; {new} that {found['from']} has not.")

    run(work, as_json=json)


def _weight(row: dict[str, Any]) -> str:
    if row["kind"] != "file":
        return str(row["kind"])
    if "was" not in row:
        return words.size(row["size"])
    return str(row["how"]) if row["how"] != "content" else f"{words.size(row['was'])} -> {words.size(row['size'])}"
