"""`tiercast-endpoint list | hold | release | defer | reject | offers | accept | decline`: the owner's word.

Rules
- The ways to ask the agent and to print come from `__main__`, so that errors look alike everywhere.
- Nothing heavy is imported: help answers at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Protocol

import typer

from tiercast_endpoint.commands import Ask, Json, State

Job = Annotated[str, typer.Argument(metavar="JOB", help="One that `list` shows.")]
AnyJob = Annotated[str, typer.Argument(metavar="[JOB]", help="One that `list` shows; all that may be held by default.")]


class EndOf(Protocol):
    """Reads a moment; what is wrong with it is printed, and ends the command."""

    def __call__(self, until: str, for_: str, command: str, *, json: bool) -> int:
        """Milliseconds since 1970."""
        ...


def register(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None], end_of: EndOf) -> None:
    """Add the commands to `app`; `end_of` reads a moment."""
    _add_list(app, ask, emit)
    _add_power(app, ask, emit)
    _add_offers(app, ask, emit)
    _add_holds(app, ask, emit, end_of)
    _add_answers(app, ask, emit)


def _add_list(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    @app.command("list", epilog="Example: tiercast-endpoint list --json")
    def list_(
        *,
        ended: Annotated[int, typer.Option(min=0, max=1000, help="So many that have ended, the newest first.")] = 10,
        state: State = None,
        json: Json = False,
    ) -> None:
        """List what is to be done on this machine, why it waits, and what came of the last jobs."""
        found: dict[str, Any] = ask(state, "owner.list", json=json, ended=ended)
        power: dict[str, Any] = ask(state, "power.show", json=json)
        if json:
            emit({"list": found | {"power": power}})
            return
        if power["at"]:
            typer.echo(f"The machine was woken for {power['job']}, and shuts down at {_at(power['at'])}.")
            typer.echo("  you can: tiercast-endpoint stay")
        if found["held"]["since"]:
            typer.echo(f"All that may be held is held by {found['held']['by']}: tiercast-endpoint release")
        if window := found.get("preferred", {}).get("window"):
            typer.echo(f"Best installed here: {window}")
        if not found["jobs"]:
            typer.echo("Nothing waits.")
        for row in found["jobs"]:
            _print(row)
        for row in found["ended"]:
            code = f" ({row['code']})" if row["code"] else ""
            typer.echo(f"{row['job']}  {row['type']}{_about(row)}: {row['state']}{code}, {_at(row['finished'])}")


def _add_power(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    @app.command(epilog="Example: tiercast-endpoint stay")
    def stay(*, state: State = None, json: Json = False) -> None:
        """Keep a machine awake that was woken for a job, and would shut down after it."""
        found: dict[str, Any] = ask(state, "power.stay", json=json)
        if json:
            emit({"stays": found})
            return
        typer.echo("The machine stays on." if found["job"] else "The machine was not about to shut down.")


def _add_offers(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    @app.command(epilog="Example: tiercast-endpoint offers, then tiercast-endpoint accept j-17")
    def offers(*, state: State = None, json: Json = False) -> None:
        """List what this machine may have if you want it."""
        found: list[dict[str, Any]] = ask(state, "owner.offers", json=json)
        if json:
            emit({"offers": found})
            return
        if not found:
            typer.echo("Nothing is offered.")
        for row in found:
            _print(row)


def _add_holds(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None], end_of: EndOf) -> None:
    @app.command(epilog="Example: tiercast-endpoint hold j-17")
    def hold(job: AnyJob = "", *, state: State = None, json: Json = False) -> None:
        """Let nothing of a job begin, or of all jobs, until you release it; what has begun goes on."""
        found: dict[str, Any] = ask(state, "owner.hold", json=json, job=job)
        if json:
            emit({"held": found})
            return
        typer.echo(f"{found['job']} is held." if job else "All that may be held is held.")
        if others := found.get("not_held"):
            typer.echo(f"Not held, for these may only be deferred: {', '.join(others)}")
        typer.echo(f"Release it: tiercast-endpoint release {found['job']}".rstrip())

    @app.command(epilog="Example: tiercast-endpoint release j-17")
    def release(job: AnyJob = "", *, state: State = None, json: Json = False) -> None:
        """End the hold and the deferral of a job, or the hold of all."""
        found: dict[str, Any] = ask(state, "owner.release", json=json, job=job)
        emit({"released": found}) if json else typer.echo(f"{found['job'] or 'What was held'} goes on.")

    @app.command(epilog="Example: tiercast-endpoint defer j-17 --for 2h")
    def defer(
        job: Job,
        *,
        until: Annotated[str, typer.Option("--until", metavar="TIME", help="18:00, or 2026-12-24 18:00.")] = "",
        for_: Annotated[str, typer.Option("--for", metavar="TIME", help="For so long: 30min, 2h.")] = "",
        state: State = None,
        json: Json = False,
    ) -> None:
        """Put a job off: it is fetched meanwhile, and installed later; as often and as long as its order allows."""
        at = end_of(until, for_, "defer", json=json)
        found: dict[str, Any] = ask(state, "owner.defer", json=json, job=job, until=at)
        if json:
            emit({"deferred": found})
            return
        left = ""
        if found["left"] is not None:
            more = f"it may be deferred {_times(found['left'])} more"
            left = f"; {more if found['left'] else 'there is no further deferral'}"
        typer.echo(f"{found['job']} waits until {_at(found['until'])}{left}.")

    @app.command(epilog="Example: tiercast-endpoint reject j-17")
    def reject(job: Job, *, state: State = None, json: Json = False) -> None:
        """Refuse a job for good, if it was ordered so that you may."""
        found: dict[str, Any] = ask(state, "owner.reject", json=json, job=job)
        emit({"rejected": found}) if json else typer.echo(f"{found['job']} is rejected.")


def _add_answers(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    @app.command(epilog="Example: tiercast-endpoint accept j-17")
    def accept(job: Job, *, state: State = None, json: Json = False) -> None:
        """Have an offer installed, by the ordinary way."""
        found: dict[str, Any] = ask(state, "owner.accept", json=json, job=job)
        if json:
            emit({"accepted": found})
            return
        typer.echo(f"{found['job']} is accepted; see: tiercast-endpoint why {found['job']}")

    @app.command(epilog="Example: tiercast-endpoint decline j-17")
    def decline(job: Job, *, state: State = None, json: Json = False) -> None:
        """Do without an offer."""
        found: dict[str, Any] = ask(state, "owner.decline", json=json, job=job)
        emit({"declined": found}) if json else typer.echo(f"{found['job']} is declined.")


def _print(row: dict[str, Any]) -> None:
    typer.echo(f"{row['job']}  {row['type']}{_about(row)}: {row['state']}")
    for reason in row["chain"][:1]:
        typer.echo(f"    {reason['says']}")
    if row.get("about") or row.get("size"):
        size = f"{row['size'] / 1e6:,.1f} MB" if row["size"] else ""
        typer.echo(f"    {'; '.join(part for part in (row['about'], size) if part)}")
    if row["can_put_off"] and (can := _can(row)):
        typer.echo(f"    you can: {', '.join(can)}; it expires {_at(row['expires'])}")


def _can(row: dict[str, Any]) -> list[str]:
    """What the owner may do about it, in words."""
    limited = row["defer_max"] is not None or row["defer_latest"] < row["expires"]
    most = row["defer_max"]
    left = 1 if most is None else max(0, most - row["deferrals"])
    often = "" if most is None else f", {_times(left)} more"
    said = [f"defer (not beyond {_at(row['defer_latest'])}{often})"] if left else []
    said += ["hold"] if not limited else []
    said += ["reject"] if row["rejectable"] else []
    said += ["accept", "decline"] if row["type"] == "offer" and not row["answer"] else []
    return said


def _about(row: dict[str, Any]) -> str:
    return f" {row['package']}={row['version']}" if row["package"] else ""


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _at(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment / 1000))
