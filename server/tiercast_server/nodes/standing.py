"""Which version of a package stands on which machine, as far as the region knows.

Rules
- Two words count: the newest receipt of a job that installed or removed it, and what the machine said of itself.  Of
  the two it is the later one, both by the machine's own clock.
- Nothing known is: it is not there.
- Machines say versions; the revision is that of the newest job that brought this version and ended well.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_server.database.tables import inventory, jobs, targets
from tiercast_server.jobs.proviso_checks import INSTALLING
from tiercast_server.parts import parts


class _Said(msgspec.Struct):
    packages: dict[str, str] = {}


async def versions(connection: AsyncConnection, package: str, names: Collection[str]) -> dict[str, str]:
    """The version of `package` on each of the nodes; "" for none."""
    found: dict[str, tuple[int, str]] = dict.fromkeys(names, (0, ""))
    of_jobs = (
        select(targets.c.node, targets.c.at, jobs.c.type, jobs.c.version)
        .join(jobs, jobs.c.id == targets.c.job)
        .where(jobs.c.package == package, jobs.c.type.in_((*INSTALLING, "remove")), targets.c.state == "done")
        .where(targets.c.code != "condition.skipped")
    )
    for some in parts(targets.c.node, names):
        for row in await connection.execute(of_jobs.where(*some)):
            said = (row.at, row.version if row.type in INSTALLING else "")
            found[row.node] = max(found[row.node], said)
    of_nodes = select(inventory.c.node, inventory.c.at, inventory.c.facts)
    for some in parts(inventory.c.node, names):
        for node, at, facts in await connection.execute(of_nodes.where(*some)):
            if at > found[node][0]:
                found[node] = (at, msgspec.json.decode(facts, type=_Said).packages.get(package, ""))
    return {name: version for name, (_, version) in found.items()}


async def revision(connection: AsyncConnection, package: str, version: str, node: str) -> int:
    """The revision of the `version` that stands on the node; 0 where no job of this region brought it."""
    brought = (
        select(jobs.c.package_revision)
        .join(targets, jobs.c.id == targets.c.job)
        .where(jobs.c.package == package, jobs.c.version == version, jobs.c.type.in_(INSTALLING))
        .where(targets.c.node == node, targets.c.state == "done", targets.c.code != "condition.skipped")
        .order_by(targets.c.at.desc())
        .limit(1)
    )
    return int(await connection.scalar(brought) or 0)
