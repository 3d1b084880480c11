"""`tiercast job cancel` and `tiercast job rerun`: a job is ended before its time, or ordered again where it failed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import Job, Json, OnBelow, OnGroups, OnHosts
from tiercast_cli.said.terms import taking
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run
from tiercast_protocol.errors import UsageError

Force = Annotated[
    bool,
    typer.Option("--force", help="Don't wait for programs that run: they are killed, and a switch is taken back."),
]
Failed = Annotated[bool, typer.Option("--failed", help="Where it failed, was interrupted or rejected.")]
Unreached = Annotated[bool, typer.Option("--unreached", help="Where it expired before it was carried out.")]
Expires = Annotated[
    str,
    typer.Option("--expires", metavar="TIME", help="How long it is waited for them; as the first time if not said."),
]


@taking({"on": (OnHosts, []), "group": (OnGroups, []), "below": (OnBelow, [])})
def cancel(job: Job, *, force: Force = False, json: Json = False, **given: Any) -> None:
    """Cancel a job wherever it has not ended, or in some places; what is installed stays installed."""

    async def work() -> None:
        result = await ask(
            "job.cancel", job=job, nodes=given["on"], groups=given["group"], below=given["below"], force=force
        )
        if json:
            emit(result or {})
            return
        where = f" on {words.count(len(result['targets']), 'node')}" if (result or {}).get("targets") else ""
        print(f"Job {job} is being cancelled{where}; 'tiercast job show {job}' tells where.")

    run(work, as_json=json)


def rerun(
    job: Job, *, failed: Failed = False, unreached: Unreached = False, expires: Expires = "", json: Json = False
) -> None:
    """Order a job again for those of its targets where it failed, or that it did not reach."""

    async def work() -> None:
        if not failed and not unreached:
            what = "Nobody was meant"
            raise UsageError("option.invalid", what, "job rerun", "Say --failed, --unreached, or both.")
        length = seconds_of(expires, "--expires") if expires else 0
        result = await ask("job.rerun", job=job, failed=failed, unreached=unreached, expires_s=length)
        if json:
            emit(result)
            return
        print(f"Job {result['job']}: {result['origin']} again, on {words.count(result['targets'], 'node')}.")
        if result["dropped"]:
            print(f"Left out, for they are over: {', '.join(word.replace('_', '-') for word in result['dropped'])}.")
        if result["gone"]:
            print(f"No longer of the region: {', '.join(result['gone'][:20])}.")
        print(f"Watch it: tiercast job watch {result['job']}")

    run(work, as_json=json)


def add_endings(job: typer.Typer) -> None:
    """Put these commands below their noun."""
    job.command("cancel")(cancel)
    job.command("rerun")(rerun)
