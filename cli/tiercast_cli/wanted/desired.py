"""`tiercast apply`, `diff` and `export`: the desired state of the region in one file.

Rules
- The file is read by `desiredfiles` before anything is asked; the server judges what it means, whole.
- Ten thousand machines are a few lines: counted by state, with some names of each.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.options import Json
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, refuse, run

Body = dict[str, Any]
_APPLY = """\b
Examples:
  tiercast apply -f region.toml --dry-run
  tiercast apply -f region.toml --prune --confirm 240
  tiercast apply --again 12

\b
A file:
  [group.sales]
  members = ["pc-1", "pc-2"]
  [window.night]
  open = "mon-fri 22:00-05:00"
  [assignment.editor]
  group = "sales"
  has = "editor >= 2.1"
  window = "night"
"""
_DIFF = """\b
Example:
  tiercast diff -f region.toml
"""
_EXPORT = """\b
Examples:
  tiercast export -o region.toml
  tiercast export | tiercast diff -f -
"""
_SIGNS = {"added": "+", "changed": "~", "removed": "-"}
STATES = {
    "holds": "as it is to be",
    "missing": "the package is missing",
    "wrong": "another version, or it is there and should not be",
    "unknown": "said nothing of itself yet",
    "waiting": "a job about it is open",
    "held": "held back by the machine's owner",
    "failed": "failed; tried again later, or left: `tiercast assignment show`",
    "contradicted": "no version does for all assignments of the machine",
}

_File = Annotated[
    str, typer.Option("--file", "-f", metavar="FILE", help="The desired state in TOML; - reads the standard input.")
]
_Prune = Annotated[bool, typer.Option("--prune", help="Remove definitions that the file does not hold, groups too.")]


def apply(
    *,
    file: _File = "",
    again: Annotated[
        int, typer.Option("--again", metavar="N", help="In place of a file: as all was after the change N.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    prune: _Prune = False,
    confirm: Annotated[
        int, typer.Option("--confirm", metavar="N", help="The exact number of machines, for a large change.")
    ] = 0,
    json: Json = False,
) -> None:
    """Make groups, windows and assignments what a file says, and have machines put right by it."""
    asked = {"again": again} if again and not file else _asked(file, json=json)

    async def work() -> None:
        found = await ask("desired.apply", **asked, dry_run=dry_run, prune=prune, confirm=confirm)
        if json:
            emit({"dry_run" if dry_run else "apply": found})
            return
        for line in lines(found):
            print(line)
        if dry_run:
            more = f"; so many must be confirmed: --confirm={found['targets']}" if found["confirm"] else ""
            print(f"Nothing was changed{more}.")
        elif found["number"]:
            print(f"Change {found['number']}. How it goes: tiercast assignment list")

    run(work, as_json=json)


def diff(*, file: _File, prune: _Prune = False, json: Json = False) -> None:
    """Show what `apply` would change, and which machines are not as the file wants them."""
    asked = _asked(file, json=json)

    async def work() -> None:
        found = await ask("desired.diff", **asked, prune=prune)
        if json:
            emit({"diff": found})
            return
        for line in lines(found):
            print(line)

    run(work, as_json=json)


def export(
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write it there; the standard output by default.")
    ] = "",
    json: Json = False,
) -> None:
    """Write groups, windows and assignments as the file that `apply` reads."""

    async def work() -> None:
        from tiercast_cli.wanted.desiredfiles import text_of, write  # noqa: PLC0415 - late, as everywhere in the command line

        found = await ask("desired.export")
        text = text_of(found)
        if output and output != "-":
            write(output, text)
        if json:
            emit({"export": found})
        elif output and output != "-":
            counts = ", ".join(words.count(len(found[f"{kind}s"]), kind) for kind in ("group", "window", "assignment"))
            print(f"{output}: {counts}.")
        else:
            print(text, end="")

    run(work, as_json=json)


def lines(found: Body) -> list[str]:
    """What changes, and how machines stand, as text."""
    told: list[str] = []
    for one in found["changes"]:
        told.append(f"{_SIGNS[one['change']]} {one['kind']} {one['name']}")
        told += [f"      {text}" for text in one["differs"]]
    if not found["changes"]:
        told.append("No definition differs.")
    for one in found["machines"]:
        told += of_machines(one)
    return told + [f"Warning: {text}" for text in found["warnings"]]


def of_machines(one: Body) -> list[str]:
    """The machines of one assignment, a line for each state."""
    state = "" if one.get("state", "active") == "active" else f", {one['state']}"
    told = [f"{one['assignment']} ({one['says']}{state}): {words.count(one['targets'], 'machine')}"]
    for state, count in ordered(one["counts"]):
        names = one["some"].get(state, [])
        more = f", and {count - len(names):,} more" if names and count > len(names) else ""
        who = f": {', '.join(names)}{more}" if names else ""
        told.append(f"{count:>9,}  {state} ({STATES.get(state, state)}){who}")
    return told


def ordered(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Counts by state, what is well first: a map that came over the socket has lost its order."""
    order = {state: number for number, state in enumerate(STATES)}
    return sorted(counts.items(), key=lambda row: (order.get(row[0], len(order)), row[0]))


def _asked(file: str, *, json: bool) -> dict[str, Any]:
    """What the file says; read before the command's own loop runs, for options are read by commands with loops."""
    from tiercast_cli.wanted.desiredfiles import document_of  # noqa: PLC0415 - late: only who has a file pays for it
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - as above

    if not file:
        refuse(
            UsageError("file.missing", "No file was named.", todo="Say -f FILE; - is the standard input."), as_json=json
        )
    try:
        return document_of(file)
    except UsageError as error:
        refuse(error, as_json=json)


def add(app: typer.Typer) -> None:
    """Put the commands into `app`."""
    app.command("apply", epilog=_APPLY)(apply)
    app.command("diff", epilog=_DIFF)(diff)
    app.command("export", epilog=_EXPORT)(export)
