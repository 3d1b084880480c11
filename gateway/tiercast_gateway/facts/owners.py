"""What the owners of the machines below chose of their jobs, out of the records that are merged here anyway.

Rules (docs/on-the-endpoint.md, "The owner's word")
- Counts are computed from the records each time, never added up: a machine that moved is counted once.
- With the link to the centre cut it tells the same of this sub-tree.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

from tiercast_protocol.content.jobs import chosen
from tiercast_protocol.content.jobs.chosen import Said
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import StatusRecord

MOST, _LARGEST = 200, 10_000


class Owners:
    """Answers `owner.said`.

    Args:
        db: this node's database.
        me: its name.
        via: the child through which a node below is reached; None where nobody knows.
    """

    def __init__(self, db: Database, me: str, via: Callable[[str], str | None]) -> None:
        self._db, self._me, self._via = db, me, via

    async def said(self, call: Call) -> dict[str, Any]:
        """Who put what off, how often, until when; counted by site or job."""
        asked = asked_of(call, groups=False)
        found = await self._db.read(lambda c: self._rows(c, asked["job"], asked["ended"]))
        return chosen.summary(found, by=asked["by"], now=time.time_ns() // 1_000_000, most=asked["most"])

    def _rows(self, connection: Connection, job: str, ended: bool) -> list[Said]:  # noqa: FBT001 - private
        about = {row[0]: row[1:] for row in connection.execute("SELECT job, package, version FROM orders")}
        query = "SELECT record FROM statuses WHERE final = 0 OR ?"
        rows = connection.execute(query + (" AND job = ?" if job else ""), (ended, job) if job else (ended,))
        found: list[Said] = []
        for (data,) in rows:
            record = codec.decode(data, StatusRecord)
            said = chosen.read(record.owner)
            if said is None or (job and record.job != job):
                continue
            package, version = about.get(record.job, ("", ""))
            via = self._via(record.target) or self._me
            found.append(
                Said(
                    job=record.job,
                    package=package,
                    version=version,
                    node=record.target,
                    site=self._me if via == record.target else via,
                    state=record.state,
                    ended=STATES.get(record.state, False),
                    chosen=said,
                )
            )
        return found


def asked_of(call: Call, *, groups: bool = True) -> dict[str, Any]:
    """What is asked for.

    Raises:
        UsageError: argument.invalid.
    """
    by, most = call.text("by", chosen.SITE), call.number("most", MOST)
    known = (chosen.SITE, chosen.JOB, *((chosen.GROUP,) if groups else ()))
    if by not in known:
        todo = "Groups are known to the server: ask there." if by == chosen.GROUP else ""
        raise UsageError("argument.invalid", f"by is {by[:40]!r}, not one of {', '.join(known)}.", "owner.said", todo)
    if not 0 <= most <= _LARGEST:
        raise UsageError("argument.invalid", f"most must be 0 to {_LARGEST}.", "owner.said")
    return {"job": call.text("job", ""), "by": by, "most": most, "ended": call.flag("ended", default=False)}
