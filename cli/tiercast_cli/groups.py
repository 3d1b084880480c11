"""`tiercast group ...`: named sets of endpoints; a machine may be in many."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli import words
from tiercast_cli.options import Group, Json, Members
from tiercast_cli.session import ask, emit, run

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Named sets of nodes, for jobs to aim at.")

_ADD = """\b
Example:
  tiercast group add sales pc-1 pc-2 pc-3
"""


@app.command(epilog=_ADD)
def add(
    name: Annotated[str, typer.Argument(help="What the group is called.")],
    members: Annotated[list[str] | None, typer.Argument(help="Its first members.")] = None,
    *,
    json: Json = False,
) -> None:
    """Make a group."""
    _change("group.add", name, members or [], json=json)


@app.command()
def join(name: Group, members: Members, *, json: Json = False) -> None:
    """Put nodes into a group."""
    _change("group.join", name, members, json=json)


@app.command()
def leave(name: Group, members: Members, *, json: Json = False) -> None:
    """Take nodes out of a group."""
    _change("group.leave", name, members, json=json)


@app.command()
def delete(name: Group, *, json: Json = False) -> None:
    """Delete a group; its members stay."""

    async def work() -> None:
        result = await ask("group.delete", name=name)
        emit(result or {}) if json else print(f"Group {name} is gone; its members stay.")

    run(work, as_json=json)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List all groups."""

    async def work() -> None:
        groups: list[dict[str, Any]] = await ask("group.list")
        if json:
            emit({"groups": groups})
        else:
            print(words.table(("name", "members"), [(g["name"], g["members"]) for g in groups]))

    run(work, as_json=json)


@app.command()
def show(name: Group, *, json: Json = False) -> None:
    """Show who is in a group."""

    async def work() -> None:
        group: dict[str, Any] = await ask("group.show", name=name)
        emit({"group": group}) if json else print("\n".join(group["members"]) or "(nobody)")

    run(work, as_json=json)


def _change(verb: str, name: str, members: list[str], *, json: bool) -> None:
    async def work() -> None:
        result = await ask(verb, name=name, members=members)
        if json:
            emit(result or {})
        else:
            group = await ask("group.show", name=name)
            print(f"Group {name}: {words.count(len(group['members']), 'member')}.")

    run(work, as_json=json)
