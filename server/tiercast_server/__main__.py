"""`tiercast-server`: make a region, run it, look.

Rules
- Everything heavy is imported when its command runs: help and mistakes answer at once.
- Exit codes: 0 good, 1 failed, 2 the human's mistake, 3 not reachable (docs/operations.md).
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="A Tiercast server: the root of a region, with its library.",
)

State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="State folder; default: the machine's own place for it.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from tiercast_protocol import __version__

        typer.echo(f"tiercast-server {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def init(
    region: Annotated[str, typer.Option("--region", help="What the new region is called.")],
    state: State = None,
    name: Annotated[str, typer.Option("--name", help="What the server is called as a node.")] = "server",
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the server's own broker listens for its children.")
    ] = "",
    advertise: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="How children reach it, when that differs from --listen.")
    ] = "",
    broker: Annotated[
        str, typer.Option(help="auto, embedded, mosquitto, or the URL of a broker that you run.")
    ] = "auto",
    database: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="An empty PostgreSQL database (postgresql://USER@HOST/NAME); left out, a file in the state folder.",
        ),
    ] = "",
) -> None:
    """Make a new region: its folder, its order key, its database, and server.toml.

    Example: tiercast-server init --region berlin --listen 0.0.0.0:1883
    """
    from tiercast_protocol.node.places import place
    from tiercast_server.founding import found_region

    here = place("server", state)
    _run(
        found_region(
            here, region=region, server=name, listen=listen, advertise=advertise, broker=broker, database=database
        )
    )
    typer.echo(f"The region {region} stands in {here.folder}; settings: {here.config}")
    typer.echo("Keep region.key safe: it signs every order of this region.\n\nNext:")
    typer.echo("  tiercast-server run" + (f" --state {state}" if state else ""))
    typer.echo(f"  export TIERCAST_SOCKET={here.socket}")
    typer.echo("  tiercast node invite NAME")


@app.command()
def run(state: State = None) -> None:
    """Run the server in the foreground; it ends with SIGTERM or Ctrl-C.

    Example: tiercast-server run --state /var/lib/tiercast/server
    """
    from tiercast_protocol.node import lifecycle, logs
    from tiercast_protocol.node.places import place

    here = place("server", state)

    async def serve_here(stack: AsyncExitStack) -> None:
        from tiercast_server.claim import claim

        claim(stack, here)  # before what takes long to import: a command typed meanwhile sees that one is starting
        from tiercast_server.daemon import serve

        await serve(stack, here)

    logs.configure()
    sys.exit(lifecycle.run_daemon(serve_here))


@app.command()
def status(
    state: State = None, json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False
) -> None:
    """Show the server that runs on this machine.

    Example: tiercast-server status --json
    """
    from tiercast_gateway.showing import fetch_status, render_status
    from tiercast_protocol.node.places import place

    found = _run(fetch_status(place("server", state).socket, "tiercast-server"))
    typer.echo(render_status(found, as_json=json))


def _run(what: Coroutine[Any, Any, T]) -> T:
    import asyncio

    from tiercast_protocol.errors import StateError, UsageError
    from tiercast_protocol.node.lifecycle import exit_code_for

    try:
        return asyncio.run(what)
    except (UsageError, StateError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(exit_code_for(error))


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
