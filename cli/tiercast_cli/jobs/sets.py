"""`tiercast job commit`, `accept` and `undo`, and what an install in two phases says at the command line.

Rules
- A share is typed as 90%; what goes over the socket is the number.
- Whether enough is prepared is the server's to count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tiercast_cli.said.options import Job, Json, OnBelow, OnGroups, OnHosts
from tiercast_cli.said.terms import taking
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run
from tiercast_protocol.errors import UsageError

_SHARE = re.compile(r"([1-9]\d?|100)\s*%?\Z")
_LEAST = "Commit by itself once so many are prepared: 90%; by hand not below it."
_FAILED = "Undo all of it once so many failed: 10%."
#: Of a set.
OF_SETS: dict[str, tuple[Any, Any]] = {
    "two_phase": (
        Annotated[bool, typer.Option("--two-phase", help="Prepare only; `job commit` switches, `job accept` ends it.")],
        False,
    ),
    "commit_at_least": (Annotated[str, typer.Option("--commit-at-least", metavar="N%", help=_LEAST)], ""),
    "undo_if_failed": (Annotated[str, typer.Option("--undo-if-failed", metavar="N%", help=_FAILED)], ""),
}
#: Of what is installed.
OF_REBOOT: dict[str, tuple[Any, Any]] = {
    "reboot": (
        Annotated[
            str,
            typer.Option(
                "--reboot", metavar="WHEN", help="no, now, later or ask: before it goes on; as the package says."
            ),
        ],
        "",
    ),
}
#: Of one install.
OF_STEPS = OF_SETS | OF_REBOOT
_PLACES: dict[str, tuple[Any, Any]] = {"on": (OnHosts, []), "group": (OnGroups, []), "below": (OnBelow, [])}
CommitForce = Annotated[bool, typer.Option("--force", help="Also below the share of prepared ones that is needed.")]
AcceptForce = Annotated[bool, typer.Option("--force", help="Also where some are not committed yet: they go on to it.")]


def sets_of(given: Mapping[str, Any]) -> dict[str, str | int | bool]:
    """What the options in `given` say, under the words of an order.

    Raises:
        UsageError: number.invalid.
    """
    said: dict[str, str | int | bool] = {"two_phase": True} if given.get("two_phase") else {}
    if reboot := given.get("reboot"):
        said["reboot"] = reboot.strip().lower()
    for name in ("commit_at_least", "undo_if_failed"):
        if text := given.get(name):
            found = _SHARE.match(text.strip())
            if found is None:
                flag = "--" + name.replace("_", "-")
                raise UsageError("number.invalid", f"{text!r} is no share", flag, "Write 1% to 100%.")
            said[name] = int(found[1])
    return said


def sets_shown(job: Mapping[str, Any]) -> list[str]:
    """What `job show` says of a job in two phases."""
    options = job.get("options") or {}
    if not options.get("two_phase"):
        return []
    rules = [f"commits at {options['commit_at_least']}% prepared"] if options.get("commit_at_least") else []
    rules += [f"undone at {options['undo_if_failed']}% failed"] if options.get("undo_if_failed") else []
    counts = [f"{n} {phase}" for phase, n in (job.get("phases") or {}).items()]
    told = {"commit": "ordered to commit", "accept": "accepted", "undo": "undone"}.get(str(options.get("step")), "")
    return [f"in two phases: {', '.join([*rules, *([told] if told else []), *counts])}"]


def _say(step: str, job: str, given: dict[str, Any], said: str) -> None:
    async def work() -> None:
        where = {"nodes": given["on"], "groups": given["group"], "below": given["below"]}
        result = await ask(f"job.{step}", job=job, **where, force=given.get("force", False))
        if given["json"]:
            emit(result)
            return
        some = f" on {words.count(len(result['targets']), 'node')}" if result["targets"] else ""
        print(f"Job {result['job']} {said}{some}; 'tiercast job show {result['job']}' tells how far it is.")

    run(work, as_json=given["json"])


@taking(_PLACES)
def commit(job: Job, *, force: CommitForce = False, json: Json = False, **given: Any) -> None:
    """Switch to the new version where a job in two phases is prepared; who is not yet switches when he is."""
    _say("commit", job, given | {"force": force, "json": json}, "is being committed")


@taking(_PLACES)
def accept(job: Job, *, force: AcceptForce = False, json: Json = False, **given: Any) -> None:
    """Drop the old version where a job in two phases is committed: from then on it can't be undone."""
    _say("accept", job, given | {"force": force, "json": json}, "is being accepted")


@taking(_PLACES)
def undo(job: Job, *, json: Json = False, **given: Any) -> None:
    """Put the old version back where a job in two phases is committed, and end it where it is not."""
    _say("undo", job, given | {"json": json}, "is being undone")


def add_sets(job: typer.Typer) -> None:
    """Put these commands below their noun."""
    for command in (commit, accept, undo):
        job.command(command.__name__)(command)
