"""`tiercast inventory ...`: what machines say of themselves."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from tiercast_cli import words
from tiercast_cli.options import Json, Node
from tiercast_cli.session import ask, emit, run

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What machines say of themselves.")

Target = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="EXPR",
        help="Only these: group NAME, below GATEWAY, where (CONDITION); and, or, minus, not.",
    ),
]
_LIST = """\b
Examples:
  tiercast inventory list
  tiercast inventory list --target 'below berlin minus group kiosks'
  tiercast inventory list --target 'where (memory < 4000000000 && !("editor" in packages))' --json
"""
_SIZES = {"memory", "disk_free", "disk_total"}


@app.command("list", epilog=_LIST)
def list_(*, target: Target = "", json: Json = False) -> None:
    """List all endpoints that said what they are, or those that an expression means."""

    async def work() -> None:
        found: dict[str, Any] = await ask("inventory.list", target=target)
        more = found["next"]
        while more:
            page = await ask("inventory.list", target=target, after=more)
            found["nodes"] += page["nodes"]
            more = page["next"]
        if json:
            emit({"inventories": found["nodes"], "unknown": found["unknown"]})
            return
        now = time.time()
        rows = [_row(one, now) for one in found["nodes"]]
        print(words.table(("node", "system", "kernel", "cpus", "memory", "free", "agent", "said"), rows))
        print_unknown(found["unknown"])

    run(work, as_json=json)


def _row(one: dict[str, Any], now: float) -> tuple[Any, ...]:
    facts = one["facts"]
    system = f"{facts['distribution'] or facts['os']} {facts['version']} {facts['architecture']}"
    sizes = words.size(facts["memory"]), words.size(facts["disk_free"])
    said = words.ago(one["received"], now=now)
    return (one["node"], system, facts["kernel"], facts["cpus"], *sizes, facts["agent"], said)


@app.command()
def show(node: Node, *, json: Json = False) -> None:
    """Show what an endpoint said of itself: the facts that conditions may ask for."""

    async def work() -> None:
        found: dict[str, Any] = await ask("inventory.show", node=node)
        if json:
            emit({"inventory": found})
            return
        for fact, value in found["facts"].items():
            print(f"{fact:>13}  {_shown(fact, value)}")
        print(f"{'said':>13}  {words.moment(found['received'])}")

    run(work, as_json=json)


def _shown(fact: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={said}" for key, said in sorted(value.items())) or "-"
    return f"{value} ({words.size(value)})" if fact in _SIZES and isinstance(value, int) else str(value)


def print_unknown(unknown: dict[str, int]) -> None:
    """Say how many machines are not meant because a fact is not known of them."""
    for fact, count in sorted(unknown.items()):
        print(f"{words.count(count, 'machine')} left out: {fact} is not known of them.")
