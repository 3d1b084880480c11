"""`tiercast assignment ...`: what machines are to have or to lack, how they stand, and who changed it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.options import Assignment, Json, OnEndpoints
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run
from tiercast_cli.wanted.desired import of_machines, ordered

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What machines are to have, and how they stand.")

_Confirm = Annotated[
    int, typer.Option("--confirm", metavar="N", help="The exact number of machines, for a large change.")
]


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List assignments, with their machines by state."""

    async def work() -> None:
        found: list[dict[str, Any]] = await ask("assignment.list")
        if json:
            emit({"assignments": found})
            return
        rows = [
            (one["assignment"], one["says"], one["target"], one["said"] or one["state"], counts(one["counts"]))
            for one in found
        ]
        print(words.table(("assignment", "says", "for", "state", "machines"), rows))

    run(work, as_json=json)


@app.command()
def show(assignment: Assignment, *, json: Json = False) -> None:
    """Show an assignment, and the machines that are not as it wants them."""

    async def work() -> None:
        found: dict[str, Any] = await ask("assignment.show", assignment=assignment)
        if json:
            emit({"assignment": found})
            return
        for line in of_machines(found):
            print(line)
        by = f"; by {found['by']} at {words.moment(found['created'])}" if found["by"] else ""
        print(f"for {found['target']}{by}")
        if found["said"]:
            print(f"can't be acted on: {found['said']}")
        if found["rollout"]:
            print(f"rolled out by {found['rollout']}: tiercast rollout show {found['rollout']}")
        rows = [
            (one["node"], one["state"], one["version"] or "-", one["wants"] or "-", one["job"] or "-", _why(one))
            for one in found["machines"]
        ]
        if rows:
            print(words.table(("node", "state", "has", "gets", "job", "why"), rows))
        if found["more"]:
            print(f"And {found['more']:,} more.")
        if found["sites"]:
            sites = [(one["gateway"], counts(one["counts"]), words.moment(one["at"])) for one in found["sites"]]
            print(words.table(("gateway", "says of its children", "at"), sites))

    run(work, as_json=json)


def _why(one: dict[str, Any]) -> str:
    if not one["failures"]:
        return ""
    again = f"; again at {words.moment(one['again'])}" if one["again"] else "; not tried again by itself"
    return f"{words.count(one['failures'], 'failure')}, {one['code']}: {one['detail']}{again}"


@app.command()
def delete(assignment: Assignment, *, json: Json = False) -> None:
    """Delete an assignment: what stands on its machines stays, its open jobs are cancelled."""
    _say("delete", assignment, "is deleted", json=json)


@app.command()
def pause(assignment: Assignment, *, json: Json = False) -> None:
    """Order nothing more for an assignment; jobs that are open go on."""
    _say("pause", assignment, "is paused", json=json)


@app.command()
def resume(assignment: Assignment, *, confirm: _Confirm = 0, json: Json = False) -> None:
    """Order again what an assignment wants."""
    _say("resume", assignment, "is active", json=json, confirm=confirm)


def _say(verb: str, assignment: str, done: str, *, json: bool, **more: object) -> None:
    async def work() -> None:
        found = await ask(f"assignment.{verb}", assignment=assignment, **more)
        if json:
            emit(found)
        else:
            change = f" (change {found['number']})" if found["number"] else ", as it was"
            print(f"The assignment {found['assignment']} {done}{change}.")

    run(work, as_json=json)


@app.command()
def retry(assignment: Assignment, *, on: OnEndpoints = [], json: Json = False) -> None:  # noqa: B006 - typer copies it
    """Try again where an assignment failed: on these machines, or on all."""

    async def work() -> None:
        found = await ask("assignment.retry", assignment=assignment, nodes=on)
        if json:
            emit(found)
        else:
            print(f"{found['assignment']} is tried again on {words.count(len(found['nodes']), 'machine')}.")

    run(work, as_json=json)


@app.command()
def history(
    *, limit: Annotated[int, typer.Option("--limit", help="The newest so many.")] = 50, json: Json = False
) -> None:
    """Show who changed the desired state, and what; `tiercast apply --again N` brings an earlier one back."""

    async def work() -> None:
        found: list[dict[str, Any]] = await ask("desired.history", limit=limit)
        if json:
            emit({"history": found})
            return
        rows = [
            (
                one["number"],
                words.moment(one["at"]),
                one["by"],
                one["how"],
                ", ".join(f"{change['kind']} {change['name']} {change['change']}" for change in one["changes"]),
            )
            for one in found
        ]
        print(words.table(("change", "at", "by", "how", "what"), rows))

    run(work, as_json=json)


def counts(found: dict[str, int]) -> str:
    """Counts by state in a line."""
    return ", ".join(f"{count:,} {state}" for state, count in ordered(found)) or "-"
