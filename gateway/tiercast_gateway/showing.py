"""`tiercast-gateway status`: the running gateway asked over its socket, for people and for programs."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from tiercast_protocol.node.control.client import connect

#: Grows when a field of the JSON changes its meaning or goes.
SCHEMA = 1


async def fetch_status(socket: Path, program: str = "tiercast-gateway") -> dict[str, Any]:
    """The answer to `status`; raises `UsageError` (code "daemon.unreachable") when none runs there."""
    todo = f"Start it with `{program} run`, or name its folder with --state."
    async with connect(socket, todo=todo) as client:
        found: dict[str, Any] = await client.call("status")
        return found


def render_status(found: dict[str, Any], *, as_json: bool) -> str:
    """One line of JSON, or some lines to read."""
    if as_json:
        return json.dumps({"schema": SCHEMA, "status": found}, separators=(",", ":"), default=str)
    depot, broker = found["depot"], found["broker"]
    lines = [
        f"{found['name']}: {found['role']} of the region {found['region']}, version {found['version']}",
        *_parent(found),
        f"  broker  {broker['kind']} at {broker['url']}",
        f"  depot   {depot['chunks']} chunks, {depot['bytes'] / 1e6:.1f} MB; {depot['free'] / 1e9:.1f} GB free",
        *_audit(depot),
        f"  children {len(found['children'])}",
    ]
    for child in found["children"]:
        state = "online" if child["online"] else "offline"
        lane = f", {child['lane']}, {child['wanted']} chunks wanted" if child["lane"] else ""
        lines.append(f"    {child['name']}  {child['role']}, {state}{lane}")
    return "\n".join(lines)


def _audit(depot: dict[str, Any]) -> list[str]:
    """The line of the audit: what is missing, and when all was last proved."""
    audit = depot.get("audit")
    if audit is None:
        return []
    last = datetime.fromtimestamp(audit["last"] / 1000).astimezone() if audit["last"] else None
    proved = f"all proved {last:%Y-%m-%d %H:%M}" if last else "not all proved yet"
    return [f"  audit   {proved}" + (f"; {audit['missing']} chunks missing" if audit["missing"] else "")]


def _parent(found: dict[str, Any]) -> list[str]:
    """The line of the parent; none where there is none (the server)."""
    if not found.get("parent"):
        return []
    return [f"  parent  {found['parent']} ({'connected' if found['connected'] else 'not connected'})"]
