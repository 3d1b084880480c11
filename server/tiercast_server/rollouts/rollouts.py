"""Rollouts: what administrators do with them, and what their jobs do to them.

Rules
- The machine (`rollout_life`) decides out of what the database holds; its state and the jobs of the wave that it begins
  are one transaction, so a kill leaves both or neither, and the next start looks again.
- Everything that can be known to be wrong is refused before the first wave; what makes a later wave impossible
  pauses the rollout and says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.package import phases
from tiercast_protocol.errors import UsageError
from tiercast_server import group_windows
from tiercast_server.changes import Changes
from tiercast_server.desired.guard import check_assigned
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.checks import Request, check_conflict, check_count, check_targets, checked
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.jobs.life import CancelAsked
from tiercast_server.jobs.time_checks import Plan, check_times
from tiercast_server.packages import dependencies
from tiercast_server.packages.packages import find_sealed
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts import sites as rollout_sites
from tiercast_server.rollouts.life import (
    FINAL,
    CancelJobs,
    Command,
    Counted,
    End,
    Event,
    Refused,
    RolloutLife,
    Rules,
    Said,
    StartWave,
    WakeAt,
)
from tiercast_server.rollouts.rows import Member, Rollout
from tiercast_server.rollouts.wave_orders import order_wave
from tiercast_server.rollouts.waves import parse, shared
from tiercast_server.targeting import shown

_LOOK_S = 60.0
#: Receipts come in crowds: they are counted once for all that come within this.
_PACE_S = 0.2


@dataclass(slots=True)
class Outcome:
    """What came of telling a machine: the jobs that were made or changed, and when to look again.

    `forth` are those of `made` that bring something new; who goes back finds it below, and needs no patch.
    """

    made: list[str] = field(default_factory=list)
    forth: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    wake: int | None = None


class Rollouts:
    """The region's rollouts."""

    def __init__(self, region: Region, jobs: Jobs, changes: Changes) -> None:
        self._region, self._jobs, self._changes = region, jobs, changes

    async def start(self, request: Request, texts: Sequence[str], rules: Rules) -> dict[str, Any]:
        """Begin a rollout of `request` in the waves `texts`: {rollout, waves, job}; a dry run shows who is in which.

        Raises:
            UsageError: wave.*, rollout.conflict, and what `Jobs.create` says of a job that can't be.
        """
        waves = parse(texts)
        options = checked(request)
        phases.check_one_phase(options)
        targeting = self._jobs.targeting
        async with targeting.lock:
            async with self._region.db.read() as connection:
                picked = await targeting.pick(connection, request.meant, "endpoint")
                parts = [await targeting.pick(connection, wave.who, "endpoint") for wave in waves]
            check_targets(request, picked)
            meant = [
                None if wave.who is None else {node.name for node in part.nodes}
                for wave, part in zip(waves, parts, strict=True)
            ]
            async with self._region.db.write() as connection:
                number = await rollout_rows.next_number(connection)
                id_ = name_of(self._region.name, number)
                nodes = {node.name: node for node in picked.nodes}
                found = shared(waves, nodes, meant, id_)
                package = await find_sealed(connection, request.package)
                await self._jobs.check_package(connection, request, package)
                for need in await dependencies.needs(connection, request, list(nodes)):
                    needed = f"{need.package.reference}/{need.package.revision}"
                    await self._jobs.check_package(connection, request, await find_sealed(connection, needed))
                await check_conflict(connection, "install", package.name, picked.nodes)
                await check_assigned(connection, targeting, "install", package.name, package.version, picked.nodes)
                await rollout_rows.check_apart(connection, package.name, nodes)
                now = self._region.clock()
                expires = now + request.expires_s * 1000
                check_times(Plan("install", options, now / 1000, expires / 1000, package.stored_bytes))
                span = (now / 1000, expires / 1000)
                await group_windows.check_targets(connection, "install", options, nodes, span)
                if request.dry_run:
                    whole = shown(picked, confirm=len(nodes) > self._jobs.confirm_above)
                    rows = [
                        {"wave": n + 1, "text": wave.text}
                        | shown(replace(picked, nodes=[nodes[name] for name in names]), confirm=False)
                        for n, (wave, names) in enumerate(zip(waves, found, strict=True))
                    ]
                    return whole | {"waves": rows, "package": package.name, "version": package.version}
                check_count(request, len(nodes), self._jobs.confirm_above)
                one = Rollout(
                    id=id_,
                    number=number,
                    undoes="",
                    state="running",
                    said="",
                    rules=rules,
                    texts=tuple(wave.text for wave in waves),
                    begun=0,
                    reached=0,
                    word=False,
                    package=package.name,
                    version=package.version,
                    package_revision=package.revision,
                    target=str(request.meant),
                    options=options,
                    note=request.note,
                    created_by=request.by,
                    created=now,
                    expires=expires,
                    ended=None,
                )
                members = [
                    Member(name, n, package.version, package.revision)
                    for n, names in enumerate(found)
                    for name in names
                ]
                done = await self.begin(connection, one, members)
        self.told(one.id, done)
        return {"rollout": id_, "waves": [len(names) for names in found], "jobs": done.made}

    async def begin(self, connection: AsyncConnection, one: Rollout, members: list[Member]) -> Outcome:
        """Write a new rollout and order its first wave.

        Raises:
            UsageError: the first wave can't be.
        """
        await rollout_rows.put(connection, one, members)
        return await self._advance(connection, one, first=True)

    async def cancel(self, connection: AsyncConnection, rollout: str) -> Outcome | None:
        """`say` "cancel" in the caller's transaction; None where there is nothing to cancel."""
        one = next((one for one in await rollout_rows.still_open(connection) if one.id == rollout), None)
        return None if one is None else await self._advance(connection, one, Said("cancel"))

    async def say(self, rollout: str, word: Literal["next", "pause", "resume", "cancel"]) -> dict[str, Any]:
        """A person's word about a rollout: {rollout, state, jobs}.

        Raises:
            UsageError: rollout.unknown, rollout.ended or rollout.last.
        """
        async with self._region.db.write() as connection:
            one = await rollout_rows.get(connection, rollout)
            rollout_rows.check_open(one, word)
            if word == "next" and one.begun == len(one.texts):
                raise UsageError(
                    code="rollout.last",
                    what=f"All {one.begun} waves of {one.id} have begun.",
                    todo=f"`tiercast rollout show {one.id}` shows how far they are.",
                )
            if word == "resume":
                await rollout_sites.open_again(self._region, connection, one)
            done = await self._advance(connection, one, Said(word))
            after = await rollout_rows.get(connection, one.id)
        self.told(one.id, done)
        said = {"rollout": one.id, "state": after.state, "begun": after.begun, "said": after.said}
        return said | {"jobs": done.made, "undoes": one.undoes}

    async def look(self) -> Outcome:
        """Count what came of every open rollout and do what follows."""
        whole = Outcome()
        async with self._region.db.read() as connection:
            open_now = await rollout_rows.still_open(connection)
            idle = {one.id: await self._idle(connection, one) for one in open_now}
        for one in open_now:
            if (wake := idle[one.id]) is not None:
                whole.wake = wake if whole.wake is None else min(whole.wake, wake)
                continue
            async with self._region.db.write() as connection:
                fresh = await rollout_rows.get(connection, one.id)
                done = await self._advance(connection, fresh)
            if done.made or done.touched:
                self.told(one.id, done)
            whole.made += done.made
            whole.forth += done.forth
            if done.wake is not None:
                whole.wake = done.wake if whole.wake is None else min(whole.wake, done.wake)
        return whole

    async def run(self, ordered: Callable[[str], Awaitable[None]]) -> None:
        """For ever: look whenever a job changed or a moment came; `ordered` hears of each new job."""
        while True:
            seen = self._changes.touches()
            done = await self.look()
            for job in done.forth:
                await ordered(job)
            left = _LOOK_S if done.wake is None else (done.wake - self._region.clock()) / 1000
            await self._changes.wait_touch(seen, timeout=min(max(left, _PACE_S), _LOOK_S))
            await asyncio.sleep(_PACE_S)

    def told(self, rollout: str, done: Outcome) -> None:
        """After a commit."""
        self._jobs.told(*done.made, *done.touched)
        self._changes.touch(rollout)

    async def _idle(self, connection: AsyncConnection, one: Rollout) -> int | None:
        """When to look again, where nothing is to be done now: so that counting alone takes no writer's turn."""
        life = one.life()
        commands = await self._count(connection, one, life, self._region.clock())
        if (life.state, life.begun, life.reached, life.word) != (one.state, one.begun, one.reached, one.word):
            return None
        if not commands:
            return self._region.clock() + int(_LOOK_S * 1000)
        first = commands[0]
        return first.at if isinstance(first, WakeAt) and len(commands) == 1 else None

    async def _advance(self, connection: AsyncConnection, one: Rollout, *events: Event, first: bool = False) -> Outcome:
        now = self._region.clock()
        life, done, said = one.life(), Outcome(), one.said
        queue: list[Command] = await self._count(connection, one, life, now, *events)
        if life.state == "running" and events:
            said = ""
        while queue:
            match queue.pop(0):
                case StartWave(wave):
                    said = await self._begin_wave(connection, one, wave, done, first=first and wave == 0)
                    queue += life.handle(Refused(), now=now) if said else await self._count(connection, one, life, now)
                case CancelJobs():
                    said = broke(life) if life.state == "stopping" else ""
                    done.touched += await self._cancel_jobs(connection, one)
                    queue += await self._count(connection, one, life, now)
                case WakeAt(at):
                    done.wake = at
                case End():
                    done.touched.append(one.id)
        before = (one.state, one.begun, one.reached, one.word, one.said)
        if before != (life.state, life.begun, life.reached, life.word, said):
            ended = now if life.state in FINAL else None
            await rollout_rows.keep(connection, one.id, life, said=said, ended=ended)
        return done

    async def _begin_wave(
        self, connection: AsyncConnection, one: Rollout, wave: int, done: Outcome, *, first: bool
    ) -> str:
        """Order a wave; why it can't be, or ""."""
        try:
            fresh = await order_wave(self._region, connection, one, wave)
            done.made += fresh
            done.forth += [] if one.undoes else fresh
        except UsageError as error:
            if first:
                raise
            return f"wave {wave + 1} could not begin: {error.what}"
        return ""

    async def _count(
        self, connection: AsyncConnection, one: Rollout, life: RolloutLife, now: int, *events: Event
    ) -> list[Command]:
        counts = rollout_rows.counted(await rollout_rows.states(connection, one.id), life.begun)
        if not events:
            return life.handle(Counted(counts), now=now)
        life.counts = counts
        return [command for event in events for command in life.handle(event, now=now)]

    async def _cancel_jobs(self, connection: AsyncConnection, one: Rollout) -> list[str]:
        touched: list[str] = []
        for name in await rollout_rows.jobs_of(connection, one.id):
            job = await job_rows.find(connection, name)
            if job is not None and job.state == "open" and not job.cancelling:
                await job_rows.advance(self._region, connection, job, CancelAsked())
                touched.append(name)
        return touched


def name_of(region: str, number: int) -> str:
    """The id of a rollout; its waves hang on it, so a dry run knows it before."""
    return f"r{number}-{blake2b(f'{region} {number}'.encode(), digest_size=2).hexdigest()}"


def broke(life: RolloutLife) -> str:
    """Why the breaker opened."""
    bad, total = sum(one.bad for one in life.counts), sum(one.total for one in life.counts)
    return f"{bad} of {total} targets failed; it stops at {life.rules.stop}"
