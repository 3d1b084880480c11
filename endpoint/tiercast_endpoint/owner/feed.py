"""What changes on this machine, for whoever watches: a desktop, or the owner's own program (docs/on-the-endpoint.md).

Rules
- One event per change of a job's state or reason, per message, and per choice of the owner; never one per percent.
- An event is plain fields with words beside them: who shows it needs to know no code.
- Who does not read loses the oldest and is told how many: nobody holds up the agent, and what is now can be asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.owner.choices import Choice
from tiercast_protocol.content.jobs.reason import read, words
from tiercast_protocol.content.jobs.results import RESULTS
from tiercast_protocol.content.jobs.waiting import KINDS

Event = dict[str, Any]
OFFERED, WAITING, WORKING, ENDED, MESSAGE, CHOSEN = "offered", "waiting", "working", "ended", "message", "chosen"
#: What an event may be called, in the order in which a job has them.
NAMES = (OFFERED, WAITING, WORKING, ENDED, MESSAGE, CHOSEN)
#: Events that one who does not read may be behind.
MOST = 500


class Watcher:
    """One who watches."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._lost = 0
        self._came = asyncio.Event()

    def put(self, event: Event) -> None:
        """Let him have it, when he reads."""
        if len(self._events) >= MOST:
            self._events.popleft()
            self._lost += 1
        self._events.append(event)
        self._came.set()

    async def next(self) -> Event:
        """The oldest that he has not read; where he lost some, first how many."""
        while not self._events:
            self._came.clear()
            await self._came.wait()
        if self._lost:
            lost, self._lost = self._lost, 0
            return {"event": "lost", "count": lost}
        return self._events.popleft()


class Feed:
    """Tells all who watch; `now_ms` is the clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._watchers: set[Watcher] = set()
        self._last: dict[tuple[str, int], tuple[str, str, str]] = {}

    def job(self, job: Job) -> None:
        """Its state, or why it waits, may be another."""
        said = (job.state, job.code, job.detail if job.code else "")
        if job.finished:
            self._last.pop((job.job, job.revision), None)
        elif self._last.get((job.job, job.revision)) == said:
            return
        else:
            self._last[job.job, job.revision] = said
        self._tell(of_job(job))

    def message(self, job: str, title: str, text: str) -> None:
        """A message of the region was kept."""
        self._tell({"event": MESSAGE, "job": job, "title": title, "says": text})

    def chosen(self, choice: Choice) -> None:
        """The owner chose something of a job, or ("") of all."""
        fields = ("job", "held", "until", "times", "answer", "by")
        said = {name: getattr(choice, name) for name in fields}
        self._tell({"event": CHOSEN, **said, "until": max(0, choice.until)})

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        """One more who watches, from now on."""
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    async def events(self, present: list[Event]) -> AsyncIterator[Event]:
        """What is now, then every change."""
        with self.watching() as watcher:
            for event in present:
                yield {**event, "present": True}
            while True:
                yield await watcher.next()

    def _tell(self, event: Event) -> None:
        stamped = {"at": self._now_ms(), **event}
        for watcher in self._watchers:
            watcher.put(stamped)


def of_job(job: Job) -> Event:
    """What there is to say of a job now."""
    return {
        "event": _name(job),
        "job": job.job,
        "type": job.type,
        "package": job.package,
        "version": job.version,
        "state": job.state,
        "code": job.code,
        "says": says(job),
    }


def says(job: Job) -> str:
    """Its state in words: why it waits, or how it ended."""
    if job.finished:
        known = RESULTS.get(job.code)
        return job.detail or (known.means if known is not None else "")
    return words(read(job.code, job.detail)) if job.code in KINDS else job.detail


def _name(job: Job) -> str:
    if job.finished:
        return ENDED
    if job.code == "offer.open":
        return OFFERED
    return WAITING if job.code in KINDS or job.snapshot.step is Step.WAIT else WORKING
