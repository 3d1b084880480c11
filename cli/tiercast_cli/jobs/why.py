"""`tiercast why`: why a job, a rollout or an assignment, or one target of it, has not come to its end.

Rules
- The daemon gives reasons as fields and words; here they are only laid out.
- Of a whole job at most five lines, whatever its size: four groups and the rest together.
- The same command at a gateway's socket, and with --node, asks what that node knows itself.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from tiercast_cli.said.options import At, Job, Json, child_completion
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run

#: What is no job, but has some.
_OF_MANY = frozenset({"plan", "rollout"})
#: Lines of a whole job.
LINES = 5
_EPILOG = """\b
Examples:
  tiercast why j-17
  tiercast why j-17 pc-1
  tiercast why j-17 pc-1 --node berlin --json
  tiercast why editor pc-3
"""

Body = dict[str, Any]


def why(
    job: Job,
    target: Annotated[
        str,
        typer.Argument(
            metavar="[TARGET]", help="One target, or a gateway on the way.", autocompletion=child_completion
        ),
    ] = "",
    *,
    node: At = "",
    everything: Annotated[bool, typer.Option("--all", help="Every group, not four and the rest.")] = False,
    json: Json = False,
) -> None:
    """Say why a job has not ended: what it waits for, since when, where, what frees it, and what you can do."""

    async def work() -> None:
        found: Body = await ask("job.why", job=job, target=target, node=node)
        if json:
            emit({"why": found})
            return
        now = time.time()
        for line in lines(found, job, now, everything=everything):
            print(line)

    run(work, as_json=json)


def lines(found: Body, job: str, now: float, *, everything: bool = False) -> list[str]:
    """The answer as text."""
    if "jobs" in found:  # of an endpoint
        told = [line for one in found["jobs"] for line in of_target(one, f"{found['node']}", one["job"], now)]
        return told + _above(found, now)
    head = [f"assignment {found['assignment']}: {found['says']}"] if "assignment" in found else []
    if found["type"] != "assignment":
        about = " ".join(part for part in (found["type"], words.subject(found)) if part)
        noun, about = ("job", about) if found["type"] not in _OF_MANY else (found["type"], words.subject(found))
        head.append(f"{noun} {found['job']}: {about}, {words.state_of(found)}")
    if "chain" in found:
        head += of_target(found, found["target"], found.get("job") or job, now)
    head += _above(found, now)
    if "reasons" in found:
        head += of_job(found, now, everything=everything)
    return head


def _above(found: Body, now: float) -> list[str]:
    """What those above the asked node know of it."""
    rows = [(one["node"], reason) for one in found.get("above") or [] for reason in one["chain"]]
    return [f"{node} says: {_clause(reason, now)}" for node, reason in rows]


def of_target(found: Body, node: str, job: str, now: float) -> list[str]:
    """The chain of one target, a few lines for each reason."""
    told = [f"{node}: {found['target_state'] if 'target_state' in found else found.get('state', '')}"]
    for number, reason in enumerate(found["chain"], 1):
        told.append(f"{number}. {_clause(reason, now)}")
        told.append(f"   freed when {reason['freed'].replace('JOB', job)}")
        if reason["todo"]:
            told.append(f"   you can: {reason['todo'].replace('JOB', job)}")
    if result := found.get("result"):
        code = f" ({result['code']})" if result["code"] else ""
        told.append(f"It has ended: {result['state']}{code}. {result['detail'] or result['means']}")
        if result["todo"]:
            told.append(f"   you can: {result['todo'].replace('JOB', job).replace('NODE', node)}")
    return told


def of_job(found: Body, now: float, *, everything: bool = False) -> list[str]:
    """The groups of a whole job, one line each."""
    groups: list[Body] = found["reasons"]
    told: list[str] = []
    if groups:
        told.append(f"{words.of_which(found['waiting'], found['targets'], 'target', 'waits', 'wait')}")
        shown = groups if everything or len(groups) <= LINES else groups[: LINES - 1]
        told += [_group(group, now) for group in shown]
        if rest := groups[len(shown) :]:
            codes = ", ".join(f"{group['code']} {group['count']:,}" for group in rest)
            told.append(f"{sum(group['count'] for group in rest):>9,}  others: {codes}  (--all shows them)")
    for row in found["ended"]:
        code = f" ({row['code']})" if row["code"] else ""
        told.append(f"{row['count']:>9,}  {row['state']}{code}: {row['means']}")
    return told or ["Nothing waits there."]


def _group(group: Body, now: float) -> str:
    more = f", and {group['count'] - 1:,} more" if group["count"] > 1 else ""
    others = group["place_count"] - 1
    places = f" at {group['places'][0]}" if group["places"] else ""
    places += f" and {words.count(others, 'other node')}" if others > 0 else ""
    since = f", for {words.span(now - group['since'] / 1000)}" if group["since"] else ""
    example = f"{group['examples'][0]}{more}"
    return f"{group['count']:>9,}  {group['code']}{places}{since}: {group['says']} ({example}); until {group['freed']}"


def _clause(reason: Body, now: float) -> str:
    since = f", for {words.span(max(0.0, now - reason['since'] / 1000))}" if reason["since"] else ""
    place = f" (says {reason['node']})" if reason["node"] else ""
    return f"{reason['code']}: {reason['says']}{since}{place}"


def add(app: typer.Typer) -> None:
    """Put the command into `app`."""
    app.command("why", epilog=_EPILOG)(why)
