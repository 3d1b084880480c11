"""`tiercast-gateway`: join a region, run, look.

Rules
- Everything heavy is imported when its command runs: help and mistakes answer at once.
- Exit codes: 0 good, 1 failed, 2 the human's mistake, 3 not reachable (docs/operations.md).
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from tiercast_gateway import parent_commands

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="A Tiercast gateway: a repeater, or a site's own server.",
)

State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="State folder; default: the machine's own place for it.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from tiercast_protocol import __version__

        typer.echo(f"tiercast-gateway {__version__}")
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
def join(
    token: Annotated[str, typer.Argument(help="The token printed by: tiercast node invite NAME --gateway")],
    state: State = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where this gateway's own broker listens for its children.")
    ] = "",
    advertise: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="How children reach it, when that differs from --listen.")
    ] = "",
    broker: Annotated[
        str, typer.Option(help="auto, embedded, mosquitto, or the URL of a broker that you run.")
    ] = "auto",
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="Authorities to trust, where the parent is at mqtts://.")
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", metavar="FILE", help="Certificate to show to the parent's broker.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="The certificate's key.")] = None,
) -> None:
    """Join the region that the token is of, and write gateway.toml.

    Example: tiercast-gateway join tcj1-... --listen 0.0.0.0:1883
    """
    from tiercast_gateway.joining import join_region
    from tiercast_protocol.node import logs
    from tiercast_protocol.node.address import TlsFiles
    from tiercast_protocol.node.places import place

    logs.configure("warning")  # what happened is printed; a log line would say it twice
    here = place("gateway", state)
    tls = TlsFiles.of(ca, cert, key)
    enrolled = _run(join_region(token, here, listen=listen, advertise=advertise, broker=broker, tls=tls))
    typer.echo(f"{enrolled.name} joined the region {enrolled.region} below {enrolled.parent}.")
    typer.echo(f"Settings: {here.config}\nStart it with: tiercast-gateway run" + (f" --state {state}" if state else ""))


@app.command()
def run(state: State = None) -> None:
    """Run the gateway in the foreground; it ends with SIGTERM or Ctrl-C.

    Example: tiercast-gateway run --state /var/lib/tiercast/gateway
    """
    from tiercast_gateway.daemon import serve
    from tiercast_protocol.node import lifecycle, logs
    from tiercast_protocol.node.places import place

    logs.configure()
    sys.exit(lifecycle.run_daemon(lambda stack: serve(stack, place("gateway", state).folder)))


@app.command()
def status(
    state: State = None, json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False
) -> None:
    """Show the gateway that runs on this machine.

    Example: tiercast-gateway status --json
    """
    from tiercast_gateway.showing import fetch_status, render_status
    from tiercast_protocol.node.places import place

    found = _run(fetch_status(place("gateway", state).socket))
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


parent_commands.register(app, _run)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
