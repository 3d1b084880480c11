"""An order of a later revision that says how far a job is to go: judged and journaled (docs/transactions.md).

Rules
- It moves the open job of an earlier revision on, which answers for the later one from then on.
- What has ended is not begun again: the answer is how it ended.  What was cancelled before it came stays cancelled.
- What never came here, and is to be committed, is carried out as far as that; where it is to be undone, that is all.
- An order that came too late to count leaves the open job as it is.
- Units of work are plain functions of a connection.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from tiercast_endpoint.jobs import endings, journal
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.orders import Accepted, Refused, Stale, Verdict
from tiercast_endpoint.jobs.story import Outcome
from tiercast_protocol.content.jobs.order import CANCEL, Order
from tiercast_protocol.content.package import phases


@dataclass(frozen=True, slots=True)
class Further:
    """The open job is to go so far."""

    step: str


def take(connection: sqlite3.Connection, order: Order, verdict: Verdict) -> tuple[Verdict | Further, Job | None]:
    """What `verdict` on an order of a step comes to, and the open job that it moves on."""
    earlier = [job for job in journal.revisions(connection, order.job) if job.revision < order.revision]
    open_ones = [job for job in earlier if not job.finished and job.type != CANCEL]
    if open_ones:
        if not isinstance(verdict, Accepted):
            return Stale(), None
        step = phases.further(open_ones[-1].ordered, phases.step_of(order.options))
        journal.set_ordered(connection, open_ones[-1].n, order.revision, step)
        return Further(step), replace(open_ones[-1], answers=order.revision, ordered=step)
    if not isinstance(verdict, Accepted):
        return verdict, None
    if earlier:
        last = earlier[-1]
        return Refused(Outcome(last.state, last.code, last.detail) if last.finished else endings.UNTOUCHED), None
    if phases.step_of(order.options) == phases.UNDO:
        return Refused(endings.GIVEN_UP), None
    return verdict, None


def done_before(connection: sqlite3.Connection, order: Order) -> Job | None:
    """What came of it where it was done already: gateway and server may both have made this node a target of it."""
    earlier = journal.revisions(connection, order.job)
    same = [job for job in earlier if (job.type, job.root, job.state) == (order.type, order.root, "done")]
    return same[-1] if same and same[-1].revision < order.revision else None
