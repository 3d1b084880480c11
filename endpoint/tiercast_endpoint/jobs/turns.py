"""Who may prepare and who may install, when: two lanes per package.

Rules
- The lane of a package is in order of arrival: one prepares at a time; what needs no preparing (a removal) comes after
  all that arrived before it, so that the order that came last stands.
- Installations (removals among them) of one package have a lane of their own, one at a time: in order of when they
  could begin.  So what is prepared and whose time has come never waits for somebody else's long way here.
- Who prepares keeps its place in the first lane until it rests or has ended, and joins the second when all is here.
- A few of different packages prepare at a time, and as many again install; jobs about no package wait for their own
  kind only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any, Protocol

from tiercast_endpoint.jobs.install import INSTALL, RESTING, Step, TurnCame
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.run import Run
from tiercast_endpoint.jobs.story import PREPARING

#: Jobs of different packages at work at the same time; as many again that install what is prepared, so that a window
#: is not missed for somebody's long way here.
AT_ONCE = 4
#: Who rests here needs no more preparing.
PREPARED = frozenset({Step.HOLD, Step.STAND})


class Spawn(Protocol):
    """Starts a task that lives as long as the jobs do."""

    def __call__(self, work: Coroutine[Any, Any, None], /) -> object:
        """Begin `work`."""
        ...


class Lane:
    """Runs in order; each has an event that is set while it is the first."""

    def __init__(self) -> None:
        self._all: list[tuple[Run, asyncio.Event]] = []

    def __contains__(self, run: Run) -> bool:
        return any(one is run for one, _ in self._all)

    def __bool__(self) -> bool:
        return bool(self._all)

    def join(self, run: Run) -> asyncio.Event:
        """Stand at the end, once; the event is set when all before it have left."""
        for one, first in self._all:
            if one is run:
                return first
        first = asyncio.Event()
        self._all.append((run, first))
        self._all[0][1].set()
        return first

    def leave(self, run: Run) -> None:
        """Stand there no more; whoever waits for that place hears of it."""
        for one, first in self._all:
            if one is run:
                first.set()
        self._all = [pair for pair in self._all if pair[0] is not run]
        if self._all:
            self._all[0][1].set()


class Lanes:
    """The turns of one agent's jobs (`run.Turns`)."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._preparing, self._installing = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)
        self._arrived: dict[str, Lane] = {}
        self._prepared: dict[str, Lane] = {}

    def seek(self, run: Run) -> None:
        """Give it a turn (`TurnCame`); asking twice is asking once."""
        name = lane_of(run.job)
        if run in self._arrived.get(name, ()) or run in self._prepared.get(name, ()):
            return
        run.turn_over = asyncio.Event()
        first: asyncio.Event | None = None
        if run.step not in PREPARED:
            first = self._arrived.setdefault(name, Lane()).join(run)
        if run.step in PREPARED or run.step not in RESTING | PREPARING:
            # An earlier life of the agent had begun to install it: it goes on at once, and before all others.
            self._prepared.setdefault(name, Lane()).join(run)
        self._spawn(self._give(run, first))

    async def install(self, run: Run) -> None:
        """All of it is here: until nobody else of its package installs."""
        await self._prepared.setdefault(lane_of(run.job), Lane()).join(run).wait()

    def leave(self, run: Run) -> None:
        """It needs its turn no more; others go on."""
        run.turn_over.set()
        run.has_turn = False
        name = lane_of(run.job)
        for lanes in (self._arrived, self._prepared):
            if (lane := lanes.get(name)) is not None:
                lane.leave(run)
                if not lane:
                    del lanes[name]

    async def _give(self, run: Run, first: asyncio.Event | None) -> None:
        """Wait for its place in the lanes, and for one among those at work; who left meanwhile is given nothing."""
        over = run.turn_over
        if first is not None:
            await first.wait()
        prepares = run.job.snapshot.type == INSTALL and run.step not in PREPARED
        if not prepares and not over.is_set():
            await self._prepared.setdefault(lane_of(run.job), Lane()).join(run).wait()
        slots = self._preparing if prepares else self._installing
        async with slots if run.job.package else nullcontext():
            if not over.is_set():
                run.has_turn = True
                run.put(TurnCame())
                await over.wait()


def lane_of(job: Job) -> str:
    """Jobs of one lane wait for each other: those of a package, and those of a type that is about none."""
    return job.package or f":{job.type}"
