"""What the agent tells its parent about its jobs (docs/on-the-endpoint.md).

Rules
- Every record carries the node's next number, committed before it is sent: of two records the higher is the truth.
- Why a job waits is told at once, another change of state a moment later: what lasted no longer is passed over.
  Progress goes once a second at most, and is worthless after a minute. Neither is told while the parent has not
  acknowledged what it was told before: one that is behind gets the newest only, and is put no further behind.
- An order for many is told of more seldom: ten thousand machines that each say twice what they are about to do say
  nothing that their ends, seconds later, do not say better.
- A final record carries the signed receipt.  It counts as reported when it is in the outbox, which repeats it until the
  parent acknowledged it; a crash between the two sends it twice, which changes nothing.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import msgspec

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.install import Outcome
from tiercast_endpoint.jobs.journal import Job
from tiercast_protocol.content.jobs.receipt import Receipt, sign_receipt
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.database import Database, Unit
from tiercast_protocol.wire.messages import Message, Status

#: Seconds between two records of progress, and of state.
EVERY_S = 1.0
#: Seconds that a change of state waits for the next one; at most, and for each machine that the order is for.
MOMENT_S, LONGEST_S, SHARE_S = 0.25, 20.0, 0.002
_PROGRESS_LIFE_MS = 60_000


def pauses_for(crowd: int) -> tuple[float, float]:
    """Seconds before the first word of an order's way, and between two, where it is for so many machines."""
    first = min(max(MOMENT_S, SHARE_S * crowd), LONGEST_S)
    return first, max(EVERY_S, first)


class Sender(Protocol):
    """The reliable way to a neighbour (`Post`)."""

    async def send(
        self,
        peer: str,
        message: Message,
        *,
        to: str = "",
        cause: str = "",
        expires: int = 0,
        also: Unit[None] | None = None,
    ) -> bytes:
        """Put the message into the outbox, and what belongs to it where it belongs."""
        ...

    def unanswered(self, peer: str) -> bool:
        """Whether it was sent something that it has not acknowledged."""
        ...


class Reporter:
    """Tells the parent.

    Args:
        db: the agent's journal.
        post: the outbox.
        parent: gives the present parent's name.
        me: this node's name, of this generation.
        generation: of this node's key.
        key: signs receipts.
        now_ms: the clock.
        changed: told of every job whose state was written down.
        owner: what the owner chose of a job, as its records carry it.
    """

    def __init__(
        self,
        *,
        db: Database,
        post: Sender,
        parent: Callable[[], str],
        me: str,
        generation: int,
        key: PrivateKey,
        now_ms: Callable[[], int],
        changed: Callable[[Job], None] = lambda _job: None,
        owner: Callable[[Job], str] = lambda _job: "",
    ) -> None:
        self._db = db
        self._post = post
        self._parent = parent
        self._me = me
        self._generation = generation
        self._key = key
        self._now_ms, self._changed, self._owner = now_ms, changed, owner

    def behind(self) -> bool:
        """Whether the parent has yet to acknowledge what it was told."""
        return self._post.unanswered(self._parent())

    async def note(self, job: Job, state: str, code: str = "", detail: str = "", also: Unit[None] | None = None) -> Job:
        """Write down that the job is in `state` now, and what it waits for; `tell` is for the caller to call.

        What belongs to it is written in the same transaction (`also`), here and in `final`.
        """
        job = replace(job, state=state, code=code, detail=detail, at=self._now_ms(), done=0, total=0)
        job = await self._db.write(_after(also, lambda connection: journal.save_status(connection, job)))
        self._changed(job)
        return job

    async def tell(self, job: Job) -> None:
        """Tell what was written down of it last."""
        await self._send(job)

    async def progress(self, job: Job, done: int, total: int) -> Job:
        """Tell how far the present step is."""
        job = replace(job, at=self._now_ms(), done=done, total=total)
        job = await self._db.write(lambda connection: journal.save_status(connection, job))
        await self._send(job, expires=job.at + _PROGRESS_LIFE_MS)
        return job

    async def final(self, job: Job, outcome: Outcome, also: Unit[None] | None = None) -> Job:
        """Sign the receipt, write it down, tell it; done before the crash, it is told again, unchanged."""
        now = self._now_ms()
        ended = replace(job, state=outcome.state, code=outcome.code, detail=outcome.detail, at=now, finished=now)
        # Bytes of an interrupted step say nothing about the outcome.
        ended = replace(ended, done=0, total=0)
        ended = await self._db.write(_after(also, lambda connection: journal.save_final(connection, ended, self._sign)))
        self._changed(ended)
        await self.repeat(ended)
        return ended

    async def repeat(self, job: Job) -> None:
        """Tell again what is known of the job."""
        if job.finished:
            await self._send(job, also=lambda connection: journal.set_reported(connection, job.n))
        else:
            await self._send(job)

    async def retell(self) -> None:
        """Tell another parent all that still matters: what the one before was told may be lost with it."""
        for job in await self._db.read(lambda connection: journal.answerable(connection, self._now_ms())):
            await self.repeat(job)

    async def _send(self, job: Job, *, expires: int = 0, also: Unit[None] | None = None) -> None:
        record = job.record(self._me)
        if owner := self._owner(job):
            record = msgspec.structs.replace(record, owner=owner)
        said = Status(records=[record])
        await self._post.send(self._parent(), said, cause=job.cause, expires=expires, also=also)

    def _sign(self, job: Job) -> tuple[bytes, bytes]:
        receipt = Receipt(
            job=job.job,
            revision=job.told_revision,
            attempt=job.snapshot.attempt,
            seq=job.seq,
            node=self._me,
            generation=self._generation,
            state=job.state,
            code=job.code,
            detail=job.detail,
            started=job.started,
            finished=job.finished,
            package=job.package,
            version=job.version,
            root=job.root,
            programs=list(job.programs),
            actions=list(job.actions),
        )
        return sign_receipt(receipt, self._key)


def _after(first: Unit[None] | None, then: Unit[Job]) -> Unit[Job]:
    """Both, in one transaction."""

    def unit(connection: sqlite3.Connection) -> Job:
        if first is not None:
            first(connection)
        return then(connection)

    return unit


def _never() -> bool:
    return False


class Soon:
    """Does something a moment after it was asked for, once for all who asked meanwhile, and at most once a while.

    While `busy()` it is put off, a moment at a time, but not for longer than `LONGEST_S`.
    """

    def __init__(
        self,
        act: Callable[[], object],
        first_s: float = MOMENT_S,
        every_s: float = EVERY_S,
        *,
        busy: Callable[[], bool] = _never,
    ) -> None:
        self._act = act
        self._busy = busy
        self._first_s, self._every_s = first_s, every_s
        self._last = -math.inf
        self._put_off_until: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Ask for it."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            due = max(self._last + self._every_s, loop.time() + self._first_s)
            self._timer = loop.call_at(due, self._turn)

    def stop(self) -> None:
        """It is not needed any more, or was done otherwise."""
        self._put_off_until = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        if self._put_off_until is None:
            self._put_off_until = loop.time() + LONGEST_S
        if self._busy() and loop.time() < self._put_off_until:
            self._timer = loop.call_later(self._first_s, self._turn)
            return
        self._put_off_until = None
        self._last = loop.time()
        self._act()


class Progress:
    """Thins the progress of one job: the newest figures a moment after the first, then once per `every_s`."""

    def __init__(
        self,
        tell: Callable[[int, int], object],
        first_s: float = MOMENT_S,
        every_s: float = EVERY_S,
        *,
        busy: Callable[[], bool] = _never,
    ) -> None:
        self._tell = tell
        self._newest: tuple[int, int] | None = None
        self._soon = Soon(self._turn, first_s, every_s, busy=busy)

    def __call__(self, done: int, total: int) -> None:
        """Take figures; they are told with the next turn."""
        self._newest = (done, total)
        self._soon()

    def stop(self) -> None:
        """What was not told by now is not told: a step that took a moment says nothing but its end."""
        self._soon.stop()
        self._newest = None

    def _turn(self) -> None:
        if self._newest is not None:
            newest, self._newest = self._newest, None
            self._tell(*newest)
