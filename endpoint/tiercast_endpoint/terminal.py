"""What `tiercast-endpoint` says and hears at a terminal: join a region, run the agent, look at it.

Exit codes: 0 done, or stopped by a signal in order; 1 failed; 2 wrong usage, settings or token; 3 the agent or the
parent can't be reached; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tiercast_endpoint import commands, parent_commands, recover_commands
from tiercast_endpoint.halves import root_commands
from tiercast_endpoint.owner import choice_commands, owner_commands

_EPILOG = """\b
Examples:
  tiercast-endpoint join tcj1-... --state ./pc-1 --install-root ./apps
  tiercast-endpoint run --state ./pc-1
  tiercast-endpoint status --state ./pc-1 --json
\b
Exit codes:
  0 done, or stopped by a signal   1 failed   2 wrong usage, settings or token
  3 the agent or the parent can't be reached   130 interrupted
"""
SCHEMA = 1

app = typer.Typer(
    name="tiercast-endpoint",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="The Tiercast agent of this machine: installs what its region orders, and proves it.",
    epilog=_EPILOG,
)
transfer = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What this machine asks of the link to its parent."
)
app.add_typer(transfer, name="transfer")
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="The agent's folder.", envvar="TIERCAST_ENDPOINT_STATE"),
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")]


def _version(wanted: bool) -> None:
    if wanted:
        from tiercast_protocol import __version__

        print(f"tiercast-endpoint {__version__}")
        raise typer.Exit


def _misplaced(context: typer.Context, folder: str) -> str:
    """Who puts the folder before the command is told where it stands."""
    if folder and not context.resilient_parsing:
        raise typer.BadParameter(f"comes after the command: tiercast-endpoint list --state {folder}")
    return folder


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    state: Annotated[str, typer.Option("--state", hidden=True, callback=_misplaced)] = "",
) -> None:
    """Options before the command."""


@app.command()
def join(
    token: Annotated[str, typer.Argument(help="What `tiercast node invite` printed; - reads it from stdin.")],
    *,
    state: State = None,
    install_root: Annotated[
        Path | None, typer.Option("--install-root", metavar="DIR", help="Where packages are installed.")
    ] = None,
    name: Annotated[str, typer.Option(help="The name that this node is to have; must be the token's.")] = "",
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="Authorities to trust, where the broker is at mqtts://.")
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", metavar="FILE", help="Certificate to show to the parent's broker.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="The certificate's key.")] = None,
    json: Json = False,
) -> None:
    """Become part of a region."""

    async def work() -> None:
        from tiercast_endpoint.joining import join as join_region
        from tiercast_protocol.node.address import TlsFiles

        text = sys.stdin.readline() if token == "-" else token  # noqa: S105 - the dash of stdin
        place = _place(state)
        enrolled = await join_region(text, place, install_root=install_root, name=name, tls=TlsFiles.of(ca, cert, key))
        if json:
            _emit(
                {
                    "name": enrolled.name,
                    "region": enrolled.region,
                    "parent": enrolled.parent,
                    "generation": enrolled.generation,
                    "state": str(place.folder),
                    "config": str(place.config),
                }
            )
            return
        print(f"{enrolled.name} has joined the region {enrolled.region}, below {enrolled.parent}.")
        print(f"Its settings stand in {place.config}.  Start the agent:")
        print(f"  tiercast-endpoint run{_state_option(state)}")

    _run(work, json=json)


@app.command()
def run(*, state: State = None) -> None:
    """Run the agent until a signal comes."""
    from tiercast_endpoint.resident import serve

    raise SystemExit(serve(state))


@app.command()
def status(*, state: State = None, json: Json = False) -> None:
    """Show who the agent is, whether its parent is there, and what it does."""
    found = _ask(state, "status", json=json)
    if json:
        _emit({"status": found})
        return
    parent = found["parent"]
    print(f"{found['name']} in {found['region']}, Tiercast {found['version']}, process {found['pid']}")
    print(f"parent    {parent['name']} at {parent['url']}: {'connected' if parent['connected'] else 'not connected'}")
    print(f"installs  into {found['install_root']}: {found['packages']} packages, {_size(found['disk_free'])} free")
    commands.print_halves(found)
    print(f"staging   {found['staging']['chunks']} chunks, {_size(found['staging']['bytes'])}")
    for job in found["open_jobs"]:
        print(f"job       {job['job']} {job['package']}: {job['state']}")


@app.command()
def packages(*, state: State = None, json: Json = False) -> None:
    """List what is installed."""
    found = _ask(state, "packages", json=json)
    if json:
        _emit({"packages": found})
        return
    for one in found:
        before = f", before it {one['previous']}" if one["previous"] else ""
        print(f"{one['package']}={one['version']} revision {one['revision']}: {one['files']} files{before}")


@app.command()
def jobs(
    *, state: State = None, limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20, json: Json = False
) -> None:
    """List the newest jobs, or show one with `job`."""
    found = _ask(state, "jobs", json=json, limit=limit)
    if json:
        _emit({"jobs": found})
        return
    for one in found:
        code = f" ({one['code']})" if one["code"] else ""
        print(f"{one['job']}  {one['type']}{_package(one)}: {one['state']}{code}")


@app.command()
def job(id_: Annotated[str, typer.Argument(metavar="JOB")], *, state: State = None, json: Json = False) -> None:
    """Show one job, with what its programs said."""
    found = _ask(state, "job.show", json=json, job=id_)
    if json:
        _emit({"job": found})
        return
    code = f" ({found['code']})" if found["code"] else ""
    print(f"{found['job']}  {found['type']}{_package(found)}: {found['state']}{code}")
    if found["detail"]:
        print(f"  {found['detail']}")
    for program in found["programs"]:
        print(f"  {' '.join(program['argv'])}: status {program['exit']} after {program['seconds']} s")
        for line in program["output"].splitlines():
            print(f"    {line}")


@app.command()
def why(
    id_: Annotated[str, typer.Argument(metavar="[JOB]", help="One job; every open one by default.")] = "",
    *,
    state: State = None,
    json: Json = False,
) -> None:
    """Say why a job of this machine has not ended, since when, what frees it, and what you can do.

    Example: tiercast-endpoint why j-17
    """
    found = _ask(state, "job.why", json=json, job=id_)
    if json:
        _emit({"why": found})
        return
    if not found["jobs"] and not found.get("above"):
        print("No job is open here.")
    for one in found["jobs"]:
        print(f"{one['job']}  {one['type']}{_package(one)}: {one['state']}")
        for reason in one["chain"]:
            print(f"  {reason['code']}: {reason['says']}{_since(reason['since'])}")
            print(f"    freed when {reason['freed'].replace('JOB', one['job'])}")
            commands.print_todo(reason, one["job"])
        if result := one["result"]:
            code = f" ({result['code']})" if result["code"] else ""
            print(f"  ended {result['state']}{code}: {result['detail'] or result['means']}")
            commands.print_todo(result, one["job"])
    commands.print_above(found.get("above") or [], id_)


def _package(job: dict[str, Any]) -> str:
    """The package that a job is about, if it is about one."""
    return f" {job['package']}={job['version']}" if job["package"] else ""


def _since(moment: int) -> str:
    import time

    return f", since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(moment / 1000))}" if moment else ""


@transfer.command("show")
def show_transfer(*, state: State = None, json: Json = False) -> None:
    """Show what this machine asks of the link to its parent, and whether its exception stands."""
    _show_wishes(_ask(state, "transfer.show", json=json), json=json)


@transfer.command()
def allow(
    *,
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="18:00, or 2026-12-24 18:00.")] = "",
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="For so long: 30min, 2h.")] = "",
    state: State = None,
    json: Json = False,
) -> None:
    """Let all jobs use the link for a time, though it is metered.

    Example: tiercast-endpoint transfer allow --for 2h
    """
    ends = _read_end(until, for_, "transfer allow", json=json)
    _show_wishes(_ask(state, "transfer.allow", json=json, until=ends), json=json)


@transfer.command()
def forbid(*, state: State = None, json: Json = False) -> None:
    """End that exception now."""
    _show_wishes(_ask(state, "transfer.forbid", json=json), json=json)


def _show_wishes(found: dict[str, Any], *, json: bool) -> None:
    if json:
        _emit({"transfer": found})
        return
    import time

    print(f"rate      {found['rate']} bytes per second at most" if found["rate"] else "rate      unlimited")
    if found["segment"]:
        print(f"split     {_size(found['segment'])}, then {found['pause_s']:g} s of silence")
    print(f"metered   {'yes' if found['metered'] else 'no'}")
    if found["allowed_until"]:
        end = time.localtime(found["allowed_until"] / 1000)
        print(f"allowed   to all jobs until {time.strftime('%Y-%m-%d %H:%M', end)}")


def _read_end(until: str, for_: str, command: str, *, json: bool) -> int:
    """Milliseconds since 1970 of the end that was given; what is wrong with it is printed, and ends the command."""
    ends: list[int] = []

    async def work() -> None:
        ends.append(commands.end_of(until, for_, command))

    _run(work, json=json)
    return ends[0]


def _place(state: Path | None) -> Any:
    from tiercast_protocol.node.places import place

    return place("endpoint", state)


def _state_option(state: Path | None) -> str:
    return f" --state {state}" if state is not None else ""


def _start_it(state: Path | None) -> str:
    return f"Start it with `tiercast-endpoint run{_state_option(state)}`, or name its folder with --state."


def _ask(state: Path | None, verb: str, *, json: bool, **args: Any) -> Any:
    found: list[Any] = []

    async def work() -> None:
        from tiercast_protocol.node.control.client import connect

        async with connect(_place(state).socket, todo=_start_it(state)) as client:
            found.append(await client.call(verb, **args))

    _run(work, json=json)
    return found[0]


def _follow(state: Path | None, verb: str, each: Callable[[Any], None], *, json: bool) -> None:
    async def work() -> None:
        from tiercast_protocol.node.control.client import connect

        async with connect(_place(state).socket, todo=_start_it(state)) as client:
            async for item in client.stream(verb):
                each(item)

    _run(work, json=json)


def _run(work: Callable[[], Awaitable[None]], *, json: bool) -> None:
    """Run `work`; an error becomes a message and the exit code that fits."""
    from tiercast_protocol.errors import TiercastError, UsageError
    from tiercast_protocol.node.lifecycle import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_UNREACHABLE, EXIT_USAGE
    from tiercast_protocol.node.logs import configure

    async def main() -> None:
        await work()

    configure("warning")
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except UsageError as error:
        if json:
            told = {"code": error.code, "what": error.what, "where": error.where, "todo": error.todo}
            _emit({"error": told})
        else:
            print(f"error: {error}", file=sys.stderr)
        unreachable = error.code in {"daemon.unreachable", "parent.unreachable", "enrol.unanswered"}
        raise SystemExit(EXIT_UNREACHABLE if unreachable else EXIT_USAGE) from None
    except TiercastError as error:
        if json:
            _emit({"error": {"code": "failed", "what": str(error), "where": "", "todo": ""}})
        else:
            print(f"error: {error}", file=sys.stderr)
        raise SystemExit(EXIT_FAILED) from None


def _emit(result: dict[str, Any]) -> None:
    import json

    print(json.dumps({"schema": SCHEMA, **result}, ensure_ascii=False), flush=True)


def _size(size: int) -> str:
    from tiercast_protocol.node.settings_file import show_size

    return show_size(size) if size < 1 << 20 else f"{size / (1 << 20):.0f}MiB"


commands.register(app, _ask, _emit)
parent_commands.register(app, _ask, _emit)
choice_commands.register(app, _ask, _emit, _read_end)
owner_commands.register(app, _ask, _emit, _follow)
root_commands.register(app, _run, _emit)
recover_commands.register(app, _run, _emit)
