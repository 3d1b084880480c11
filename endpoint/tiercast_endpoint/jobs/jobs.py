"""All jobs of the agent: orders come in, and each package's jobs take turns (`turns.py`).

Rules
- An order is journaled before it is acknowledged (`intake.py`).
- Opposite orders for one package are both carried out, in the order in which they came: the last one stands.
- Who waits for a time has no turn: others of the package go before it, and it comes after those that are there when its
  time comes.
- The root of what is ordered is asked for as soon as the order is journaled, whatever else is written down first.
- A cancel ends when what it cancels has ended (`cancelling.py`).
- At start every open job goes on where its journal says, and every receipt that may not be in the outbox goes there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

import structlog

from tiercast_endpoint.facts.checking import Checking
from tiercast_endpoint.facts.judging import Judge
from tiercast_endpoint.jobs import cancelling, further, journal
from tiercast_endpoint.jobs.gate import NO_WISH, Gate, Preferred, share_of
from tiercast_endpoint.jobs.group_windows import Windows, read_windows
from tiercast_endpoint.jobs.install import (
    HARMLESS,
    RESTING,
    HeldBack,
    Outcome,
    Step,
    Stopping,
    TimeCame,
)
from tiercast_endpoint.jobs.intake import enter
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.orders import Accepted, Identity, Refused, open_bundle
from tiercast_endpoint.jobs.reports import Reporter
from tiercast_endpoint.jobs.run import Performer, Run, Watch, _unwatched
from tiercast_endpoint.jobs.turns import Lanes
from tiercast_endpoint.owner import choices
from tiercast_endpoint.why import Look
from tiercast_protocol.content.jobs import order as o
from tiercast_protocol.content.jobs import provisos, times
from tiercast_protocol.content.jobs.jobtypes import OFFER, REPAIR
from tiercast_protocol.content.jobs.reason import Reason
from tiercast_protocol.content.jobs.vouching import windows_of
from tiercast_protocol.node.database import Database
from tiercast_protocol.transfer.calendar import Window
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import OrderBundle, body_of

log = structlog.get_logger(__name__)

#: Seconds between two looks whether a program still runs, while a restart waits.
_QUIET_S = 0.2


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
        windows: in which packages may be installed here; none is always.
        held: what the parent holds back.
        groups: the windows of the machine's groups, now.
        judge: says what the machine's facts and its owner let a job do.
        checks: asks packages' own checks.
        wish: at what times its owner prefers a job, as far as that holds for it.
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
        windows: tuple[Window, ...] = (),
        held: Callable[[Mapping[str, object]], Reason | None] = lambda _options: None,
        groups: Callable[[], Windows] = tuple,
        judge: Judge | None = None,
        checks: Checking | None = None,
        wish: Callable[[Job], Preferred] = lambda _job: NO_WISH,
    ) -> None:
        self._db = db
        self._me = me
        self._steps = steps
        self._reporter = reporter
        self._clock = now_ms
        self._watch = watch
        self._on_ended = on_ended
        self._roots, self._windows = roots, windows
        self._held, self._groups, self._judge = held, groups, judge
        self._wish, self._checks = wish, checks
        self._signed_time = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._runs: dict[tuple[str, int], Run] = {}
        self._turns: Lanes | None = None
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
            self._tasks, self._turns = tasks, Lanes(tasks.create_task)
            for job in await self._db.read(journal.unreported):
                await self._reporter.repeat(job)
            # Those at work keep their turn; the others ask for theirs, in order of arrival.
            for job in sorted(await self._db.read(journal.open_jobs), key=lambda job: job.snapshot.step in RESTING):
                self._start(job, recovered=True)
            if started is not None:
                started.set()
            while True:
                now = self.now_ms()
                await self._db.write(lambda connection, now=now: journal.prune_jobs(connection, now))  # type: ignore[misc]
                await self._db.write(choices.prune)
                await asyncio.sleep(3600)

    def changed(self, job: str = "") -> None:
        """What the owner chose (of `job`, or of all) may be another: look again."""
        for run in list(self._runs.values()):
            if job in {"", run.job.job} or run.job.options.get(provisos.WITH_OFFER) == job:
                run.gate_changed(self._gate(run.job))

    def facts_changed(self) -> None:
        """What is installed here, or is to be, may be another: whoever hangs on that looks again."""
        for run in list(self._runs.values()):
            if self._judge is not None and self._judge.looks(run.job):
                run.put(TimeCame())

    def open_job(self, job: str) -> tuple[Job, bool] | None:
        """The open job of this id, and whether it has begun: it can't be put off then."""
        found = [run for (name, _), run in self._runs.items() if name == job]
        return (found[-1].job, found[-1].step not in HARMLESS) if found else None

    def looks(self) -> dict[tuple[str, int], Look]:
        """What the actors say of their jobs, for `why`."""
        return {key: Look(run.since, run.no_room) for key, run in self._runs.items()}

    def held_changed(self) -> None:
        """The parent holds back something else than before."""
        for run in self._runs.values():
            run.put(HeldBack(self._held(run.job.options)))

    async def on_order(self, peer: str, envelope: Envelope) -> None:
        """Handler of `order.v1`.

        Raises:
            ProtocolError: not the region's, not for us, or not readable: no effect at all.
        """
        del peer
        bundle = body_of(envelope, OrderBundle)
        order = open_bundle(bundle, self._me)
        vouched = windows_of(bundle.targets, self._me.name)
        async with self._accepting:
            verdict, job = await self._db.write(
                lambda connection: enter(connection, order, cause=envelope.cause, vouched=vouched, now_ms=self._clock())
            )
            self._signed_time = max(self._signed_time, order.issued)
        log.info("order", job=order.job, revision=order.revision, type=order.type, verdict=type(verdict).__name__)
        if job is None:
            return
        if isinstance(verdict, further.Further):
            if (run := self._runs.get((job.job, job.revision))) is not None:
                run.go_further(job.answers, verdict.step)
        elif isinstance(verdict, Accepted):
            soon = self._gate(job).before_transfer(self.now_ms()) is None
            waits = not soon or provisos.hangs_on(order.type, order.options)
            if self._roots is not None and order.type == o.INSTALL and not bundle.offers and not waits:
                self._roots.expect(order.root, order.job)
            self._start(job, recovered=False, crowd=order.target_count)
            self.facts_changed()
        elif isinstance(verdict, Refused):
            await self._reporter.final(job, verdict.outcome)
        elif job.seq:
            await self._reporter.repeat(job)

    # -- jobs at work --------------------------------------------------------------------------------------

    def _start(self, job: Job, *, recovered: bool, crowd: int = 1) -> None:
        if self._tasks is None or self._turns is None:
            raise RuntimeError("orders before run()")
        self.idle.clear()
        if job.type == o.CANCEL:
            self._tasks.create_task(self._cancel(job, crowd))
            return
        if job.snapshot.outcome is not None and job.snapshot.step is Step.END:
            # Refused when it came, or over but for its receipt.
            self._tasks.create_task(self._end(job, job.snapshot.outcome))
            return
        run = Run(
            job,
            recovered=recovered,
            crowd=crowd,
            db=self._db,
            steps=self._steps,
            reporter=self._reporter,
            now_ms=self.now_ms,
            gate=self._gate(job),
            turns=self._turns,
            watch=self._watch,
            held=self._held(job.options),
            judge=self._judge,
            checks=self._checks,
        )
        self._runs[job.job, job.revision] = run
        if not run.waits():
            self._turns.seek(run)
        self._tasks.create_task(self._live(run))

    def _gate(self, job: Job) -> Gate:
        """The job's times here; the owner's windows are for packages."""
        about = job.type in {o.INSTALL, o.REMOVE, OFFER, REPAIR}
        said, share = times.read(job.options), share_of(self._me.name)
        if not about:
            return Gate(said, job.issued, share)
        groups = (*self._groups(), *read_windows(job.options))
        return Gate(said, job.issued, share, machine=self._windows, groups=groups, preferred=self._wish(job))

    def windows_changed(self) -> None:
        """The windows of the machine's groups are others."""
        for run in self._runs.values():
            run.gate_changed(self._gate(run.job))

    async def stopping(self, limit_s: float) -> None:
        """The agent is being stopped: carry out what waits for that, for so long at most."""
        due = [run for run in self._runs.values() if run.job.options.get(times.INSTALL_WHEN) == times.SHUTDOWN]
        due = [run for run in due if run.step in RESTING]
        for run in due:
            run.calm.clear()
            run.put(Stopping())
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                for run in due:
                    await run.calm.wait()

    async def _live(self, run: Run) -> None:
        job = run.job
        try:
            await run.go()
        finally:
            self._runs.pop((job.job, job.revision), None)
            if self._roots is not None and job.root:
                self._roots.forget(job.root)
            if run.ended.is_set() and self._turns is not None:
                self._turns.leave(run)
            self._on_ended()
            self.facts_changed()
            self._rest()

    def _rest(self) -> None:
        if not self._runs:
            self.idle.set()

    async def quiet(self, but: str = "") -> None:
        """Until no program runs, of jobs `but` this one: a restart would interrupt it, and nobody asked for that."""
        while any(run.runs_program and run.job.job != but for run in self._runs.values()):  # noqa: ASYNC110 - a few looks, once in a long while
            await asyncio.sleep(_QUIET_S)

    # -- cancels and refusals ------------------------------------------------------------------------------

    async def _cancel(self, order: Job, crowd: int) -> None:
        running = [run for (job, revision), run in self._runs.items() if job == order.job and revision < order.revision]
        await cancelling.cancel(order, running, self._db, self._reporter, crowd=crowd)
        self._rest()

    async def _end(self, job: Job, outcome: Outcome) -> None:
        await self._reporter.final(job, outcome)
        self._rest()
