"""The waiting targets of a large job, those that wait alike as one row (docs/jobs.md, "Why").

Rules
- Alike are targets of one state, code, detail and parent: the first link of their chains is the same but for the name.
- Those of whom their parent says something by name stay rows of their own.
- The database counts, for ten thousand rows on their way through the driver take longer than all the rest.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_server.database.tables import nodes, placings, targets
from tiercast_server.jobs.rows import OPEN_STATES

#: Up to so many waiting targets each is looked at by itself.
FEW = 1_000
#: Most names in one statement.
_NAMES = 20_000


async def alike(connection: AsyncConnection, job: str, named: Collection[str]) -> list[tuple[Any, ...]]:
    """Rows of node, state, code, detail, since, at, done, total, home, present parent, and how many that is.

    `node` is the first of them by name, `since` when the first of them began.
    """
    c = targets.c
    home = func.coalesce(nodes.c.parent, c.parent)
    alone = case((c.node.in_(sorted(named)[:_NAMES]), c.node), else_="") if named else None
    key = [c.state, c.code, c.detail, home, placings.c.parent, *([] if alone is None else [alone])]
    query = (
        select(
            func.min(c.node),
            *(c.state, c.code, c.detail),
            func.min(case((c.since == 0, c.at), else_=c.since)),
            *(func.min(c.at), func.sum(c.done), func.sum(c.total)),
            *(home, placings.c.parent, func.count()),
        )
        .outerjoin(nodes, nodes.c.name == c.node)
        .outerjoin(placings, placings.c.node == c.node)
        .where(c.job == job, c.state.in_(OPEN_STATES))
        .group_by(*key)
    )
    return sorted((tuple(row) for row in await connection.execute(query)), key=lambda row: str(row[0]))
