"""What one machine has not carried out yet, and why, as it said so itself: for `node show`.

Rules
- Its open jobs, the newest first, with the reason that the machine (or a gateway that is a target) gave last: who put
  it off, how often and until when; which condition is not true.
- A job of which it said nothing yet is shown with its state alone; `why` knows the way to it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.reason import read, shown
from tiercast_protocol.content.jobs.waiting import KINDS
from tiercast_server.database.tables import jobs, targets
from tiercast_server.jobs.rows import OPEN_STATES

#: Jobs that are shown.
MOST = 50


async def waits(connection: AsyncConnection, node: str) -> list[dict[str, Any]]:
    """{job, type, package, version, state, code, says, since, until, facts} of each."""
    query = (
        select(
            *(jobs.c.id, jobs.c.type, jobs.c.package, jobs.c.version),
            *(targets.c.state, targets.c.code, targets.c.detail, targets.c.since, targets.c.at),
        )
        .join(jobs, jobs.c.id == targets.c.job)
        .where(targets.c.node == node, targets.c.state.in_(OPEN_STATES))
        .order_by(jobs.c.number.desc())
        .limit(MOST)
    )
    found: list[dict[str, Any]] = []
    for row in await connection.execute(query):
        since = row.since or row.at
        said = shown(read(row.code, row.detail, node=node, peer=node, since=since)) if row.code in KINDS else {}
        found.append(
            {
                "job": row.id,
                "type": row.type,
                "package": row.package,
                "version": row.version,
                "state": row.state,
                "code": row.code,
                "says": said.get("says", ""),
                "since": said.get("since", since),
                "until": said.get("until", 0),
                "facts": said.get("facts", {}),
            }
        )
    return found
