"""`tiercast-gateway parents | parent set`: below whom this gateway is, may be, and where that one is now.

Rules
- Asked of the running gateway over its socket; errors end the command as they do for all others.
- Nothing heavy is imported before the command runs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="State folder; default: the machine's own place for it.")
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON.")]


def register(app: typer.Typer, run: Callable[[Coroutine[Any, Any, dict[str, Any]]], dict[str, Any]]) -> None:
    """Add the commands to `app`; `run` runs a coroutine and ends the command where that raises."""

    def show(found: dict[str, Any], *, json: bool) -> None:
        from json import dumps

        from tiercast_gateway.showing import SCHEMA
        from tiercast_protocol.node.pointing import lines_of

        typer.echo(dumps({"schema": SCHEMA, "parents": found}) if json else "\n".join(lines_of(found)))

    @app.command(epilog="Example: tiercast-gateway parents --json")
    def parents(state: State = None, json: Json = False) -> None:
        """Show below whom this gateway is, where it belongs and may go, and while it has no parent what was tried."""
        show(run(_ask(state, "parents")), json=json)

    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Where this gateway's parent is now.")
    app.add_typer(group, name="parent")

    @group.callback()
    def only() -> None:
        """Where this gateway's parent is now."""

    examples = (
        "Examples: tiercast-gateway parent set 10.0.0.7:1883, tiercast-gateway parent set rome.example --name rome"
    )

    @group.command("set", epilog=examples)
    def set_(
        address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Of its broker; or mqtt://..., mqtts://...")],
        name: Annotated[str, typer.Option("--name", metavar="PARENT", help="Whose that is; its home by default.")] = "",
        state: State = None,
        json: Json = False,
    ) -> None:
        """Say where a parent is now, when nobody else can: it counts once the parent there has proved who it is."""
        show(run(_ask(state, "parents.set", address=address, name=name)), json=json)


async def _ask(state: Path | None, verb: str, **args: Any) -> dict[str, Any]:
    from tiercast_protocol.node.control.client import connect
    from tiercast_protocol.node.places import place

    todo = "Start it with `tiercast-gateway run`, or name its folder with --state."
    async with connect(place("gateway", state).socket, todo=todo) as client:
        found: dict[str, Any] = await client.call(verb, **args)
        return found
