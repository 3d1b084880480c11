"""Names for completion: what a shell offers after `tiercast job show <Tab>`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_server.database.tables import cabinets, groups, jobs, nodes, packages
from tiercast_server.region import Region

_MOST = 1_000


async def names(region: Region, call: Call) -> list[str]:
    """The names of one kind of thing, at most a thousand; jobs newest first.

    Raises:
        UsageError: kind.unknown.
    """
    kinds: dict[str, Select[Any]] = {
        "node": select(nodes.c.name).where(nodes.c.state != "removed").order_by(nodes.c.name),
        "gateway": select(nodes.c.name)
        .where(nodes.c.state != "removed", nodes.c.role == "gateway")
        .order_by(nodes.c.name),
        "endpoint": select(nodes.c.name)
        .where(nodes.c.state != "removed", nodes.c.role == "endpoint")
        .order_by(nodes.c.name),
        "group": select(groups.c.name).order_by(groups.c.name),
        "package": select(packages.c.name).distinct().order_by(packages.c.name),
        "cabinet": select(cabinets.c.name).order_by(cabinets.c.name),
        "job": select(jobs.c.id).order_by(jobs.c.number.desc()),
    }
    kind = call.text("kind")
    if kind not in kinds:
        raise UsageError(
            code="kind.unknown", what=f"There are no names of {kind!r}.", todo=f"Kinds: {', '.join(kinds)}."
        )
    async with region.db.read() as connection:
        return list((await connection.execute(kinds[kind].limit(_MOST))).scalars())
