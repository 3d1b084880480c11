"""What became of a job, and of a machine, in the order of time: read from the region's database.

Rules
- Only what the database holds: when a job was made, ordered and closed, since when each target is in its state, and
  what the signed receipts say of beginning and end.  What passed between them was not kept, and is not guessed.
- Newest first; `since` and `states` leave out, `limit` cuts, and the answer says how many there were.
- Times are milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.reason import told
from tiercast_protocol.content.jobs.receipt import STATES, Receipt
from tiercast_protocol.errors import MessageInvalid, UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.wire import codec
from tiercast_server.database.tables import jobs, orders, placings, targets
from tiercast_server.jobs import rows as job_rows
from tiercast_server.nodes import nodes
from tiercast_server.region import Region

_LIMIT, _MOST = 100, 10_000


class History:
    """Answers `job.history` and `node.history`."""

    def __init__(self, region: Region) -> None:
        self._region = region

    async def job(self, call: Call) -> dict[str, Any]:
        """What became of a job: made, ordered, each target's last state, closed."""
        since, states, limit = _filters(call)
        async with self._region.db.read() as connection:
            job = await job_rows.get(connection, call.text("job"))
            found = await _orders_of(connection, job.id, since)
            rows, count = await _targets(connection, (targets.c.job == job.id), since, states, limit)
        events = [] if states else found
        if not states:
            by = {"event": "created", "at": job.created, "by": job.created_by, "note": job.note}
            events += [by] if job.created >= since else []
            if job.closed is not None and job.closed >= since:
                events.append({"event": "closed", "at": job.closed, "state": job.state})
        events += [{"event": "target", "node": row.node, **_what_became(row)} for row in rows]
        events.sort(key=lambda event: int(event["at"]), reverse=True)
        return {
            "job": job.id,
            "type": job.type,
            "package": job.package,
            "version": job.version,
            "state": job.state,
            "events": events,
            "targets": count,
        }

    async def node(self, call: Call) -> dict[str, Any]:
        """What became of a machine: invited, joined, moved, and every job that it is or was a target of."""
        since, states, limit = _filters(call)
        name = call.text("name")
        async with self._region.db.read() as connection:
            node = await nodes.find_any(connection, name)
            if node is None:
                raise nodes.unknown_node(name, [other.name for other in await nodes.all_nodes(connection)])
            rows, count = await _targets(connection, (targets.c.node == name), since, states, limit)
            query = select(placings).where(placings.c.node == name)
            placed = (await connection.execute(query)).one_or_none()
        events: list[dict[str, Any]] = [
            {
                "event": "job",
                "job": row.job,
                "type": row.type,
                "package": row.package,
                "version": row.version,
                **_what_became(row),
            }
            for row in rows
        ]
        if not states:
            events += [{"event": "invited", "at": node.invited}] if node.invited >= since else []
            if node.joined is not None and node.joined >= since:
                events.append({"event": "joined", "at": node.joined, "generation": node.generation})
            if placed is not None and placed.at and placed.at >= since:
                events.append({"event": "placed", "at": placed.at, "parent": placed.parent, "reason": placed.reason})
        events.sort(key=lambda event: int(event["at"]), reverse=True)
        return {"node": name, "role": node.role, "state": node.state, "events": events, "jobs": count}


def _filters(call: Call) -> tuple[int, tuple[str, ...], int]:
    """Since when, which states, how many.

    Raises:
        UsageError: state.unknown, or argument.invalid.
    """
    states = tuple(call.texts("states", []))
    if unknown := [state for state in states if state not in STATES]:
        raise UsageError(
            code="state.unknown", what=f"There is no state {unknown[0]!r}.", todo=f"States: {', '.join(STATES)}."
        )
    return max(0, call.number("since", 0)), states, max(1, min(call.number("limit", _LIMIT), _MOST))


async def _orders_of(connection: AsyncConnection, job: str, since: int) -> list[dict[str, Any]]:
    query = select(orders.c.revision, orders.c.type, orders.c.created).where(
        orders.c.job == job, orders.c.created >= since
    )
    return [
        {"event": "ordered", "at": row.created, "revision": row.revision, "type": row.type}
        for row in await connection.execute(query)
    ]


async def _targets(
    connection: AsyncConnection, which: Any, since: int, states: Collection[str], limit: int
) -> tuple[list[Any], int]:
    """The newest rows of targets, and how many there are in all."""
    which &= targets.c.at >= since
    if states:
        which &= targets.c.state.in_(states)
    c = targets.c
    query = (
        select(
            *(c.node, c.job, c.state, c.code, c.detail, c.since, c.at, c.attempt, c.receipt),
            *(jobs.c.type, jobs.c.package, jobs.c.version, jobs.c.created),
        )
        .join(jobs, jobs.c.id == c.job)
        .where(which)
        .order_by(c.at.desc(), c.node, c.job)
        .limit(limit)
    )
    count = (await connection.execute(select(func.count()).select_from(targets).where(which))).scalar_one()
    return list((await connection.execute(query)).all()), int(count)


def _what_became(row: Any) -> dict[str, Any]:
    """One row of a target; beginning and end by its own receipt, 0 where it gave none."""
    began = ended = 0
    if row.receipt:
        try:
            receipt = codec.decode(row.receipt, Receipt)
        except MessageInvalid:
            pass  # of a later version: the state stands all the same
        else:
            began, ended = receipt.started, receipt.finished
    return {
        "at": row.at,
        "since": row.since or row.at,
        "state": row.state,
        "code": row.code,
        "detail": told(row.code, row.detail),
        "attempt": row.attempt,
        "ordered": row.created,
        "started": began,
        "finished": ended,
    }
