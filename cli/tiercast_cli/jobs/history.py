"""`tiercast job history` and `tiercast node history`: what became of a job or a machine, newest first.

Rules
- One line for each thing that happened, with its moment; `--since` and `--state` leave out what is not asked for.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import Job, Json, Node
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run

Since = Annotated[str, typer.Option("--since", metavar="TIME", help="Only the last so long: 2h, 7d.")]
States = Annotated[
    list[str] | None, typer.Option("--state", metavar="STATE", help="Only targets in this state; may be repeated.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="The newest so many.")]
_JOB = """\b
Examples:
  tiercast job history j-17
  tiercast job history j-17 --state failed --since 7d --json
"""
_NODE = """\b
Examples:
  tiercast node history pc-1
  tiercast node history pc-1 --state failed --since 30d
"""

Event = dict[str, Any]


def of_job(job: Job, *, since: Since = "", state: States = None, limit: Limit = 100, json: Json = False) -> None:
    """Show what became of a job: made, ordered, each target's last state, closed."""
    _show("job.history", {"job": job}, since, state, limit, json=json)


def of_node(name: Node, *, since: Since = "", state: States = None, limit: Limit = 100, json: Json = False) -> None:
    """Show what became of a machine: invited, joined, moved, and every job of it."""
    _show("node.history", {"name": name}, since, state, limit, json=json)


def _show(verb: str, about: dict[str, Any], since: str, states: list[str] | None, limit: int, *, json: bool) -> None:
    async def work() -> None:
        begin = int((time.time() - seconds_of(since, "--since")) * 1000) if since else 0
        found = await ask(verb, **about, since=begin, states=states or [], limit=limit)
        if json:
            emit({"history": found})
            return
        if not found["events"]:
            print("Nothing of that kind.")
            return
        rows = [(words.moment(event["at"]), *line(event)) for event in found["events"]]
        print(words.table(("when", "what", "state", "took", "more"), rows))
        left = found.get("targets", found.get("jobs", 0)) - sum(
            e["event"] in {"target", "job"} for e in found["events"]
        )
        if left > 0:
            print(f"{left:,} more: --limit, --since or --state chooses.")

    run(work, as_json=json)


def line(event: Event) -> tuple[str, str, str, str]:
    """What, state, how long and more of one event."""
    kind = event["event"]
    if kind == "target":
        return (event["node"], event["state"], _took(event), _why(event))
    if kind == "job":
        what = f"{event['job']} {event['type']} {event['package']} {event['version']}".strip()
        return (what, event["state"], _took(event), _why(event))
    what, state, more = _life(event)
    return (what, state, "", more)


def _life(event: Event) -> tuple[str, str, str]:
    """What, state and more of what is no target's."""
    match event["event"]:
        case "ordered":
            return (f"revision {event['revision']}", "ordered", event["type"])
        case "closed":
            return ("job", event["state"], "")
        case "placed":
            return (f"below {event['parent']}", "placed", event["reason"])
        case "created":
            return ("job", "created", f"by {event['by']} {event['note']}".strip())
        case other:
            return ("", other, "")


def _took(event: Event) -> str:
    if event["started"] and event["finished"]:
        return words.span(max(0, event["finished"] - event["started"]) / 1000)
    return ""


def _why(event: Event) -> str:
    return " ".join(part for part in (event["code"], event["detail"]) if part)


def add(jobs: typer.Typer, nodes: typer.Typer) -> None:
    """Put the commands below their nouns."""
    jobs.command("history", epilog=_JOB)(of_job)
    nodes.command("history", epilog=_NODE)(of_node)
