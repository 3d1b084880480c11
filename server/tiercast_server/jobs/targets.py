"""The targets of one job as rows for people: counted, and a page of them at a time.

Rules
- An answer holds at most `PAGE` targets, so that it takes a moment whatever the job's size; who wants more asks for
  those after the last one.  Counts are always of all.
- Of a part without a place the first that count are given: who ended badly, who is at work, who waits, who is done.
  Which those are is decided on the narrow table first: names and placings are joined to what is shown alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import chosen
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_server.database.tables import hops, placings, targets
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.jobs import skipped
from tiercast_server.jobs.rows import Job

PAGE = 1_000
_BAD = tuple(state for state, final in STATES.items() if final and state != "done")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which targets: at most so many (0: a page), those after a name, of these names, whose owners chose something.

    `alone`: nothing else of the job, for who has that from the page before.
    """

    most: int = 0
    after: str = ""
    on: tuple[str, ...] = ()
    chosen: bool = False
    alone: bool = False

    @property
    def is_part(self) -> bool:
        """Whether it asks for a place in the list, or for some alone."""
        return bool(self.after or self.on or self.chosen)


async def counts(connection: AsyncConnection, job: Job) -> tuple[dict[str, int], dict[str, int]]:
    """Targets by state, and the bytes that all of them together hold and want in their present step."""
    c = targets.c
    query = (
        select(c.state, func.count().label("n"), func.sum(c.done).label("done"), func.sum(c.total).label("total"))
        .where(c.job == job.id)
        .group_by(c.state)
        .order_by(c.state)
    )
    rows = (await connection.execute(query)).all()
    held = {"done": sum(int(row.done) for row in rows), "total": sum(int(row.total) for row in rows)}
    counted = {job.id: {row.state: row.n for row in rows}}
    await skipped.split(connection, [job], counted)
    return counted[job.id], held


async def page(connection: AsyncConnection, job: str, wanted: Wanted) -> tuple[list[dict[str, Any]], str]:
    """The rows, by name, and the name after which the next page begins ("": there is none)."""
    c, most = targets.c, min(wanted.most or PAGE, PAGE)
    which: list[ColumnElement[bool]] = [c.job == job]
    if wanted.after:
        which.append(c.node > wanted.after)
    if wanted.on:
        which.append(c.node.in_(wanted.on))
    if wanted.chosen:
        which.append(c.owner != "")
    if wanted.most and not wanted.is_part:
        rank = case((c.state == "done", 3), (c.state.in_(_BAD), 0), (c.done > 0, 1), else_=2)
        names = select(c.node).where(*which).order_by(rank, c.node).limit(most)
        picked = [row.node for row in await connection.execute(names)]
        return await _rows(connection, c.job == job, c.node.in_(picked)), ""
    rows = await _rows(connection, *which, most=most + 1)
    return rows[:most], rows[most - 1]["node"] if len(rows) > most else ""


async def all_of(connection: AsyncConnection, job: str) -> list[dict[str, Any]]:
    """Every target, with what tells who was late."""
    c = targets.c
    query = select(c.node, c.parent, c.state, c.at).where(c.job == job).order_by(c.node)
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def _rows(connection: AsyncConnection, *which: ColumnElement[bool], most: int = PAGE) -> list[dict[str, Any]]:
    c = targets.c
    columns = (c.node, c.parent, c.state, c.code, c.detail, c.done, c.total, c.at, c.attempt, c.proved, c.owner)
    present = func.coalesce(func.nullif(placings.c.parent, ""), nodes_table.c.parent, c.parent).label("present")
    query = (
        select(*columns, present)
        .outerjoin(nodes_table, nodes_table.c.name == c.node)
        .outerjoin(placings, placings.c.node == c.node)
        .where(*which)
        .order_by(c.node)
        .limit(most)
    )
    found = []
    rows = await connection.execute(query)
    names = tuple(rows.keys())
    for row in rows:
        shown = dict(zip(names, row, strict=True))
        owner = chosen.read(shown.pop("owner"))
        found.append(shown | ({"owner": owner.shown()} if owner is not None else {}))
    return found


async def hops_of(connection: AsyncConnection, job: str) -> list[dict[str, Any]]:
    """What gateways on the way said."""
    query = select(hops).where(hops.c.job == job).order_by(hops.c.node)
    names = ("node", "state", "done", "total", "rate", "at", "why")
    return [{name: getattr(row, name) for name in names} for row in await connection.execute(query)]
