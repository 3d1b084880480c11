"""`tiercast job ...`: have a package installed, removed, preloaded or purged, and watch any job to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from tiercast_cli.jobs.remarks import remarks
from tiercast_cli.jobs.sets import OF_STEPS, sets_of
from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import Job, Json, OnEndpoints, OnGateways, Package
from tiercast_cli.said.provisos import OF_OWNER, OF_REPLACING, provisos_of
from tiercast_cli.said.targets import TARGETS, print_dry_run, print_needs, targets_of
from tiercast_cli.said.terms import JOB, taking, terms_of
from tiercast_cli.said.times import ANYWAY, OF_INSTALLATION, OF_TRANSFER, times_of
from tiercast_cli.shown import words
from tiercast_cli.talk.exitcodes import ExitCode
from tiercast_cli.talk.session import ask, emit, run, session

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Orders to many machines, and what came of them.")

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Stay and watch until every target has ended.")]
Expires = Annotated[str, typer.Option("--expires", help="How long absent targets are waited for: 12h, 30d.")]
IntoFolder = Annotated[str, typer.Option("--folder", metavar="FOLDER", help="Where the job is put in lists: a/b.")]
Force = Annotated[bool, typer.Option("--force", help="Also where other packages need it.")]
Note = Annotated[str, typer.Option("--note", help="Why; shown with the job.")]

INSTALL = """\b
Examples:
  tiercast job install hello --on pc-17 --watch
  tiercast job install editor=2.1 --group sales --expires 7d
  tiercast job install editor --target 'below berlin and where (memory >= 4000000000) minus group kiosks' --dry-run
  tiercast job install editor=2.1 --group sales --priority 9 --rate 400KB/s --pass-suspended
  tiercast job install editor=2.1 --group sales --distribute-at 18:00 --install-window "daily 22:00-05:00"
  tiercast job install editor --group sales --two-phase --commit-at-least 90% --undo-if-failed 10%
  tiercast job install editor --group sales --condition 'memory >= 8000000000' --defer-max 3 --defer-until 18:00
"""
PRELOAD = """\b
Examples:
  tiercast job preload hello --on berlin --watch
  tiercast job preload hello --on berlin --window "mon-fri 22:00-06:00" --segment 4MiB --pause 2s
"""
OFFER = """\b
Example:
  tiercast job offer editor --group sales --expires 14d
The owner sees and takes it with: tiercast-endpoint offers, tiercast-endpoint accept JOB
"""
REMOVE = """\b
Example:
  tiercast job remove hello --group sales --watch
"""


#: What orders of every type say, in the order of the help.
ORDER: dict[str, tuple[Any, Any]] = {
    **TARGETS,
    "watch": (Watch, False),
    "expires": (Expires, "30d"),
    "note": (Note, ""),
    "folder": (IntoFolder, ""),
    "json": (Json, False),
}


OF_INSTALLING: dict[str, tuple[Any, Any]] = {**OF_OWNER, **OF_REPLACING}


@app.command(epilog=INSTALL)
@taking(
    {"on": (OnEndpoints, []), **ORDER, **ANYWAY, **OF_STEPS, **OF_TRANSFER, **OF_INSTALLATION, **OF_INSTALLING, **JOB}
)
def install(package: Package, **given: Any) -> None:
    """Install a package on endpoints."""
    order("install", package, given)


@app.command(epilog=OFFER)
@taking({"on": (OnEndpoints, []), **ORDER, **ANYWAY, **OF_TRANSFER, **OF_INSTALLATION, **OF_INSTALLING, **JOB})
def offer(package: Package, **given: Any) -> None:
    """Offer a package to the owners of endpoints: it is installed where they accept it."""
    order("offer", package, given)


@app.command(epilog=REMOVE)
@taking({"on": (OnEndpoints, []), **ORDER, "force": (Force, False), **OF_INSTALLATION, **OF_OWNER})
def remove(package: Package, **given: Any) -> None:
    """Remove a package from endpoints."""
    order("remove", package, given)


@app.command(epilog=PRELOAD)
@taking({"on": (OnGateways, []), **ORDER, **ANYWAY, **OF_TRANSFER, **JOB})
def preload(package: Package, **given: Any) -> None:
    """Bring a package into the depots of gateways, to be installed from there later."""
    order("preload", package, given)


@app.command()
@taking({"on": (OnGateways, []), **ORDER})
def purge(package: Package, **given: Any) -> None:
    """Delete a package from the depots of gateways."""
    order("purge", package, given)


def order(
    kind: str,
    package: str,
    given: dict[str, Any],
    *,
    what: str | None = None,
    options: Callable[[], dict[str, Any]] = dict,
) -> None:
    """Create a job as `given` says (below `job draft`: keep it), and say so.

    Args:
        kind: its type.
        package: what it is about; "" for nothing.
        given: the options of the command, those of `ORDER` among them.
        what: what is shown beside the type; the package by default.
        options: gives those of its type; may raise UsageError.
    """
    watch, json = given["watch"], given["json"]
    shown = " ".join(word for word in (kind, package if what is None else what) if word)
    result: dict[str, Any] = {}
    keep = session.drafting and not given["dry_run"]

    async def work() -> None:
        asked = {
            "type": kind,
            "package": package,
            **targets_of(given),
            "note": given["note"],
            "folder": given["folder"],
            "expires_s": seconds_of(given["expires"], "--expires"),
            "options": terms_of(given).options | times_of(given) | provisos_of(given) | sets_of(given) | options(),
        }
        if given.get("anyway") or given.get("force"):
            asked["anyway"] = True
        if session.collected is not None:
            session.collected.append(asked)
            return
        result.update(await ask("job.draft" if keep else "job.create", **asked))
        if keep:
            kept(result, json=json)
        elif given["dry_run"]:
            only_shown(result, json=json)
        else:
            await made(result, shown, watch=watch, json=json)

    run(work, as_json=json, on_interrupt=lambda: attach("" if keep else result.get("job", "")))


def kept(draft: dict[str, Any], *, json: bool) -> None:
    """Say that a draft was kept."""
    if json:
        emit(draft)
    else:
        if over := draft.get("dropped"):
            print(f"Left out, for they are over: {', '.join(word.replace('_', '-') for word in over)}.")
        print(f"Job {draft['job']} is kept as a draft. Order it: tiercast job start {draft['job']}")


def only_shown(found: dict[str, Any], *, json: bool) -> None:
    """Who would get a job."""
    emit({"dry_run": found}) if json else print_dry_run(found)


async def made(job: dict[str, Any], what: str, *, watch: bool, json: bool) -> None:
    """Say that a job was made, and watch it where that was asked for."""
    if not json:
        print_needs(job.get("needs") or [])
        print(f"Job {job['job']}: {what} on {words.count(job['targets'], 'node')}.")
        print("".join(f"{remark}\n" for remark in remarks(job)), end="")
    if watch:
        await _follow(job["job"], json=json)
    elif json:
        emit(job)
    else:
        print(f"Watch it: tiercast job watch {job['job']}")


def attach(job: str) -> str:
    """What is said when somebody stops watching."""
    if not job:
        return "Interrupted before the job was made; 'tiercast job list' shows whether it was."
    return f"Job {job} goes on.  Watch it again: tiercast job watch {job}   Stop it: tiercast job cancel {job}"


async def _follow(job: str, *, json: bool) -> None:
    from tiercast_cli.shown.live import follow  # noqa: PLC0415 - only who watches pays for it

    progress = await follow(job, quiet=json)
    if json:
        emit({"job": progress.snapshot})
    else:
        print(progress.headline())
    if not progress.well:
        raise SystemExit(ExitCode.JOB_FAILED)


@app.command("watch")
def watch_(job: Job, *, json: Json = False) -> None:
    """Watch a job until every target has ended.  Ctrl-C stops the watching, not the job."""

    async def work() -> None:
        await _follow(job, json=json)

    run(work, as_json=json, on_interrupt=lambda: attach(job))
