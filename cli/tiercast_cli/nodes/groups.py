"""`tiercast group ...`: named sets of endpoints; a machine may be in many."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.options import Group, Json, Members
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run
from tiercast_protocol.errors import UsageError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Named sets of nodes, for jobs to aim at.")

_CREATE = """\b
Examples:
  tiercast group create sales pc-1 pc-2 pc-3
  tiercast group create old --where 'distribution == "debian" && version == "11"'
  tiercast group create testers --self-join
"""


@app.command(epilog=_CREATE)
def create(
    name: Annotated[str, typer.Argument(help="What the group is called.")],
    members: Annotated[list[str] | None, typer.Argument(help="Its first members.")] = None,
    *,
    where: Annotated[
        str, typer.Option("--where", metavar="CONDITION", help="Whoever this is true of is in it, and nobody else.")
    ] = "",
    self_join: Annotated[bool, typer.Option("--self-join", help="Machines may join it by themselves.")] = False,
    json: Json = False,
) -> None:
    """Make a group: of nodes that you name, of whoever a condition is true of, or of those who join it."""
    more = ({"where": where} if where else {}) | ({"self_join": True} if self_join else {})
    _change("group.add", name, members or [], json=json, **more)


@app.command()
def join(name: Group, members: Members, *, json: Json = False) -> None:
    """Put nodes into a group."""
    _change("group.join", name, members, json=json)


@app.command()
def leave(name: Group, members: Members, *, json: Json = False) -> None:
    """Take nodes out of a group."""
    _change("group.leave", name, members, json=json)


@app.command("set")
def set_(
    name: Group,
    *,
    window: Annotated[
        str,
        typer.Option("--window", metavar="WINDOW", help="When its members install packages; none: always."),
    ] = "",
    wake: Annotated[
        bool | None,
        typer.Option("--wake/--no-wake", help="Its members are woken for every job; or no more.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Give a group a window in which packages are installed on its members, or have them woken for every job."""

    async def work() -> None:
        if not window and wake is None:
            raise UsageError("option.invalid", "Nothing was said of the group", "group set", "Give --window or --wake.")
        found: dict[str, Any] = {}
        if window:
            found |= await ask("group.set", name=name, window="" if window == "none" else window)
        if wake is not None:
            found |= await ask("group.wake", name=name, wake=wake)
        if json:
            emit(found)
            return
        if window:
            said = f"window {found['window']}" if found["window"] else "no window"
            print(f"Group {name}: {said}; {words.count(found['told'], 'member')} told of a change.")
        if wake is not None:
            print(f"Group {name}: its members are {'woken for every job' if wake else 'woken as jobs and links say'}.")

    run(work, as_json=json)


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
            rows = [(g["name"], g["kind"], g["members"], g.get("window", "")) for g in groups]
            print(words.table(("name", "kind", "members", "window"), rows))

    run(work, as_json=json)


@app.command()
def show(name: Group, *, json: Json = False) -> None:
    """Show who is in a group."""

    async def work() -> None:
        group: dict[str, Any] = await ask("group.show", name=name)
        if json:
            emit({"group": group})
            return
        if group.get("where"):
            print(f"where {group['where']}:")
        if group.get("window"):
            print(f"packages are installed only in the window {group['window']}")
        if group.get("wake"):
            print("its members are woken for every job")
        by_itself = set(group.get("by_itself", ()))
        print("\n".join(f"{m} (by itself)" if m in by_itself else m for m in group["members"]) or "(nobody)")

    run(work, as_json=json)


def _change(verb: str, name: str, members: list[str], *, json: bool, **more: object) -> None:
    async def work() -> None:
        result = await ask(verb, name=name, members=members, **more)
        if json:
            emit(result or {})
        else:
            group = await ask("group.show", name=name)
            print(f"Group {name}: {words.count(len(group['members']), 'member')}.")
            for job in result.get("jobs", ()):
                print(f"The job {job} follows this group: it is for them too.")

    run(work, as_json=json)
