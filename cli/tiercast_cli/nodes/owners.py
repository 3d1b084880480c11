"""`tiercast owner list`: what the owners of machines chose of their jobs.

Rules
- The same words at the server and at a gateway's socket, of what is below it.
- Sites, groups and jobs are counted where the records are; here they are printed.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.options import Json
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run

_COUNTS = ("deferred", "held", "preferred", "accepted", "declined", "rejected", "times")
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What the owners of machines chose of their jobs.")


@app.callback()
def options() -> None:
    """What the owners of machines chose of their jobs."""


@app.command("list")
def list_(
    *,
    by: Annotated[str, typer.Option("--by", metavar="WHAT", help="Count by site, group or job.")] = "site",
    job: Annotated[str, typer.Option("--job", metavar="JOB", help="Of this job alone.")] = "",
    ended: Annotated[bool, typer.Option("--ended", help="Also where the job has ended.")] = False,
    most: Annotated[int, typer.Option("--most", min=0, max=10_000, help="So many targets, the newest choices.")] = 200,
    json: Json = False,
) -> None:
    """List who put what off, how often and until when, counted by site, group or job."""

    async def work() -> None:
        found: dict[str, Any] = await ask("owner.said", by=by, job=job, ended=ended, most=most)
        if json:
            emit({"owners": found})
            return
        counts = found["counts"]
        if not counts["targets"]:
            print("No owner has chosen anything." if ended else "No owner puts anything off.")
            return
        rows = [(one["name"], *(one[name] for name in _COUNTS), _moment(one["latest"])) for one in found["by"]]
        rows.append(("all", *(counts[name] for name in _COUNTS), _moment(counts["latest"])))
        print(words.table((by, *_COUNTS, "latest"), rows))
        print()
        told = [
            (
                one["node"],
                one["site"],
                one["job"],
                f"{one['package']}={one['version']}" if one["package"] else "-",
                one["state"],
                words.chosen(one).strip("()"),
            )
            for one in found["rows"]
        ]
        print(words.table(("target", "site", "job", "package", "state", "chose"), told))
        if found["left_out"]:
            print(f"{found['left_out']:,} more; --most {counts['targets']} shows them")

    run(work, as_json=json)


def _moment(at: int) -> str:
    return words.moment(at) if at else "-"
