"""`tiercast job ...`: have a package installed, removed, preloaded or purged, and see what came of any job."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tiercast_cli.jobs.remarks import remarks
from tiercast_cli.jobs.sets import OF_STEPS, sets_of, sets_shown
from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import InPackage, Job, Json, Node, OnEndpoints, OnGateways, Package
from tiercast_cli.said.provisos import OF_OWNER, OF_REPLACING, provisos_of, provisos_shown
from tiercast_cli.said.targets import TARGETS, print_dry_run, print_needs, targets_of
from tiercast_cli.said.terms import JOB, taking, terms_of
from tiercast_cli.said.times import ANYWAY, OF_INSTALLATION, OF_TRANSFER, times_of, times_shown
from tiercast_cli.shown import words
from tiercast_cli.talk.exitcodes import ExitCode
from tiercast_cli.talk.session import ask, emit, run, session

#: Targets that `show` prints.
_MOST = 100
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


@app.command("list")
def list_(
    *,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="draft, open, cancelling, done, failed, cancelled, expired."),
    ] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", metavar="TYPE", help="install, run, ...")] = None,
    package: InPackage = "",
    target: Annotated[str, typer.Option("--target", metavar="NODE", help="Jobs for this node.")] = "",
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Of the last 2h, 7d.")] = "",
    folder: Annotated[str, typer.Option("--folder", metavar="FOLDER", help="In this folder, or below it.")] = "",
    search: Annotated[str, typer.Option("--search", metavar="TEXT", help="Those that say this anywhere.")] = "",
    limit: Annotated[int, typer.Option("--limit", help="The newest so many.")] = 50,
    json: Json = False,
) -> None:
    """List jobs and drafts, newest first."""

    async def work() -> None:
        wanted: dict[str, Any] = {
            "states": state,
            "types": type_,
            "package": package,
            "target": target,
            "since": since and int((time.time() - seconds_of(since, "--since")) * 1000),
            "folder": folder,
            "search": search,
        }
        jobs: list[dict[str, Any]] = await ask(
            "job.list", limit=limit, **{key: value for key, value in wanted.items() if value}
        )
        if json:
            emit({"jobs": jobs})
            return
        rows = [
            (
                j["job"],
                j["type"],
                words.subject(j),
                words.state_of(j),
                j["targets"],
                _counts(j),
                j.get("folder", ""),  # a gateway knows neither
                words.moment(j.get("created", 0)),
            )
            for j in jobs
        ]
        print(words.table(("job", "type", "about", "state", "targets", "counts", "folder", "created"), rows))

    run(work, as_json=json)


@app.command()
def show(
    job: Job,
    *,
    on: Annotated[list[str] | None, typer.Option("--on", metavar="NODE", help="This target; may be repeated.")] = None,
    deferred: Annotated[
        bool, typer.Option("--deferred", help="Targets whose owners put it off, or chose otherwise, with who and when.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every target, not a hundred of them.")] = False,
    json: Json = False,
) -> None:
    """Show a job: its targets, every hop, and why.  Of many targets those that ended badly, and those at work."""

    async def work() -> None:
        asked: dict[str, Any] = {"job": job} | ({"on": on} if on else {}) | ({"chosen": True} if deferred else {})
        paged = everything or json or deferred or bool(on)
        found = await (_pages(asked) if paged else ask("job.show", **asked, most=_MOST))
        if json:
            emit({"job": found})
            return
        if "records" in found:
            _show_passing(found)
            return
        if "request" in found:
            _show_draft(found)
            return
        print(f"job {found['job']}  {found['type']} {words.subject(found)}  {words.state_of(found)}")
        by = found.get("by") or "-"
        print(f"ordered {words.moment(found['created'])} by {by}, expires {words.moment(found['expires'])}")
        if found.get("note"):
            print(found["note"])
        if found.get("follows"):
            print(f"for {found['target']}; also for those who join later")
        for line in [*times_shown(found), *provisos_shown(found), *sets_shown(found), _counts(found)]:
            print(line)
        rows = [
            (
                t["node"],
                t.get("parent") or "-",
                t.get("phase") or t["state"],
                words.part(t),
                " ".join(x for x in (t.get("code") or "", t.get("detail") or "", words.chosen(t.get("owner"))) if x),
            )
            for t in found["targets"]
        ]
        print(words.table(("target", "parent", "state", "held", "why"), rows))
        if found.get("left_out") and not (deferred or on):
            print(f"{found['left_out']:,} more; --all shows them, 'tiercast why {found['job']}' counts what waits")
        if found.get("hops"):
            hops = [(h["node"], h["state"], words.part(h), words.rate(h.get("rate") or 0)) for h in found["hops"]]
            print(words.table(("hop", "state", "held", "rate"), hops))

    run(work, as_json=json)


@app.command()
def delete(job: Job, *, json: Json = False) -> None:
    """Forget a job that has ended."""

    async def work() -> None:
        result = await ask("job.delete", job=job)
        emit(result or {}) if json else print(f"Job {job} is forgotten.")

    run(work, as_json=json)


@app.command()
def receipt(job: Job, node: Node, *, json: Json = False) -> None:
    """Show the receipt that an endpoint signed: what ran, how it ended, what it printed."""

    async def work() -> None:
        found: dict[str, Any] = await ask("job.receipt", job=job, node=node)
        if json:
            emit({"receipt": found})
            return
        for key, value in found.items():
            if key not in {"programs", "actions", "receipt"} and value != "":
                print(f"{key:>12}  {_field(key, value)}")
        for action in found.get("actions") or []:
            print(f"{'action':>12}  {action['action']}: {action['did']}")
        for program in found.get("programs") or []:
            print(f"\n$ {' '.join(program['argv'])}   exit {program['exit']}, {program['seconds']:.1f} s")
            print(
                program["output"] if isinstance(program["output"], str) else program["output"].decode(errors="replace")
            )

    run(work, as_json=json)


async def _pages(asked: dict[str, Any]) -> dict[str, Any]:
    """The job with all targets that were asked for, a page after the other."""
    found: dict[str, Any] = await ask("job.show", **asked)
    while after := found.get("next"):
        page: dict[str, Any] = await ask("job.show", **asked, after=after, alone=True)
        found["targets"] += page["targets"]
        found["left_out"] -= len(page["targets"])
        found["next"] = page["next"]
    return found


def _show_draft(found: dict[str, Any]) -> None:
    """A job of which nothing was ordered yet."""
    print(f"job {found['job']}  {found['type']} {words.subject(found)}  draft")
    print(f"kept {words.moment(found['created'])} by {found['by']}; order it: tiercast job start {found['job']}")
    words.print_map(found["request"])


def _show_passing(found: dict[str, Any]) -> None:
    """A job as a gateway knows it: what the targets below it said so far."""
    state = "open" if found["open"] else "closed"
    print(f"job {found['job']}  {found['type']} {words.subject(found)}  {state} here")
    print(f"{words.count(found['targets'], 'target')} below, expires {words.moment(found['expires'])}")
    rows = [
        (r["target"], r["state"], words.share(r["done"], r["total"]), f"{r['code']} {r['detail']}".strip())
        for r in found["records"]
    ]
    print(words.table(("target", "state", "held", "why"), rows))
    for why in found["waiting"]:
        print(why)


def _field(key: str, value: object) -> str:
    if key in {"started", "finished"} and isinstance(value, int):
        return words.moment(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def _counts(job: dict[str, Any]) -> str:
    return " ".join(f"{state}:{n}" for state, n in sorted(job.get("counts", {}).items()) if n)
