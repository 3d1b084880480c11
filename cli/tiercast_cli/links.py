"""`tiercast link ...`: the ways between a parent and its children."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli import words
from tiercast_cli.durations import rate_of
from tiercast_cli.options import At, Json, Node
from tiercast_cli.session import ask, emit, run

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The ways between parent and child.")

_SET = """\b
Examples:
  tiercast link set berlin --rate 2MB/s
  tiercast link set pc-17 --node berlin --rate unlimited
"""


@app.command("list")
def list_(*, node: At = "", json: Json = False) -> None:
    """List the links below a node: what went over them, and how fast they may be."""

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
                words.size(link.get("sent_bytes", 0)),
                link.get("lane", "-"),
            )
            for link in links
        ]
        print(words.table(("parent", "child", "state", "rate", "sent", "lane"), rows))

    run(work, as_json=json)


@app.command("set", epilog=_SET)
def set_(
    child: Node,
    *,
    rate: Annotated[str, typer.Option("--rate", help="20MB/s, 512KiB/s, 100Mbit/s, or unlimited.")],
    node: At = "",
    json: Json = False,
) -> None:
    """Limit the link to a child, while it runs."""

    async def work() -> None:
        result = await ask("link.set", node=node, child=child, rate=rate_of(rate, "--rate"))
        emit(result or {}) if json else print(f"The link to {child} carries {rate} from now on.")

    run(work, as_json=json)
