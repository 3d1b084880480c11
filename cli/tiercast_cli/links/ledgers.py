"""`tiercast ledger ...`: how many bytes went where and why, by the books of both ends of each link."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import At, Json
from tiercast_cli.said.options import child_completion as _children
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Bytes by link, job, hour and reason.")

_COLUMNS: tuple[str, ...] = ("hour", "side", "link", "session", "job", "reason", "bytes", "frames", "chunks")


@app.command()
def show(
    *,
    link: Annotated[
        str,
        typer.Option("--link", metavar="NODE", help="Only the link to this neighbour.", autocompletion=_children),
    ] = "",
    job: Annotated[str, typer.Option("--job", metavar="JOB", help="Only rows of this job.")] = "",
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Only the last 90m, 24h, 7d.")] = "",
    file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write every row there, hour by hour.")
    ] = None,
    node: At = "",
    json: Json = False,
) -> None:
    """Show what a node sent and got: each link by both its ends, and its rows by job and reason."""

    async def work() -> None:
        from_ = int((time.time() - seconds_of(since, "--since")) * 1000) if since else 0
        args: dict[str, Any] = {"node": node, "link": link, "job": job, "since": from_}
        answer: dict[str, Any] = await ask("ledger.show", **args)
        rows = answer["rows"]
        if file is not None:
            rows = await _all_rows(answer, args)
            with file.open("w", newline="", encoding="utf-8") as out:
                writer = csv.DictWriter(out, _COLUMNS, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(row | {"hour": _hour(row)} for row in rows)
        if json:
            emit({**answer, "rows": rows})
            return
        if answer["links"] and (job or since):
            print("Every link with all its jobs, as far back as its books go:")
        _print_links(answer["links"])
        if file is not None:
            print(f"{words.count(len(rows), 'row')} in {file}")
            return
        print(_summary(rows) if rows else _nothing(job, since))
        if answer.get("more"):
            print("Only the newest rows were added up; --csv FILE writes all of them.")

    run(work, as_json=json)


@app.command()
def check(*, node: At = "", json: Json = False) -> None:
    """Say whether the books of both ends of every link agree, here and at all gateways below; exit code 1 if not."""

    async def work() -> bool:
        answer: dict[str, Any] = await ask("ledger.check", node=node, below=True)
        uneven = [one for one in answer["links"] if one["heard"] and not one["even"]]
        if json:
            emit(answer)
            return bool(answer["balanced"])
        for one in uneven:
            print(f"{one['parent']} -> {one['child']}: {_left_over(one)}")
        if answer["silent"]:
            why = {one["child"]: _silent(one) for one in answer["links"] if not one["heard"]}
            print(f"Not heard, so not compared: {', '.join(why.get(name) or name for name in answer['silent'])}")
        heard = len([one for one in answer["links"] if one["heard"]])
        print(f"{words.count(heard, 'link')} compared: " + ("balanced." if answer["balanced"] else "NOT balanced."))
        return bool(answer["balanced"])

    if not run(work, as_json=json):
        raise typer.Exit(1)


def _silent(link: dict[str, Any]) -> str:
    """A child that did not answer, and why that is where it is known: it went to another parent, or is away."""
    return str(link["child"]) + ("" if link.get("online", True) else f" (not connected to {link['parent']} now)")


async def _all_rows(answer: dict[str, Any], args: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of `answer` and, page after page, all before them."""
    page: list[dict[str, Any]] = answer["rows"]
    rows = page
    while answer.get("more"):
        # The oldest hour may stand here in part: it comes whole with the next page, unless it fills one by itself.
        oldest = page[0]["hour"]
        whole = [row for row in page if row["hour"] != oldest]
        rows = rows[len(page) - len(whole) :] if whole else rows
        answer = await ask("ledger.show", **args, before=whole[0]["hour"] if whole else oldest)
        page = answer["rows"]
        rows = page + rows
    return rows


def _hour(row: dict[str, Any]) -> str:
    return time.strftime("%Y-%m-%dT%H:00Z", time.gmtime(row["hour"] / 1000))


def _left_over(link: dict[str, Any]) -> str:
    frames = link.get("frames_left_over", 0)
    return f"{link['left_over']} bytes left over" + (f", {words.count(frames, 'frame')}" if frames else "")


def _print_links(links: list[dict[str, Any]]) -> None:
    if not links:
        return
    head = ("parent", "child", "published", "came", "lost", "twice", "wasted", "overhead", "")
    rows = []
    for one in links:
        verdict = "even" if one["even"] else (_left_over(one) if one["heard"] else "not heard")
        if one.get("under_way") and one["even"]:
            verdict = f"{words.size(one['under_way'])} under way"
        figures = [words.size(one[key]) for key in ("published", "arrived", "lost", "surplus", "wasted", "overhead")]
        rows.append((one["parent"], one["child"], *figures, verdict))
    print(words.table(head, rows))
    print()


def _nothing(job: str, since: str) -> str:
    """What stands where no row does."""
    parts = [f" of job {job}" if job else "", f" of the last {since}" if since else ""]
    return f"No bytes{''.join(parts)} stand in this ledger."


def _summary(rows: list[dict[str, Any]]) -> str:
    """The rows with hours and sessions added up."""
    sums: dict[tuple[str, str, str, str], list[int]] = {}
    for row in rows:
        one = sums.setdefault((row["side"], row["link"], row["job"], row["reason"]), [0, 0, 0])
        for place, key in enumerate(("bytes", "frames", "chunks")):
            one[place] += row[key]
    table = [
        (
            side,
            link or "-",
            job or "-",
            reason,
            words.size(one[0]) if one[0] else "-",
            str(one[1] or "-"),
            str(one[2] or "-"),
        )
        for (side, link, job, reason), one in sorted(sums.items())
    ]
    return words.table(("side", "link", "job", "reason", "bytes", "frames", "chunks"), table)
