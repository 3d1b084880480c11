"""`tiercast node ...`: who belongs to the region."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from tiercast_cli.nodes import bootstraps, moves
from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import At, Json, Node
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Gateways and endpoints of the region.")

moves.register(app)
bootstraps.register(app)
_MOMENTS = {"invited", "since", "joined", "placed", "last_seen", "expires"}
_INVITE = """\b
Examples:
  tiercast node invite berlin --gateway
  tiercast node invite pc-17 --parent berlin --valid 7d
"""


@app.command(epilog=_INVITE)
def invite(
    name: Annotated[str, typer.Argument(help="What the new node will be called.")],
    *,
    gateway: Annotated[bool, typer.Option("--gateway", help="A gateway; an endpoint by default.")] = False,
    parent: Annotated[str, typer.Option("--parent", help="The node it joins below; the server by default.")] = "",
    valid: Annotated[str, typer.Option("--valid", help="How long the token may wait: 30m, 12h, 7d.")] = "24h",
    replace: Annotated[bool, typer.Option("--replace", help="A new machine takes over an existing name.")] = False,
    json: Json = False,
) -> None:
    """Make a one-time token with which a machine joins the region."""

    async def work() -> None:
        role = "gateway" if gateway else "endpoint"
        result = await ask(
            "node.invite", name=name, role=role, parent=parent, ttl_s=seconds_of(valid, "--valid"), replace=replace
        )
        if json:
            emit(result)
            return
        print(
            f"Token for {role} {name}, below {result['parent']}, valid until {words.moment(result['expires'])}, once."
        )
        print("On the new machine:\n")
        print(f"  tiercast-{role} join {result['token']}")

    run(work, as_json=json)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List every node, who is its parent, and whether it is there now."""

    async def work() -> None:
        nodes: list[dict[str, Any]] = await ask("node.list")
        if json:
            emit({"nodes": nodes})
            return
        now = time.time()
        rows = [
            (
                n["name"],
                n["role"],
                _where(n),
                "online" if n["online"] else "offline",
                words.ago(n["since"], now=now) if n["since"] or not n["joined"] else "unknown",
            )
            for n in nodes
        ]
        print(words.table(("name", "role", "parent", "state", "since"), rows))

    run(work, as_json=json)


@app.command()
def show(name: Node, *, json: Json = False) -> None:
    """Show all that the server knows of one node."""

    async def work() -> None:
        node: dict[str, Any] = await ask("node.show", name=name)
        if json:
            emit({"node": node})
            return
        waits, failed = node.pop("waits", []), node.pop("facts_failed", {})
        for key, value in node.items():
            print(f"{key:>14}  {_shown(key, value)}")
        for program, reason in sorted(failed.items()):
            print(f"{'facts failed':>14}  {program}: {reason}")
        for one in waits:
            says = f": {one['says']}" if one["says"] else ""
            print(f"{'waits':>14}  {one['job']} {one['type']} {words.subject(one)}, {one['state']}{says}")

    run(work, as_json=json)


@app.command()
def remove(name: Node, *, json: Json = False) -> None:
    """Take a node out of the region: its key and its place on the broker are worth nothing from then on."""

    async def work() -> None:
        result = await ask("node.remove", name=name)
        emit(result or {}) if json else print(f"{name} no longer belongs to the region.")

    run(work, as_json=json)


def _where(node: dict[str, Any]) -> str:
    """The parent; for one that is not at home, both."""
    home, present = node["parent"], node.get("present", node["parent"])
    return f"{present} (home: {home})" if present != home else home or "-"


@app.command()
def tree(*, json: Json = False) -> None:
    """Show the tree as it stands now: who is below whom, and why where that is not home."""

    async def work() -> None:
        nodes: list[dict[str, Any]] = await ask("node.list")
        if json:
            emit({"nodes": nodes})
            return
        for line in tree_lines(nodes, time.time()):
            print(line)

    run(work, as_json=json)


def tree_lines(nodes: list[dict[str, Any]], now: float) -> list[str]:
    """One line per node, below its present parent; whoever hangs in no tree comes last."""
    children: dict[str, list[dict[str, Any]]] = {}
    for node in nodes:
        children.setdefault(node.get("present", node["parent"]), []).append(node)
    lines: list[str] = []
    seen: set[str] = set()

    def walk(node: dict[str, Any], depth: int) -> None:
        seen.add(node["name"])
        away = node.get("present", node["parent"]) != node["parent"]
        why = f", home is {node['parent']}: {node['reason']}, {words.ago(node['placed'], now=now)}" if away else ""
        state = "online" if node["online"] else "offline"
        lines.append(f"{'  ' * depth}{node['name']} ({node['role']}, {state}{why})")
        for child in children.get(node["name"], []):
            if child["name"] not in seen:
                walk(child, depth + 1)

    for root in children.get("", []):
        walk(root, 0)
    for node in nodes:
        if node["name"] not in seen:
            walk(node, 0)
    return lines


@app.command()
def status(*, node: At = "", json: Json = False) -> None:
    """Look inside a daemon: broker, depot, children."""

    async def work() -> None:
        state: dict[str, Any] = await (ask("status", node=node) if node else ask("status"))
        if json:
            emit({"status": state})
            return
        print(f"{state['role']} {state['name']} of region {state['region']}, version {state['version']}")
        if state["role"] == "endpoint":
            _show_endpoint(state)
            return
        broker, depot = state["broker"], state["depot"]
        print(f"broker {broker['kind']} at {broker['url']}")
        print(f"depot {words.size(depot['bytes'])} in {words.count(depot['chunks'], 'chunk')}")
        children = state.get("children", [])
        if children:
            rows = [
                (c["name"], c["role"], "online" if c["online"] else "offline", c.get("lane", "-"), c.get("wanted", 0))
                for c in children
            ]
            print(words.table(("child", "role", "state", "lane", "chunks wanted"), rows))

    run(work, as_json=json)


def _show_endpoint(state: dict[str, Any]) -> None:
    parent = state["parent"]
    print(f"parent {parent['name']} at {parent['url']}, {'' if parent['connected'] else 'not '}connected")
    print(f"installs into {state['install_root']}, {words.size(state['disk_free'])} free")
    for job in state["open_jobs"]:
        print(f"job {job['job']} {job['package']}: {job['state']}")


def _shown(key: str, value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int) and not isinstance(value, bool) and key in _MOMENTS:
        return words.moment(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
