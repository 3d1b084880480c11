"""All jobs of the agent: orders come in, each package's jobs run one after the other, in order of arrival.

Rules
- An order is journaled before it is acknowledged; what is refused is journaled too, with its receipt.
- Opposite orders for one package are both carried out, in the order in which they came: the last one stands.
- Jobs of different packages run side by side, a few at a time.
- The root of what is ordered is asked for as soon as the order is journaled, whatever else is written down first.
- A cancel ends when what it cancels has ended, and says how that was.
- At start every open job goes on where its journal says, and every receipt that may not be in the outbox goes there.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import structlog

from tiercast_endpoint import journal
from tiercast_endpoint.install import STATE_OF, CancelAsked, Outcome, Snapshot, Step, TurnCame
from tiercast_endpoint.journal import Job
from tiercast_endpoint.orders import Accepted, Identity, Refused, Repeated, Seen, Verdict, judge, open_bundle
from tiercast_endpoint.reports import Reporter
from tiercast_endpoint.run import Performer, Run, Watch, _unwatched
from tiercast_protocol.content import order as o
from tiercast_protocol.content.order import Order
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import OrderBundle, body_of

log = structlog.get_logger(__name__)

#: Jobs of different packages at work at the same time.
AT_ONCE = 4


class Roots(Protocol):
    """Fetches package roots before a job's turn came."""

    def expect(self, root: bytes, job: str) -> None:
        """Have this one come, if it is not here."""
        ...

    def forget(self, root: bytes) -> None:
        """Whoever still needs it waits for it himself."""
        ...


class Jobs:
    """Takes orders and runs jobs.

    Args:
        db: the agent's journal.
        me: who this node is.
        steps: performs the steps.
        reporter: tells the parent.
        now_ms: the clock.
        watch: see `Run`.
        on_ended: called after each job.
        roots: fetches package roots beforehand.
    """

    def __init__(
        self,
        *,
        db: Database,
        me: Identity,
        steps: Performer,
        reporter: Reporter,
        now_ms: Callable[[], int],
        watch: Watch = _unwatched,
        on_ended: Callable[[], None] = lambda: None,
        roots: Roots | None = None,
    ) -> None:
        self._db = db
        self._me = me
        self._steps = steps
        self._reporter = reporter
        self._clock = now_ms
        self._watch = watch
        self._on_ended = on_ended
        self._roots = roots
        self._signed_time = 0
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None
        self._runs: dict[tuple[str, int], Run] = {}
        self._lanes: dict[str, list[Run]] = {}
        self._accepting = asyncio.Lock()
        self.idle = asyncio.Event()
        self.idle.set()

    def now_ms(self) -> int:
        """The clock, but never before the greatest time that the region signed to us."""
        return max(self._clock(), self._signed_time)

    async def run(self, started: asyncio.Event | None = None) -> None:
        """Take up what is open, then work until cancelled; `started` is set when orders may come."""
        self._signed_time = await self._db.read(lambda connection: journal.counter(connection, journal.TIME))
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for job in await self._db.read(journal.unreported):
                await self._reporter.repeat(job)
            for job in await self._db.read(journal.open_jobs):
                self._start(job, recovered=True)
            if started is not None:
                started.set()
            while True:
                now = self.now_ms()
                await self._db.write(lambda connection, now=now: journal.prune_jobs(connection, now))  # type: ignore[misc]
                await asyncio.sleep(3600)

    async def on_order(self, peer: str, envelope: Envelope) -> None:
        """Handler of `order.v1`.

        Raises:
            ProtocolError: not the region's, not for us, or not readable: no effect at all.
        """
        del peer
        bundle = body_of(envelope, OrderBundle)
        order = open_bundle(bundle, self._me)
        async with self._accepting:
            verdict, job = await self._db.write(lambda connection: self._enter(connection, order, envelope.cause))
            self._signed_time = max(self._signed_time, order.issued)
        log.info("order", job=order.job, revision=order.revision, type=order.type, verdict=type(verdict).__name__)
        if job is None:
            return
        if isinstance(verdict, Accepted):
            if self._roots is not None and order.type == o.INSTALL and not bundle.offers:
                self._roots.expect(order.root, order.job)
            self._start(job, recovered=False)
        elif isinstance(verdict, Refused):
            await self._reporter.final(job, verdict.outcome)
        elif job.seq:
            await self._reporter.repeat(job)

    def _enter(self, connection: sqlite3.Connection, order: Order, cause: str) -> tuple[Verdict, Job | None]:
        """Judge and journal in one transaction."""
        seen = Seen(
            journal.counter(connection, journal.EPOCH),
            journal.counter(connection, journal.TIME),
            journal.newest_revision(connection, order.job),
        )
        now = self._clock()
        verdict = judge(order, seen, now_ms=now)
        if isinstance(verdict, Repeated):
            return verdict, journal.job_at(connection, order.job, order.revision)
        if not isinstance(verdict, (Accepted, Refused)):
            return verdict, None
        if isinstance(verdict, Accepted):
            journal.raise_counter(connection, journal.EPOCH, order.epoch)
            journal.raise_counter(connection, journal.TIME, order.issued)
        job = Job(
            *(order.job, order.revision, order.type, order.package, order.version, order.package_revision),
            *(order.root, order.issued, order.expires, cause, "ordered", now),
            snapshot=_first_snapshot(order.type, verdict),
        )
        return verdict, journal.add_job(connection, job)

    # -- lanes -------------------------------------------------------------------------------------------

    def _start(self, job: Job, *, recovered: bool) -> None:
        if self._tasks is None:
            raise RuntimeError("orders before run()")
        self.idle.clear()
        if job.type == o.CANCEL:
            self._tasks.create_task(self._cancel(job))
            return
        if job.snapshot.outcome is not None and job.snapshot.step is Step.END:
            # Refused when it came, or over but for its receipt.
            self._tasks.create_task(self._end(job, job.snapshot.outcome))
            return
        run = Run(
            job,
            recovered=recovered,
            db=self._db,
            steps=self._steps,
            reporter=self._reporter,
            now_ms=self.now_ms,
            watch=self._watch,
        )
        self._runs[job.job, job.revision] = run
        lane = self._lanes.setdefault(job.package, [])
        lane.append(run)
        self._tasks.create_task(self._live(run))
        if len(lane) == 1:
            self._tasks.create_task(self._give_turn(run))

    async def _give_turn(self, run: Run) -> None:
        """Wait for a place among the jobs at work; whoever ended while waiting gives it back."""
        async with self._slots:
            run.put(TurnCame())
            await run.ended.wait()

    async def _live(self, run: Run) -> None:
        job = run.job
        try:
            await run.go()
        finally:
            self._runs.pop((job.job, job.revision), None)
            if self._roots is not None:
                self._roots.forget(job.root)
            lane = self._lanes[job.package]
            was_first = lane[0] is run
            lane.remove(run)
            if not lane:
                del self._lanes[job.package]
            elif was_first and self._tasks is not None and run.ended.is_set():
                self._tasks.create_task(self._give_turn(lane[0]))
            self._on_ended()
            self._rest()

    def _rest(self) -> None:
        if not self._runs:
            self.idle.set()

    # -- cancels and refusals ------------------------------------------------------------------------------

    async def _cancel(self, cancel: Job) -> None:
        running = [
            run for (job, revision), run in self._runs.items() if job == cancel.job and revision < cancel.revision
        ]
        for run in running:
            run.put(CancelAsked())
        for run in running:
            await run.ended.wait()
        earlier = await self._db.read(lambda connection: journal.revisions(connection, cancel.job))
        ended = [job for job in earlier if job.revision < cancel.revision and job.finished]
        outcome = Outcome("cancelled", "cancel.unknown", "The job had not come here.")
        if ended:
            last = ended[-1]
            outcome = Outcome(last.state, last.code, last.detail)
            if last.state != "cancelled":
                outcome = replace(
                    outcome, code="cancel.late", detail=f"It had ended before: {last.state} {last.code}".strip()
                )
            cancel = replace(cancel, started=last.started, programs=last.programs, package=last.package)
            cancel = replace(cancel, version=last.version, root=last.root)
        await self._reporter.final(cancel, outcome)
        self._rest()

    async def _end(self, job: Job, outcome: Outcome) -> None:
        await self._reporter.final(job, outcome)
        self._rest()


def _first_snapshot(type_: str, verdict: Verdict) -> Snapshot:
    """What is refused is journaled as ended: a crash before its receipt must not bring it to life."""
    if isinstance(verdict, Refused):
        return Snapshot(type_, Step.END, outcome=verdict.outcome)
    return Snapshot(type_)


def describe(job: Job) -> dict[str, object]:
    """A job as the control socket shows it."""
    return {
        "job": job.job,
        "revision": job.revision,
        "type": job.type,
        "package": job.package,
        "version": job.version,
        "root": job.root.hex(),
        "state": job.state,
        "code": job.code,
        "detail": job.detail,
        "step": "" if job.finished else STATE_OF.get(job.snapshot.step, Step.END.value),
        "done": job.done,
        "total": job.total,
        "seq": job.seq,
        "issued": job.issued,
        "expires": job.expires,
        "started": job.started,
        "finished": job.finished,
        "reported": job.reported,
        "programs": [
            {"argv": p.argv, "exit": p.exit, "timed_out": p.timed_out, "seconds": p.seconds, "output": p.output}
            for p in job.programs
        ],
    }
