"""`tiercast-endpoint parents | move-to | parent set`: below whom this machine is, may be, and where that one is now.

Rules
- The ways to ask the agent and to print come from `__main__`, so that errors look alike everywhere.
- Nothing heavy is imported: help answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from tiercast_endpoint.commands import Ask, Json, State


def register(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    """Add the commands to `app`."""

    def show(found: dict[str, Any], *, json: bool) -> None:
        if json:
            emit({"parents": found})
            return
        from tiercast_protocol.node.pointing import lines_of

        for line in lines_of(found):
            typer.echo(line)

    @app.command(epilog="Example: tiercast-endpoint parents --json")
    def parents(*, state: State = None, json: Json = False) -> None:
        """Show below whom this machine is, where it belongs and may go, and while it has no parent what was tried."""
        show(ask(state, "parents", json=json), json=json)

    @app.command("move-to", epilog="Example: tiercast-endpoint move-to rome")
    def move_to(
        parent: Annotated[str, typer.Argument(metavar="PARENT", help="One of those that `parents` lists.")],
        *,
        state: State = None,
        json: Json = False,
    ) -> None:
        """Go below another of the parents that the region allows, as soon as that one has a place."""
        show(ask(state, "parents.move", json=json, parent=parent), json=json)

    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Where this machine's parent is now.")
    app.add_typer(group, name="parent")

    @group.callback()
    def only() -> None:
        """Where this machine's parent is now."""

    examples = (
        "Examples: tiercast-endpoint parent set 10.0.0.7:1883, tiercast-endpoint parent set rome.example --name rome"
    )

    @group.command("set", epilog=examples)
    def set_(
        address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Of its broker; or mqtt://..., mqtts://...")],
        *,
        name: Annotated[str, typer.Option("--name", metavar="PARENT", help="Whose that is; its home by default.")] = "",
        state: State = None,
        json: Json = False,
    ) -> None:
        """Say where a parent is now, when nobody else can: it counts once the parent there has proved who it is."""
        show(ask(state, "parents.set", json=json, address=address, name=name), json=json)
