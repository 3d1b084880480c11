"""What is shown of assignments: counted by state, with a few names of each.

Rules
- Ten thousand machines are few lines; only those that are not as they are to be have one each, a hundred at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired import sites as assignment_sites
from tiercast_server.desired.life import STATES, Machine, Try
from tiercast_server.desired.look import Sight, look
from tiercast_server.desired.rows import Kept
from tiercast_server.region import Region
from tiercast_server.targeting import Targeting

#: Names of machines in each state; and machines that `show` tells all of.
_SOME, _MOST = 5, 100


def head(kept: Kept) -> dict[str, Any]:
    """What it is."""
    one, rule = kept.definition, kept.rule
    return {
        "assignment": one.name,
        "says": str(rule),
        "package": rule.package,
        "target": one.target,
        "state": "paused" if one.paused else "active",
        "said": kept.said,
        "rollout": kept.rollout,
        "by": kept.created_by,
        "created": kept.created,
    }


def summary(sight: Sight) -> dict[str, Any]:
    """Its machines, counted by state: {assignment, says, targets, counts, some}; `some` are a few names of each."""
    names: dict[str, list[str]] = {}
    for node, machine in sight.machines.items():
        names.setdefault(sight.life.state_of(node, machine), []).append(node)
    return {
        "assignment": sight.name,
        "says": str(sight.rule),
        "state": "paused" if sight.kept.definition.paused else "active",
        "targets": len(sight.machines),
        "counts": {state: len(names[state]) for state in STATES if state in names},
        "some": {state: names[state][:_SOME] for state in STATES if state in names and state != "holds"},
    }


async def list_(region: Region, seen: Mapping[str, Sight], looked: int) -> list[dict[str, Any]]:
    """Every assignment, with the counts of the last look."""
    async with region.db.read() as connection:
        kept = await assignment_rows.all_(connection)
    found: list[dict[str, Any]] = []
    for one in kept:
        sight = seen.get(one.name)
        counted = {} if sight is None else summary(sight)
        told = {key: counted.get(key, empty) for key, empty in (("targets", 0), ("counts", {}), ("some", {}))}
        found.append({**head(one), **told, "looked": looked if sight is not None else 0})
    return found


async def show(region: Region, targeting: Targeting, name: str) -> dict[str, Any]:
    """One assignment as it stands, with the machines that are not as it wants them.

    Raises:
        UsageError: assignment.unknown.
    """
    async with targeting.lock, region.db.read() as connection:
        kept = await assignment_rows.get(connection, name)
        sight = (await look(region, targeting, connection))[kept.name]
        windows = await assignment_rows.windows(connection)
        sites = await assignment_sites.shown(connection, kept.name)
    away = [(node, one) for node, one in sight.machines.items() if not one.holds]
    return {
        **head(kept),
        **{key: value for key, value in summary(sight).items() if key in {"targets", "counts", "some"}},
        "table": kept.definition.table,
        "windows": {one: windows.get(one, "") for one in kept.definition.window},
        "machines": [row(sight, node, machine) for node, machine in away[:_MOST]],
        "more": max(0, len(away) - _MOST),
        "sites": sites,
    }


def row(sight: Sight, node: str, machine: Machine) -> dict[str, Any]:
    """One machine."""
    held = sight.life.tries.get(node, Try())
    return {
        "node": node,
        "state": sight.life.state_of(node, machine),
        "version": machine.version or "",
        "wants": machine.choice or "",
        "job": machine.busy or held.job,
        "failures": held.failures,
        "again": held.again,
        "code": held.code,
        "detail": held.detail,
    }


async def of_node(connection: AsyncConnection, region: Region, targeting: Targeting, name: str) -> Sight:
    """What is known of an assignment now.

    Raises:
        UsageError: assignment.unknown.
    """
    await assignment_rows.get(connection, name)
    return (await look(region, targeting, connection))[name]
