"""`tiercast node move|home|candidates|retire|replace`: nodes that change their parents."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import Json, Node
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run

_MOVE = """\b
Examples:
  tiercast node move pc-17 --to paris
  tiercast node move paris --to server
"""
_HOME = """\b
Examples:
  tiercast node home pc-17 pc-18
  tiercast node home --below berlin
"""
_CANDIDATES = """\b
Examples:
  tiercast node candidates pc-17 --set paris,rome,server
  tiercast node candidates pc-17 --default
"""
_RETIRE = """\b
Examples:
  tiercast node retire pc-17
  tiercast node retire berlin --children-to paris
"""


def move(
    name: Node,
    *,
    to: Annotated[str, typer.Option("--to", metavar="PARENT", help="The gateway (or the server) that takes it.")],
    json: Json = False,
) -> None:
    """Give a node another home: it goes there as soon as it hears of it, and its jobs go on."""

    async def work() -> None:
        result: dict[str, Any] = await ask("node.move", name=name, to=to)
        if json:
            emit(result)
            return
        print(f"{name} belongs below {result['parent']} now, no longer below {result['was']}.")
        print(f"It is on its way: `tiercast node show {name}`.")

    run(work, as_json=json)


def home(
    names: Annotated[list[str] | None, typer.Argument(metavar="NODE...", help="Who is to go home.")] = None,
    *,
    below: Annotated[str, typer.Option("--below", metavar="GATEWAY", help="All whose home this is.")] = "",
    json: Json = False,
) -> None:
    """Call nodes home that are guests elsewhere because their parent was away."""

    async def work() -> None:
        result: dict[str, Any] = await ask("node.home", names=list(names or []), below=below)
        if json:
            emit(result)
            return
        away = result["away"]
        there = len(result["called"]) - len(away)
        print(f"Called home: {', '.join(away) or 'nobody'}; {there} are there already.")

    run(work, as_json=json)


def candidates(
    name: Node,
    *,
    set_: Annotated[str, typer.Option("--set", metavar="A,B,C", help="Gateways in the order of preference.")] = "",
    default: Annotated[bool, typer.Option("--default", help="Choose by the tree again.")] = False,
    json: Json = False,
) -> None:
    """Say where a node may go while its parent is away; without options show where it may."""

    async def work() -> None:
        if set_ or default:
            names = [one.strip() for one in set_.split(",") if one.strip()]
            result: dict[str, Any] = await ask("node.candidates", name=name, candidates=names, default=default)
        else:
            node: dict[str, Any] = await ask("node.show", name=name)
            result = {"name": name, "home": node["parent"], "candidates": node["candidates"]}
        if json:
            emit(result)
            return
        print(f"home        {result['home']}")
        print(f"candidates  {', '.join(result['candidates']) or 'none'}")

    run(work, as_json=json)


def retire(
    name: Node,
    *,
    children_to: Annotated[
        str, typer.Option("--children-to", metavar="GATEWAY", help="Who takes the nodes below it.")
    ] = "",
    json: Json = False,
) -> None:
    """Take a node out of the region for good; a gateway goes when its children are elsewhere."""

    async def work() -> None:
        result: dict[str, Any] = await ask("node.retire", name=name, children_to=children_to)
        if json:
            emit(result)
        elif result["removed"]:
            print(f"{name} no longer belongs to the region.")
        else:
            moving = ", ".join(result["moving"])
            print(f"{name} retires when these are below {result['to']}: {moving}.")

    run(work, as_json=json)


def replace(
    name: Node,
    *,
    valid: Annotated[str, typer.Option("--valid", help="How long the token may wait: 30m, 12h, 7d.")] = "24h",
    json: Json = False,
) -> None:
    """Make a token with which a new machine takes over a dead gateway's name and children."""

    async def work() -> None:
        result: dict[str, Any] = await ask("node.replace", name=name, ttl_s=seconds_of(valid, "--valid"))
        if json:
            emit(result)
            return
        until = words.moment(result["expires"])
        print(f"Token for gateway {name}, below {result['parent']}, valid until {until}, once.")
        print(f"What is below it keeps its credentials: {words.count(len(result['children']), 'node')}.")
        print("On the new machine:\n")
        print(f"  tiercast-gateway join {result['token']}")

    run(work, as_json=json)


def register(app: typer.Typer) -> None:
    """Put the commands into `tiercast node`."""
    app.command(epilog=_MOVE)(move)
    app.command(epilog=_HOME)(home)
    app.command(epilog=_CANDIDATES)(candidates)
    app.command(epilog=_RETIRE)(retire)
    app.command()(replace)
