"""`tiercast link ...`: the ways between a parent and its children, and what may go over them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.options import At, Json, child_completion
from tiercast_cli.said.terms import LINK, taking, terms_of, window_text
from tiercast_cli.shown import terms, words
from tiercast_cli.talk.session import ask, emit, run
from tiercast_protocol.errors import UsageError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The ways between parent and child.")
windows = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="When a link may carry something, and how much."
)
app.add_typer(windows, name="window")

Child = Annotated[
    str,
    typer.Argument(
        metavar="[CHILD]", help="A child of --node; its whole output when left out.", autocompletion=child_completion
    ),
]
Output = Annotated[bool, typer.Option("--output", help="All links of the node together.")]

_SET = """\b
Examples:
  tiercast link set berlin --rate 2MB/s
  tiercast link set pc-17 --node berlin --rate unlimited --metered
  tiercast link set --output --node berlin --rate 10MB/s
  tiercast link set berlin --segment 4MiB --pause 2s --budget 2GB --per month --adaptive
"""
_WINDOW = """\b
Examples:
  tiercast link window add berlin --days mon-fri --from 22:00 --to 06:00 --rate 2MB/s
  tiercast link window add berlin --days daily --from 12:00 --to 13:00 --blackout --utc
"""


@app.command("list")
def list_(*, node: At = "", json: Json = False) -> None:
    """List the links below a node: how fast they may be and are, and what went over them."""

    async def work() -> None:
        links: list[dict[str, Any]] = await ask("link.list", node=node)
        if json:
            emit({"links": links})
            return
        rows = [
            (
                link["parent"],
                link["child"],
                "online" if link["online"] else "offline",
                words.rate(link["rate"]) if link.get("rate") else "unlimited",
                words.rate(link.get("going") or 0),
                words.size(link.get("sent_bytes", 0)),
                link.get("lane", "-"),
            )
            for link in links
        ]
        print(words.table(("parent", "child", "state", "limit", "rate", "sent", "lane"), rows))

    run(work, as_json=json)


@app.command()
def show(child: Child = "", *, node: At = "", json: Json = False) -> None:
    """Show one link: what was said of it, what that comes to now, and why nothing goes over it."""

    async def work() -> None:
        link: dict[str, Any] = await ask("link.show", node=node, child=child)
        if json:
            emit({"link": link})
            return
        print(f"{link['parent']} -> {link['child'] or 'all children together'}")
        for key, value in link["terms"].items():
            print(f"  {terms.name(key):>14}  {terms.value(key, value)}")
        if link["rate_now"] is not None:
            print(f"  {'now':>14}  {words.rate(link['rate_now']) if link['rate_now'] else 'nothing'}")
        for line in _going(link):
            print(line)
        if link["metered_now"]:
            print(f"  {'now':>14}  only jobs with --metered")
        if link["spent"]:
            spent = link["spent"]
            print(f"  {'spent':>14}  {words.size(spent['bytes'])}, {words.span(spent['seconds'])} in {spent['period']}")
        if link["shut"]:
            print(f"  {'why':>14}  {link['shut']['code']}: {link['shut']['why']}")
        if jobs := [one for one in link.get("jobs") or [] if one["job"]]:
            rows = [
                (
                    *(one["job"], one["priority"], one["state"], one["queued"], words.size(one["sent_bytes"])),
                    *(_segments(one), one["reason"]),
                )
                for one in jobs
            ]
            print(words.table(("job", "priority", "state", "chunks wanted", "sent", "segments", "why"), rows))

    run(work, as_json=json)


@app.command("set", epilog=_SET)
@taking(LINK)
def set_(child: Child = "", *, output: Output = False, node: At = "", json: Json = False, **given: Any) -> None:
    """Say what may go over the link to a child, or over all links of a node; it acts while transfers run."""

    async def work() -> None:
        _check(child, output=output)
        given_ = terms_of(given)
        if not given_.options and not given_.clear:
            raise UsageError("option.invalid", "Nothing was said of the link", "link set", "Give --rate, for example.")
        result = await ask("link.set", node=node, child=child, options=given_.options, clear=given_.clear)
        if json:
            emit({"link": result})
            return
        said = terms.told(result["terms"]) or "no limits"
        print(f"{_whom(child)}: {said}, from now on.")

    run(work, as_json=json)


@windows.command("add", epilog=_WINDOW)
def add_window(
    child: Child = "",
    *,
    days: Annotated[str, typer.Option("--days", metavar="DAYS", help="mon-fri, sat,sun or daily.")] = "daily",
    from_: Annotated[str, typer.Option("--from", metavar="HH:MM", help="When it opens.")],
    to: Annotated[str, typer.Option("--to", metavar="HH:MM", help="When it shuts; the next day if not after --from.")],
    rate: Annotated[str, typer.Option("--rate", metavar="RATE", help="Most per second inside it.")] = "",
    blackout: Annotated[bool, typer.Option("--blackout", help="Nothing goes inside it.")] = False,
    utc: Annotated[bool, typer.Option("--utc", help="Times are UTC, not the node's local time.")] = False,
    node: At = "",
    json: Json = False,
) -> None:
    """Add a window; a link that has some carries nothing outside of them, and black-outs go before all."""

    async def work() -> None:
        text = f"{'not ' if blackout else ''}{days} {from_}-{to}{f' at {rate}' if rate else ''}{' utc' if utc else ''}"
        if rate and not rate.endswith("/s"):
            raise UsageError("rate.invalid", f"{rate!r} is not a rate", "--rate", "Write 20MB/s or 100Mbit/s.")
        _told(await ask("link.window.add", node=node, child=child, window=window_text([text])), json=json)

    run(work, as_json=json)


@windows.command("list")
def list_windows(child: Child = "", *, node: At = "", json: Json = False) -> None:
    """List the windows of a link, numbered."""

    async def work() -> None:
        _told(await ask("link.show", node=node, child=child), json=json)

    run(work, as_json=json)


@windows.command("remove")
def remove_window(
    child: Child = "",
    *,
    number: Annotated[int, typer.Option("--number", min=0, help="As 'list' shows it; 0 is all of them.")],
    node: At = "",
    json: Json = False,
) -> None:
    """Remove a window."""

    async def work() -> None:
        _told(await ask("link.window.remove", node=node, child=child, number=number), json=json)

    run(work, as_json=json)


def _going(link: dict[str, Any]) -> list[str]:
    """What the link does now, beside what was said of it."""
    found = [
        ("asked", f"{terms.told({key: value})}, by {link['child']}") for key, value in (link.get("asked") or {}).items()
    ]
    if link.get("slowed") is not None:
        waits = f"{link['queueing_ms']:g} ms of queueing" if link.get("queueing_ms") else "a queue"
        found.append(("yields", f"{words.rate(link['slowed'])}, for {waits}"))
    if link.get("going"):
        found.append(("goes", words.rate(link["going"])))
    if link.get("rtt_ms"):
        found.append(("round trip", f"{link['rtt_ms']:g} ms"))
    return [f"  {key:>14}  {value}" for key, value in found]


def _segments(job: dict[str, Any]) -> str:
    """How far it is in its segments: those that are over, and where it is in the next."""
    if not job.get("segment"):
        return "-"
    part = f", {words.size(job['segment_bytes'])} of {words.size(job['segment'])}"
    return f"{job['segments']}{part if job['segment_bytes'] < job['segment'] else ''}"


def _told(link: dict[str, Any], *, json: bool) -> None:
    found = [text.strip() for text in link["terms"].get("window", "").split(";") if text.strip()]
    if json:
        emit({"windows": found, "link": link})
    elif found:
        print(words.table(("no", "window"), list(enumerate(found, 1))))
    else:
        print(f"{_whom(link['child'])} has no windows.")


def _check(child: str, *, output: bool) -> None:
    if bool(child) == output:
        raise UsageError(
            "link.ambiguous",
            "Which link is meant?",
            "link set",
            "Name a child, or say --output for all of them together.",
        )


def _whom(child: str) -> str:
    return f"The link to {child}" if child else "The output"
