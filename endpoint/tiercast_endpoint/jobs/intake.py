"""An order that came is judged and journaled, in one transaction.

Rules
- What is refused is journaled too, as ended: a crash before its receipt must not bring it to life.
- What the region signed last, its epoch and its time, is raised by accepted orders alone.
- An order of a step may move an open job on instead (`further.py`); what is known already is only answered again.
- Units of work are plain functions of a connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from tiercast_endpoint.jobs import further, journal
from tiercast_endpoint.jobs.install import INSTALL, RUN, Plan, Snapshot, Step
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.orders import Accepted, Refused, Repeated, Seen, Verdict, judge
from tiercast_protocol.content.jobs import power
from tiercast_protocol.content.jobs.jobtypes import OFFER, REPAIR
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.jobs.vouching import SITE
from tiercast_protocol.content.package import phases


def enter(
    connection: sqlite3.Connection, order: Order, *, cause: str, vouched: Mapping[str, str], now_ms: int
) -> tuple[Verdict | further.Further, Job | None]:
    """What is made of `order`, and the job that it made, moved on or repeats; `now_ms` is this machine's own clock."""
    seen = Seen(
        journal.counter(connection, journal.EPOCH),
        journal.counter(connection, journal.TIME),
        journal.newest_revision(connection, order.job),
    )
    if SITE in order.options and (done := further.done_before(connection, order)) is not None:
        return Repeated(), done
    verdict = judge(order, seen, now_ms=now_ms)
    if isinstance(verdict, Repeated):
        return verdict, journal.job_at(connection, order.job, order.revision)
    told: Verdict | further.Further = verdict
    moved: Job | None = None
    if phases.STEP in order.options:
        told, moved = further.take(connection, order, verdict)
    if isinstance(verdict, Accepted):
        journal.raise_counter(connection, journal.EPOCH, order.epoch)
        journal.raise_counter(connection, journal.TIME, order.issued)
    if not isinstance(told, (Accepted, Refused)):
        return told, moved
    job = Job(
        *(order.job, order.revision, order.type, order.package, order.version, order.package_revision),
        *(order.root, order.issued, order.expires, cause, "ordered", now_ms),
        snapshot=_first_snapshot(order, told),
        options={**order.options, **vouched},
    )
    return told, journal.add_job(connection, job)


def _first_snapshot(order: Order, verdict: Verdict) -> Snapshot:
    if isinstance(verdict, Refused):
        return Snapshot(order.type, Step.END, outcome=verdict.outcome)
    if order.type == RUN:
        return Snapshot(order.type, plan=Plan(before=bool(order.options.get("idempotent"))))
    if order.type in power.TYPES:
        return Snapshot(order.type, plan=Plan(before=True))  # `powering` knows whether the machine went down
    # An offer is installed as anything is, once it is accepted.
    return Snapshot(INSTALL if order.type in {OFFER, REPAIR} else order.type, phase=phases.step_of(order.options))
