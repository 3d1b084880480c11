"""One open job as an actor: events in, one at a time; what the machine commands is done in order.

Rules
- `Record` is committed before the next command is looked at; what it says of it, or how it ended, is committed with it.
- A step runs in a task of its own, so that a cancel or the order's expiry can be heard meanwhile.
- Progress travels through the same queue as everything else: one writer per job.
- A job that rests has given its turn back (`Turns`); the clock is looked at often meanwhile, for it may be set.
- A disk too full for the journal holds the job where it is, until there is room; nothing goes on unrecorded.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import structlog

from tiercast_endpoint.facts.checking import Checking
from tiercast_endpoint.facts.judging import LOOK_S, Judge, NoJudge
from tiercast_endpoint.jobs import install as i
from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.gate import Gate
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.processes import first_running
from tiercast_endpoint.jobs.reports import Progress, Reporter, Soon, pauses_for
from tiercast_endpoint.threads import in_thread
from tiercast_protocol.content.jobs.reason import Reason
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.database import Database, Unit
from tiercast_protocol.node.files import ROOM_AGAIN_S

log = structlog.get_logger(__name__)

#: The clock is looked at so often while an order's expiry is far away: it may be set meanwhile.
_LOOK_S = 600.0
#: And so often while a job waits for a time.
_REST_LOOK_S = 15.0
#: And so often for programs that are to be ended first.
_PROGRAMS_LOOK_S = 5.0


class Performer(Protocol):
    """Performs steps (`Steps`)."""

    async def perform(self, job: Job, step: i.Step, tell: Callable[[int, int], None]) -> tuple[Job, i.Event]:
        """Perform one step; returns the job's new row and what happened."""
        ...


class Turns(Protocol):
    """Who may work when (`turns.Lanes`)."""

    def seek(self, run: Run) -> None:
        """Give it a turn (`TurnCame`); asking twice is asking once."""
        ...

    async def install(self, run: Run) -> None:
        """All of it is here: until nobody else of its package installs."""
        ...

    def leave(self, run: Run) -> None:
        """It needs its turn no more; others go on."""
        ...


@dataclass(frozen=True, slots=True)
class _Answered:
    job: Job
    event: i.Event


@dataclass(frozen=True, slots=True)
class _Progressed:
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class _Further:
    """An order of this revision, journaled already, says how far it is to go."""

    revision: int
    step: str


@dataclass(frozen=True, slots=True)
class _Said:
    """What was written down of its state is to be told now."""


#: What goes back, or has been done, is tried until there is room.
_FINISHING = frozenset({i.Step.REVERT, i.Step.UNDO, i.Step.SETTLE, i.Step.DELETE})
T = TypeVar("T")


#: Called before each journaled step and after it: the crash tests stop the process there.
Watch = Callable[[str, i.Step], Awaitable[None]]


async def _unwatched(_moment: str, _step: i.Step) -> None:
    return


class Run:
    """Runs one job to its end.

    Args:
        job: the row, new or recovered.
        recovered: whether an earlier life of the daemon worked on it.
        now_ms: the clock, never before the greatest signed time.
        gate: the job's times on this machine.
        turns: who may work when.
        watch: told the moments "recorded", "performing" and "performed".
        held: why the parent has it wait; None where it does not.
        judge: says what the machine's facts and its owner let it do.
        checks: asks packages' own checks; none where it is None.
        crowd: how many machines the order is for.
    """

    def __init__(
        self,
        job: Job,
        *,
        recovered: bool,
        db: Database,
        steps: Performer,
        reporter: Reporter,
        now_ms: Callable[[], int],
        gate: Gate,
        turns: Turns,
        watch: Watch = _unwatched,
        held: Reason | None = None,
        judge: Judge | None = None,
        checks: Checking | None = None,
        crowd: int = 1,
    ) -> None:
        self.job = job
        self._judge, self._checks = judge or NoJudge(), checks
        self.ended = asyncio.Event()
        #: Set when it rests or has ended; cleared by who wants to know.
        self.calm = asyncio.Event()
        #: Set when the present turn is over; made anew by who gives turns.
        self.turn_over = asyncio.Event()
        #: Whether the turn is its own: one that was given and left again may still be among the events.
        self.has_turn = False
        self._recovered = recovered
        self._db = db
        self._steps = steps
        self._reporter = reporter
        self._now_ms = now_ms
        self._watch = watch
        self._turns = turns
        self._machine = i.Install(job.snapshot, gate, held)
        self._rests_until: int | None = None
        #: Since when it is at its step (milliseconds since 1970), and whether the journal lacks room.
        self.since = now_ms()
        self.no_room = False
        self._events: asyncio.Queue[i.Event | _Answered | _Progressed | _Said | _Further] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        first_s, every_s = pauses_for(crowd)
        self._progress = Progress(
            lambda done, total: self._events.put_nowait(_Progressed(done, total)),
            *(first_s, every_s),
            busy=reporter.behind,
        )
        self._telling = Soon(lambda: self._events.put_nowait(_Said()), first_s, every_s, busy=reporter.behind)

    @property
    def runs_program(self) -> bool:
        """Whether it is at a step that may not be begun again."""
        return self._machine.snapshot.step in {*i.PROGRAMS, i.Step.APPLY, i.Step.REVERT, i.Step.TAKE}

    @property
    def step(self) -> i.Step:
        """What it is at."""
        return self._machine.snapshot.step

    def waits(self) -> bool:
        """Whether it waits for something besides its turn."""
        return self._machine.wait(self._now_ms()) is not None

    def gate_changed(self, gate: Gate) -> None:
        """Its times are others than they were: what waits looks again."""
        self._machine.gate = replace(gate, observed_s=self._machine.gate.observed_s)
        self.put(i.TimeCame())

    def go_further(self, revision: int, step: str) -> None:
        """The job is ordered, by this revision, to go so far (one of `phases.STEPS`)."""
        self._events.put_nowait(_Further(revision, step))

    def put(self, event: i.Event) -> None:
        """Let the machine handle `event` when it comes to it."""
        self._events.put_nowait(event)

    async def go(self) -> None:
        """Until the job is over.  Cancelled, it stops where it is: the journal knows."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._look_back()
                if self._recovered:
                    await self._handle(i.Recovered(), tasks)
                    if self.job.ordered and not self.ended.is_set():
                        await self._handle(i.StepOrdered(self.job.ordered), tasks)
                else:
                    await self._note(i.STATE_OF[i.Step.WAIT])
                    await self._handle(i.TimeCame(), tasks)
                while not self.ended.is_set():
                    await self._take(await self._next(), tasks)
        finally:
            self._progress.stop()
            self._telling.stop()

    async def _note(self, state: str, code: str = "", detail: str = "") -> None:
        """Write down what it is at; why it waits is told at once, else soon, with what there is by then."""
        self.job = await self._with_room(lambda: self._reporter.note(self.job, state, code, detail))
        await self._say(code)

    async def _say(self, code: str) -> None:
        if code:
            self._telling.stop()
            await self._with_room(lambda: self._reporter.tell(self.job))
        else:
            self._telling()

    async def _see_programs(self) -> None:
        """Tell the machine whether a program runs during which it is not to be installed."""
        if names := self._machine.gate.times.unless:
            app = await in_thread(first_running, names)
            self._machine.handle(i.Running(app), now=self._now_ms())

    async def _look_back(self) -> None:
        """How long the package's programs took here before: what does not end in its window does not begin."""
        gate = self._machine.gate
        if gate.openings and not gate.times.max_duration_s:
            seconds = await self._db.read(lambda connection: journal.observed_s(connection, self.job.package))
            self._machine.gate = replace(gate, observed_s=seconds)

    async def _with_room(self, write: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                done = await write()
            except StoreFull as error:
                await self._without_room(str(error))
            else:
                self.no_room = False
                return done

    async def _without_room(self, detail: str) -> None:
        log.warning("no room to go on", job=self.job.job, detail=detail)
        self.no_room = True
        await asyncio.sleep(ROOM_AGAIN_S)

    async def _next(self) -> i.Event | _Answered | _Progressed | _Said | _Further:
        while True:
            now = self._now_ms()
            left = (self.job.expires - now) / 1000
            if left <= 0 and self._machine.heeds_expiry:
                return i.OrderExpired()
            look = min(max(left, 0.0), _LOOK_S) or _LOOK_S
            if (ends := self._machine.sending_ends) is not None:
                if ends <= now:
                    return i.SendingLate()
                look = min(look, (ends - now) / 1000, _REST_LOOK_S)
            if (until := self._rests_until) is not None:
                if 0 < until <= now:
                    self._rests_until = None
                    return i.TimeCame()
                look = min(look, _REST_LOOK_S, (until - now) / 1000 if until else self._often())
            with suppress(TimeoutError):
                async with asyncio.timeout(look):
                    return await self._events.get()
            if self._rests_until == 0 and (self._machine.gate.times.unless or self._judge.looks(self.job)):
                return i.TimeCame()

    def _often(self) -> float:
        """Seconds between two looks at what no clock frees."""
        return _PROGRAMS_LOOK_S if self._machine.gate.times.unless else LOOK_S

    async def _take(
        self, event: i.Event | _Answered | _Progressed | _Said | _Further, tasks: asyncio.TaskGroup
    ) -> None:
        if isinstance(event, _Said):
            with suppress(StoreFull):
                await self._reporter.tell(self.job)
        elif isinstance(event, _Progressed):
            if self._task is not None:
                self._telling.stop()
                with suppress(StoreFull):
                    self.job = await self._reporter.progress(self.job, event.done, event.total)
        elif isinstance(event, _Further):
            self.job = replace(self.job, answers=event.revision, ordered=event.step)
            await self._handle(i.StepOrdered(event.step), tasks)
        elif isinstance(event, _Answered):
            self._task = None
            self._progress.stop()
            # What the reporter wrote meanwhile is newer than what the step started with.
            told = self.job
            self.job = replace(event.job, seq=told.seq, state=told.state, at=told.at, done=told.done, total=told.total)
            self.job = replace(self.job, answers=told.answers, ordered=told.ordered)
            await self._handle(event.event, tasks)
        else:
            await self._handle(event, tasks)

    async def _handle(self, event: i.Event, tasks: asyncio.TaskGroup) -> None:
        if isinstance(event, i.TurnCame) and not self.has_turn:
            return
        await self._see_programs()
        judged = await self._judge.judge(self.job)
        if self._checks is not None and self._checks.begins(self.job, event):
            self.job, judged = await self._checks.ask(self.job, judged, self._now_ms())
        commands = self._machine.handle(judged, now=self._now_ms())
        # What ends it leaves nothing to do for what came; a late answer says nothing any more.
        left = deque(commands or self._machine.handle(event, now=self._now_ms()))
        while left:
            command = left.popleft()
            if isinstance(command, i.Record):
                follows = isinstance(left[0], i.Tell | i.Finish) if left else False
                await self._record(command.snapshot, left.popleft() if follows else None)
            else:
                await self._act(command, tasks)

    async def _act(self, command: i.Command, tasks: asyncio.TaskGroup) -> None:
        match command:
            case i.Tell(state, code, detail):
                await self._note(state, code, detail)
                self._log_state()
            case i.Rest(until):
                self._rests_until = until
                self.calm.set()
                self._turns.leave(self)
            case i.Seek():
                self._rests_until = None
                self._turns.seek(self)
            case i.Abort():
                await self._abort()
            case i.Perform(step):
                self.since = self._now_ms()
                self._task = tasks.create_task(self._perform(step))
            case i.Finish(outcome):
                await self._finish(outcome)

    async def _record(self, snapshot: i.Snapshot, then: i.Command | None) -> None:
        """Write down the machine's state, and in the same transaction what it says of it or how it ended."""
        job = replace(self.job, snapshot=snapshot, started=self.job.started or self._now_ms())

        def save(connection: sqlite3.Connection) -> None:
            journal.save_step(connection, job)

        self.job = job
        if isinstance(then, i.Tell):
            told = then
            self.job = await self._with_room(
                lambda: self._reporter.note(job, told.state, told.code, told.detail, also=save)
            )
        elif not isinstance(then, i.Finish):
            await self._with_room(lambda: self._db.write(save))
        await self._watch("recorded", snapshot.step)
        if isinstance(then, i.Finish):
            await self._finish(then.outcome, save)
        elif isinstance(then, i.Tell):
            await self._say(then.code)
            self._log_state()

    async def _finish(self, outcome: i.Outcome, also: Unit[None] | None = None) -> None:
        self._telling.stop()
        job = self.job = await self._with_room(lambda: self._reporter.final(self.job, outcome, also))
        log.info("job ended", job=job.job, package=job.package, state=job.state, code=job.code, detail=job.detail)
        self.ended.set()
        self.calm.set()

    def _log_state(self) -> None:
        job = self.job
        log.info("job state", job=job.job, package=job.package, state=job.state, code=job.code)

    async def _perform(self, step: i.Step) -> None:
        await self._watch("performing", step)
        job, event = await self._steps.perform(self.job, step, self._progress)
        while step in _FINISHING and isinstance(event, i.StepFailed) and event.code == "disk.full":
            await self._without_room(event.detail)
            job, event = await self._steps.perform(job, step, self._progress)
        self.no_room = False
        await self._watch("performed", step)
        if i.prepared(event):
            await self._turns.install(self)
        self._events.put_nowait(_Answered(job, event))

    async def _abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        self._progress.stop()
