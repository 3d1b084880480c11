"""The records of jobs: listed, shown, forgotten (`tiercast job list`, `show`, `delete`, `receipt`).

Rules
- A gateway knows less of a job than the server: what its records lack is not shown.
- Of many targets a page is asked for after the other, and a person is shown a hundred of them.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from tiercast_cli.jobs.sets import sets_shown
from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import InPackage, Job, Json, Node
from tiercast_cli.said.provisos import provisos_shown
from tiercast_cli.said.times import times_shown
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run

#: Targets that `show` prints.
_MOST = 100


def add_records(app: typer.Typer) -> None:
    """Put the commands into `app`."""
    app.command("list")(list_)
    app.command()(show)
    app.command()(delete)
    app.command()(receipt)


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


def delete(job: Job, *, json: Json = False) -> None:
    """Forget a job that has ended."""

    async def work() -> None:
        result = await ask("job.delete", job=job)
        emit(result or {}) if json else print(f"Job {job} is forgotten.")

    run(work, as_json=json)


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
