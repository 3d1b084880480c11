"""`tiercast inventory ...`: what machines say of themselves, and questions about all of them."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from tiercast_cli.said.options import Json, Node
from tiercast_cli.said.targets import print_unknown
from tiercast_cli.shown import words
from tiercast_cli.shown.bars import bars
from tiercast_cli.talk.session import ask, emit, run
from tiercast_protocol.errors import UsageError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What machines say of themselves.")

Target = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="EXPR",
        help="Only these: group NAME, below GATEWAY, where (CONDITION); and, or, minus, not.",
    ),
]
Where = Annotated[str, typer.Option("--where", metavar="CONDITION", help="Only machines of whose facts this is true.")]
Csv = Annotated[bool, typer.Option("--csv", help="Comma-separated values, the first line names the columns.")]
Top = Annotated[int, typer.Option("--top", min=1, help="Most groups that are shown, the largest first.")]
By = Annotated[
    str, typer.Argument(metavar="EXPR", help='What to group by: a fact, or an expression: packages["editor"].')
]
_LIST = """\b
Examples:
  tiercast inventory list
  tiercast inventory list --target 'below berlin minus group kiosks'
  tiercast inventory list --where 'memory < 4000000000 && !("editor" in packages)' --csv
"""
_SHOW = """\b
Examples:
  tiercast inventory show pc-1
  tiercast inventory show pc-1 --software --match 'openssl*'
"""
_COUNT = """\b
Examples:
  tiercast inventory count --where 'compare(software["openssl"], "3.0.11") < 0'
  tiercast inventory count --target 'below berlin' --json
"""
_GROUP_BY = """\b
Examples:
  tiercast inventory group-by distribution
  tiercast inventory group-by 'software["openssl"]' --target 'below berlin'
  tiercast inventory group-by software --top 20 --csv
"""
_GRAPH = """\b
Examples:
  tiercast inventory graph kernel
  tiercast inventory graph 'memory / 1000000000' --where 'os == "linux"'
"""
_GROUP = """\b
Examples:
  tiercast inventory group old-tls --where 'compare(software["openssl"], "3.0") < 0'
  tiercast inventory group pilots --target 'below berlin' --where 'cpus >= 8' --static
"""
_HISTORY = """\b
Examples:
  tiercast inventory history pc-1
  tiercast inventory history pc-1 --fact 'software.openssl*' --limit 20
"""
_SIZES = {"memory", "disk_free", "disk_total"}


@app.command("list", epilog=_LIST)
def list_(*, target: Target = "", where: Where = "", csv: Csv = False, json: Json = False) -> None:
    """List all endpoints that said what they are, or those that an expression means."""

    async def work() -> None:
        found: dict[str, Any] = await ask("inventory.list", target=target, where=where)
        more = found["next"]
        while more:
            page = await ask("inventory.list", target=target, where=where, after=more)
            found["nodes"] += page["nodes"]
            more = page["next"]
        if json:
            emit({"inventories": found["nodes"], "unknown": found["unknown"]})
            return
        if csv:
            _print_inventories(found["nodes"])
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


def _print_inventories(nodes: Sequence[dict[str, Any]]) -> None:
    """A column for each fact; maps as "key=value key=value"."""
    names = sorted({fact for one in nodes for fact in one["facts"]} - {"name"})
    rows = [[one["node"], *(_plain(one["facts"].get(fact, "")) for fact in names)] for one in nodes]
    _print_csv(["node", *names], rows)


def _plain(value: object) -> object:
    return " ".join(f"{key}={said}" for key, said in sorted(value.items())) if isinstance(value, dict) else value


def _print_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)


@app.command(epilog=_SHOW)
def show(
    node: Node,
    *,
    software: Annotated[bool, typer.Option("--software", help="Also every piece of installed software.")] = False,
    match: Annotated[str, typer.Option("--match", metavar="PATTERN", help="Of the software only these.")] = "*",
    json: Json = False,
) -> None:
    """Show what an endpoint said of itself: the facts that conditions may ask for."""

    async def work() -> None:
        from fnmatch import fnmatchcase  # noqa: PLC0415 - only here

        found: dict[str, Any] = await ask("inventory.show", node=node, software=software)
        pieces = [(name, version) for name, version in found.pop("software", []) if fnmatchcase(name, match)]
        if json:
            emit({"inventory": found | ({"software": dict(pieces)} if software else {})})
            return
        for fact, value in found["facts"].items():
            print(f"{fact:>13}  {_shown(fact, value)}")
        print(f"{'said':>13}  {words.moment(found['received'])}")
        if software:
            print(words.table(("software", "version"), pieces))

    run(work, as_json=json)


def _shown(fact: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={said}" for key, said in sorted(value.items())) or "-"
    return f"{value} ({words.size(value)})" if fact in _SIZES and isinstance(value, int) else str(value)


@app.command(epilog=_COUNT)
def count(*, target: Target = "", where: Where = "", json: Json = False) -> None:
    """Count the machines that an expression means."""

    async def work() -> None:
        found: dict[str, Any] = await ask("inventory.count", target=target, where=where)
        if json:
            emit(found)
            return
        print(f"{found['machines']:,} of {words.count(found['of'], 'machine')}.")
        print_unknown(found["unknown"])

    run(work, as_json=json)


@app.command("group-by", epilog=_GROUP_BY)
def group_by(
    by: By, *, target: Target = "", where: Where = "", top: Top = 1_000, csv: Csv = False, json: Json = False
) -> None:
    """Count machines by what an expression comes to for each; of a map every entry counts."""

    async def work() -> None:
        found: dict[str, Any] = await ask("inventory.tally", by=by, target=target, where=where, top=top)
        groups = [(row["value"], row["machines"]) for row in found["groups"]]
        if json:
            emit(found)
        elif csv:
            _print_csv(["value", "machines"], groups)
        else:
            print(words.table((by if len(by) < 40 else "value", "machines"), groups))  # noqa: PLR2004 - a column
            _print_rest(found)

    run(work, as_json=json)


@app.command(epilog=_GRAPH)
def graph(by: By, *, target: Target = "", where: Where = "", top: Top = 20, json: Json = False) -> None:
    """Draw machines as bars, by what an expression comes to for each."""

    async def work() -> None:
        found: dict[str, Any] = await ask("inventory.tally", by=by, target=target, where=where, top=top)
        if json:
            emit(found)
            return
        print(bars([(row["value"], row["machines"]) for row in found["groups"]]))
        _print_rest(found)

    run(work, as_json=json)


def _print_rest(found: dict[str, Any]) -> None:
    if found["others"]:
        print(f"{words.count(found['others'], 'group')} more: see them with --top.")
    print(f"{words.count(found['machines'], 'machine')} looked at.")
    print_unknown(found["unknown"])


@app.command(epilog=_GROUP)
def group(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the group is called.")],
    *,
    target: Target = "",
    where: Where = "",
    static: Annotated[
        bool, typer.Option("--static", help="Those that are meant now, for good; else whoever is meant at any time.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a group of the answer: of whoever the condition is true of from now on, or of those that it means now."""

    async def work() -> None:
        if static:
            found = await ask("inventory.names", target=target, where=where)
            result = await ask("group.add", name=name, members=found["nodes"])
        elif target or not where:
            raise UsageError(
                code="group.static",
                what="A group whose members change goes by one condition over facts alone.",
                where="inventory group",
                todo="Give --where CONDITION without --target; or --static for those that are meant now.",
            )
        else:
            result = await ask("group.add", name=name, members=[], where=where)
        if json:
            emit(result)
            return
        kind = "who is meant now stays in it" if static else f"whoever this is true of is in it: {where}"
        print(f"Group {name}: {words.count(result['members'], 'member')}; {kind}.")

    run(work, as_json=json)


@app.command(epilog=_HISTORY)
def history(
    node: Node,
    *,
    fact: Annotated[str, typer.Option("--fact", metavar="PATTERN", help="Only these: packages.*, kernel.")] = "*",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most changes that are shown.")] = 100,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Show what changed in what a machine says of itself, the newest first."""

    async def work() -> None:
        found: list[dict[str, Any]] = await ask("inventory.history", node=node, fact=fact, limit=limit)
        if json:
            emit({"changes": found})
            return
        rows = [(words.moment(one["at"]), one["fact"], one["old"] or "-", one["new"] or "-") for one in found]
        head = ("when", "fact", "was", "is")
        if csv:
            _print_csv(head, rows)
        else:
            print(words.table(head, rows) if rows else f"Nothing changed since {node} said what it is.")

    run(work, as_json=json)
