"""`tiercast-endpoint prefer | history | watch`: the owner's wish, and his way to look on.

Rules
- The ways to ask the agent and to print come from the terminal's room, so that errors look alike everywhere.
- Nothing heavy is imported: help answers at once.
- `watch --json` is one line per change, flushed: made to be read by a program.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from tiercast_endpoint.commands import Ask, Json, State

Emit = Callable[[dict[str, Any]], None]


class Follow(Protocol):
    """Calls a verb that streams; what fails is printed, and ends the command."""

    def __call__(self, state: Path | None, verb: str, each: Callable[[Any], None], *, json: bool) -> None:
        """Call `each` with every item, until interrupted."""
        ...


def register(app: typer.Typer, ask: Ask, emit: Emit, follow: Follow) -> None:
    """Add the commands to `app`."""
    _add_prefer(app, ask, emit)
    _add_history(app, ask, emit)
    _add_watch(app, emit, follow)


def _add_prefer(app: typer.Typer, ask: Ask, emit: Emit) -> None:
    @app.command(epilog='Example: tiercast-endpoint prefer --window "mon-fri 12:00-13:00; sat,sun 00:00-24:00"')
    def prefer(
        *,
        window: Annotated[
            list[str] | None,
            typer.Option("--window", metavar="WINDOW", help="When packages are best installed; none takes it back."),
        ] = None,
        state: State = None,
        json: Json = False,
    ) -> None:
        """Say when packages are best installed on this machine; without --window, show it.

        Installations wait for it as far as each order lets you put it off: within --defer-until and the deadline, and
        not at all where no deferral is left.
        """
        if window is None:
            found: dict[str, Any] = ask(state, "owner.preferred", json=json)
        else:
            text = "" if window == ["none"] else "; ".join(window)
            found = ask(state, "owner.prefer", json=json, window=text)
        if json:
            emit({"preferred": found})
        elif found["window"]:
            typer.echo(f"Best installed here: {found['window']} (said by {found['by']}, {_at(found['at'])}).")
        else:
            typer.echo("No times are preferred here.")


def _add_history(app: typer.Typer, ask: Ask, emit: Emit) -> None:
    @app.command(epilog="Example: tiercast-endpoint history --package editor --since 7d")
    def history(
        *,
        package: Annotated[str, typer.Option("--package", metavar="NAME", help="Of this package alone.")] = "",
        since: Annotated[str, typer.Option("--since", metavar="TIME", help="Of the last 12h, 7d.")] = "",
        most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="The newest so many.")] = 50,
        state: State = None,
        json: Json = False,
    ) -> None:
        """List what came to this machine and what became of it, newest first."""
        found: list[dict[str, Any]] = ask(
            state, "owner.history", json=json, package=package, since=_since(since), most=most
        )
        if json:
            emit({"history": found})
            return
        if not found:
            typer.echo("Nothing has ended here.")
        for row in found:
            about = f" {row['package']}={row['version']}" if row["package"] else ""
            code = f" ({row['code']})" if row["code"] else ""
            typer.echo(f"{_at(row['finished'])}  {row['job']}  {row['type']}{about}: {row['state']}{code}")
            if row["says"]:
                typer.echo(f"    {row['says']}")


def _add_watch(app: typer.Typer, emit: Emit, follow: Follow) -> None:
    @app.command(epilog="Example: tiercast-endpoint watch --json | while read -r line; do ...; done")
    def watch(*, state: State = None, json: Json = False) -> None:
        """Show what is open here, then every change, until interrupted."""

        def each(event: Any) -> None:
            if json:
                emit(event)
            else:
                typer.echo(_line(event))

        follow(state, "owner.watch", each, json=json)


def _line(event: dict[str, Any]) -> str:
    """One change, as people read it."""
    name, at = event["event"], _at(event["at"]) if "at" in event else ""
    match name:
        case "lost":
            return f"({event['count']} changes were not read in time)"
        case "message":
            return f"{at}  message: {event['title'] or event['job']}: {event['says']}"
        case "chosen":
            what = "all" if not event["job"] else event["job"]
            return f"{at}  {what}: chosen by {event['by']}"
    about = f" {event['package']}={event['version']}" if event["package"] else ""
    code = f" ({event['code']})" if event["code"] else ""
    says = f": {event['says']}" if event["says"] else ""
    return f"{at}  {event['job']}  {event['type']}{about}: {event['state']}{code}{says}"


def _since(text: str) -> int:
    """Milliseconds since 1970; 0 for "from the beginning"."""
    if not text:
        return 0
    from tiercast_protocol.node.config import parse_duration  # noqa: PLC0415 - late, see the rules

    try:
        return int((time.time() - parse_duration(text)) * 1000)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no length of time: write 12h or 7d.", param_hint="--since") from None


def _at(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment / 1000))
