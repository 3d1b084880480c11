"""Groups whose machines are woken for every job (docs/power.md).

Rules
- A policy of the group: whoever is in it when a job is ordered for him is marked in his order's bundle, and his gateway
  wakes him.  The mark is no word of the order, and so not signed: it can wake a machine, and nothing else.
- What stands on a machine's link goes before it.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_server.database.site_tables import group_wakes
from tiercast_server.database.tables import members
from tiercast_server.parts import parts


async def put(connection: AsyncConnection, group: str, *, wake: bool) -> None:
    """Have the machines of a group woken for their jobs, or no more."""
    await connection.execute(delete(group_wakes).where(group_wakes.c.group_name == group))
    if wake:
        await connection.execute(insert(group_wakes).values(group_name=group))


async def of_groups(connection: AsyncConnection) -> set[str]:
    """The groups whose machines are woken."""
    return set((await connection.execute(select(group_wakes.c.group_name))).scalars())


async def among(connection: AsyncConnection, names: Collection[str]) -> set[str]:
    """Of these machines those that are in such a group."""
    waking = await of_groups(connection)
    found: set[str] = set()
    if not waking:
        return found
    query = select(members.c.node).where(members.c.group_name.in_(waking))
    for some in parts(members.c.node, names):
        found.update((await connection.execute(query.where(*some))).scalars())
    return found
