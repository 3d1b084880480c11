"""`suspend` and `resume` of jobs, links and nodes, and `job set`: what is said of transfers that are under way.

Rules
- What was received stays; whoever goes on begins where it was.
- A suspension ends by command or by itself, at --until or after --for.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from tiercast_cli.links.links import Child
from tiercast_cli.said.durations import moment_of, seconds_of
from tiercast_cli.said.options import At, Job, Json, Node, OnBelow, OnHosts
from tiercast_cli.said.terms import JOB, taking, terms_of
from tiercast_cli.shown import words
from tiercast_cli.shown.terms import told
from tiercast_cli.talk.session import ask, emit, run
from tiercast_protocol.errors import UsageError

Until = Annotated[str, typer.Option("--until", metavar="TIME", help="Ends by itself: 18:00, or 2026-12-24 18:00.")]
For = Annotated[str, typer.Option("--for", metavar="TIME", help="Ends by itself after so long: 30m, 2h.")]

#: Suspensions that are named where something goes on and others still hold it.
_MOST = 3

_SET = """\b
Examples:
  tiercast job set j-17 --priority 9 --rate unlimited
  tiercast job set j-17 --window "mon-fri 22:00-06:00" --segment none --pause none
"""


def end_of(until: str, for_: str) -> int:
    """The end of a suspension in milliseconds since 1970; 0 for none.

    Raises:
        UsageError: both, or no time.
    """
    if until and for_:
        raise UsageError("time.invalid", "--until and --for say the same", "--for", "Give one of them.")
    now = time.time()
    if for_:
        return int((now + seconds_of(for_, "--for")) * 1000)
    return moment_of(until, "--until", now) if until else 0


@taking(JOB)
def set_job(job: Job, *, json: Json = False, **given: Any) -> None:
    """Change how a job travels while it is under way; "none" takes back what was said."""

    async def work() -> None:
        terms = terms_of(given)
        if not terms.options and not terms.clear:
            raise UsageError("option.invalid", "Nothing was said of the job", "job set", "Give --rate, for example.")
        result = await ask("job.set", job=job, options=terms.options, clear=terms.clear)
        if json:
            emit(result)
            return
        said = told(result["terms"]) or "the usual terms"
        print(f"Job {result['job']}: {said}, from now on.")

    run(work, as_json=json)


@taking({"on": (OnHosts, []), "below": (OnBelow, [])})
def suspend_job(job: Job, *, until: Until = "", for_: For = "", json: Json = False, **given: Any) -> None:
    """Send nothing more of a job: anywhere, to some nodes, or below some gateways."""

    async def work() -> None:
        where = [*given["on"], *given["below"]]
        result = await ask("job.suspend", job=job, nodes=where, until=end_of(until, for_))
        _say(result, f"Job {result['job']}", "is suspended", json=json)

    run(work, as_json=json)


@taking({"on": (OnHosts, []), "below": (OnBelow, [])})
def resume_job(job: Job, *, json: Json = False, **given: Any) -> None:
    """Go on with a job: where it is named, or wherever it was suspended from here."""

    async def work() -> None:
        result = await ask("job.resume", job=job, nodes=[*given["on"], *given["below"]])
        _say(result, f"Job {result['job']}", "goes on", json=json)

    run(work, as_json=json)


def suspend_link(child: Child, *, node: At = "", until: Until = "", for_: For = "", json: Json = False) -> None:
    """Send nothing more over one link, but of jobs with --pass-suspended."""

    async def work() -> None:
        result = await ask("link.suspend", node=node, child=child, until=end_of(until, for_))
        _say(result, f"The link to {child}", "is suspended", json=json)

    run(work, as_json=json)


def resume_link(child: Child, *, node: At = "", json: Json = False) -> None:
    """Go on over a link."""

    async def work() -> None:
        _say(await ask("link.resume", node=node, child=child), f"The link to {child}", "goes on", json=json)

    run(work, as_json=json)


def suspend_node(name: Node, *, until: Until = "", for_: For = "", json: Json = False) -> None:
    """Send nothing more to a node, and nothing over any link below it."""

    async def work() -> None:
        result = await ask("node.suspend", name=name, until=end_of(until, for_))
        _say(result, name, "is suspended, with all below it", json=json)

    run(work, as_json=json)


def resume_node(name: Node, *, json: Json = False) -> None:
    """Go on with a node and all below it."""

    async def work() -> None:
        _say(await ask("node.resume", name=name), name, "goes on", json=json)

    run(work, as_json=json)


def holds(*, node: At = "", json: Json = False) -> None:
    """List the suspensions that a node knows: what, until when, and who said so."""

    async def work() -> None:
        found: list[dict[str, Any]] = await ask("hold.list", node=node)
        if json:
            emit({"holds": found})
            return
        rows = [
            (
                one["job"] or "all jobs",
                _of(one),
                words.moment(one["until"]) if one["until"] else "it is resumed",
                one["by"],
            )
            for one in found
        ]
        print(words.table(("job", "of", "until", "by"), rows) if rows else "Nothing is suspended.")

    run(work, as_json=json)


def _say(result: dict[str, Any], what: str, done: str, *, json: bool) -> None:
    if json:
        emit(result)
        return
    where = f" for {', '.join(result['nodes'])}" if any(result.get("nodes") or []) and "job" in result else ""
    until = f" until {words.moment(result['until'])}" if result.get("until") else ""
    if result.get("resumed", 1):
        print(f"{what} {done}{where if result.get('job') else ''}{until}.")
    else:
        print(f"{what} was not suspended from here{where if result.get('job') else ''}: nothing is changed.")
    if still := result.get("still"):
        print(f"Still suspended: {'; '.join(_held(one) for one in still[:_MOST])}.")
        if len(still) > _MOST:
            print("All of them: tiercast node holds")


def _held(one: dict[str, Any]) -> str:
    """A suspension in words."""
    until = f" until {words.moment(one['until'])}" if one["until"] else ""
    return f"{one['job'] or 'all jobs'}, {_of(one)}, by {one['by']}{until}"


def _of(one: dict[str, Any]) -> str:
    return f"the link to {one['node']}" if one["link"] else one["node"] or "everything below"


def add_suspensions(job: typer.Typer, link: typer.Typer, node: typer.Typer) -> None:
    """Put these commands below their nouns."""
    job.command("set", epilog=_SET)(set_job)
    for part, suspend, resume in (
        (job, suspend_job, resume_job),
        (link, suspend_link, resume_link),
        (node, suspend_node, resume_node),
    ):
        part.command("suspend")(suspend)
        part.command("resume")(resume)
    node.command("holds")(holds)
