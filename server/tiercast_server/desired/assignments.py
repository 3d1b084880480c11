"""Assignments: the region looks what stands where, and has put right what is not as it is to be.

Rules
- The machine (`assignment_life`) decides; what it remembers and the job that it has made are one transaction, so a kill
  leaves both or neither, and the next start looks again.
- A job of an assignment is a job like any other: same checks, same life, in the folder `desired/NAME`.
- A look is made when something changed, and costs at most a tenth of the server's time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import SignatureInvalid, TiercastError, UsageError
from tiercast_protocol.wire.drift import DriftTold
from tiercast_server.changes import Changes
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired import sites as assignment_sites
from tiercast_server.desired.life import Command, Looked, Order, Ordered, Refused, RetryAsked, WakeAt
from tiercast_server.desired.look import Sight, look
from tiercast_server.desired.orders import order
from tiercast_server.desired.rollouts import is_rolled_out, roll_out
from tiercast_server.jobs.checks import Request
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.packages import cabinet_rights
from tiercast_server.packages.packages import find_sealed
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts.rollouts import Rollouts

_log = structlog.get_logger(__name__)
_LOOK_S, _PACE_S = 60.0, 0.2
#: After a look that took so long, nothing is looked at for so many times that.
_REST = 9
_SOON_MS = 5_000


@dataclass(slots=True)
class Outcome:
    """What came of a look: the jobs that were made, and when to look again."""

    made: list[str] = field(default_factory=list)
    wake: int | None = None


class Assignments:
    """The region's assignments; `seen` is what the last look saw, by name, `looked` when that was."""

    def __init__(self, region: Region, jobs: Jobs, changes: Changes, rollouts: Rollouts) -> None:
        self.region, self.jobs, self.rollouts, self._changes = region, jobs, rollouts, changes
        self.seen: dict[str, Sight] = {}
        self.looked = 0

    async def look(self) -> Outcome:
        """See what stands where, and do what follows."""
        region, targeting = self.region, self.jobs.targeting
        async with targeting.lock:
            async with region.db.read() as connection:
                sights = await look(region, targeting, connection)
                untold = await assignment_sites.due(connection, sights)
            idle, wake = self._idle(sights)
            done = Outcome(wake=wake)
            if untold or not idle:
                async with region.db.write() as connection:
                    sights = await look(region, targeting, connection)
                    done = await self._act(connection, sights)
                    await assignment_sites.tell(region, connection, await assignment_sites.due(connection, sights))
        self.seen, self.looked = sights, region.clock()
        if done.made or untold:
            self.jobs.told(*done.made)
        return done

    async def told(self, message: DriftTold) -> None:
        """A gateway says how its children stand."""
        try:
            kept = await assignment_sites.take(self.region, message)
        except SignatureInvalid as error:
            _log.warning("drift refused", gateway=message.node[:80], reason=str(error))
            return
        if not kept:
            _log.info("drift not asked", gateway=message.node[:80], assignment=message.name[:80])

    def _idle(self, sights: dict[str, Sight]) -> tuple[bool, int | None]:
        """Whether nothing is to be written, and when to look again: so that looking alone takes no writer's turn."""
        wakes: list[int] = []
        for sight in sights.values():
            before, said = dict(sight.life.tries), sight.wrong or sight.stopped
            commands = self._tell(sight)
            if before != sight.life.tries or said != sight.kept.said:
                return False, None
            if not all(isinstance(command, WakeAt) for command in commands):
                return False, None
            wakes += [command.at for command in commands if isinstance(command, WakeAt)]
        return True, min(wakes, default=None)

    def _tell(self, sight: Sight) -> list[Command]:
        """Tell the assignment's machine all that was seen."""
        now = self.region.clock()
        for event in sight.ended:
            sight.life.handle(event, now=now)
        return [] if sight.wrong or sight.stopped else sight.life.handle(Looked(sight.machines), now=now)

    async def _act(self, connection: AsyncConnection, sights: dict[str, Sight]) -> Outcome:
        done, wakes = Outcome(), list[int]()
        taken: set[tuple[str, str]] = set()
        for sight in sights.values():
            before = dict(sight.life.tries)
            for command in self._tell(sight):
                match command:
                    case WakeAt(at):
                        wakes.append(at)
                    case Order():
                        wakes += await self._order(connection, sight, command, taken, done)
            await assignment_rows.keep_tries(connection, sight.name, before, sight.life.tries)
            if (said := sight.wrong or sight.stopped) != sight.kept.said:
                await assignment_rows.mark(connection, sight.name, said=said)
        done.wake = min(wakes, default=None)
        return done

    async def _order(
        self, connection: AsyncConnection, sight: Sight, command: Order, taken: set[tuple[str, str]], done: Outcome
    ) -> list[int]:
        """Make a job for those for whom no other assignment just made one; when to look again."""
        now, package = self.region.clock(), sight.rule.package
        nodes = tuple(node for node in command.nodes if (package, node) not in taken)
        if not nodes:
            return []
        wanted, rolled = replace(command, nodes=nodes), is_rolled_out(sight.kept, command.version)
        try:
            async with connection.begin_nested():  # a job that can't be leaves nothing of those before it
                if rolled:
                    job, made = await self._roll_out(connection, sight, wanted)
                else:
                    job, made = await order(self.jobs, connection, sight.kept, wanted)
        except UsageError as error:
            if error.code == "rollout.conflict":  # the one before is being cancelled
                return [now + _SOON_MS]
            _log.warning("assignment not ordered", assignment=sight.name, code=error.code, reason=error.what)
            sight.life.handle(Refused(nodes, error.code, error.what), now=now)
            return [one.again for node in nodes if (one := sight.life.tries[node]).again]
        done.made += made
        if not rolled:
            sight.life.handle(Ordered(job, nodes), now=now)
        taken.update((package, node) for node in nodes)
        for node in nodes:
            sight.machines[node] = replace(sight.machines[node], busy=job)
        _log.info("assignment ordered", assignment=sight.name, job=job, nodes=len(nodes), version=command.version)
        return []

    async def _roll_out(self, connection: AsyncConnection, sight: Sight, wanted: Order) -> tuple[str, list[str]]:
        targeting, reference = self.jobs.targeting, f"{sight.rule.package}={wanted.version}"
        asked = Request(type="install", package=reference, by=sight.kept.created_by, role=cabinet_rights.LATER)
        await self.jobs.check_package(connection, asked, await find_sealed(connection, reference))
        rollout, begun = await roll_out(self.region, self.rollouts, targeting, connection, sight.kept, wanted)
        await assignment_rows.mark(connection, sight.name, rollout=rollout, rolled=wanted.version)
        return rollout, begun.made

    async def retry(self, name: str, nodes: Sequence[str]) -> dict[str, object]:
        """Try again where it failed, on these nodes or on all: {assignment, nodes}.

        Raises:
            UsageError: assignment.unknown or assignment.retry.
        """
        async with self.region.db.write() as connection:
            kept = await assignment_rows.get(connection, name)
            life = (await assignment_rows.lives(connection, [kept]))[kept.name]
            failed = sorted(node for node, one in life.tries.items() if one.failures)
            if strangers := sorted(set(nodes) - set(failed)):
                raise UsageError(
                    code="assignment.retry",
                    what=f"{kept.name} did not fail on {', '.join(strangers[:10])}.",
                    todo=f"`tiercast assignment show {kept.name}` shows where it did. Nothing was done.",
                )
            before = dict(life.tries)
            life.handle(RetryAsked(tuple(nodes)), now=self.region.clock())
            await assignment_rows.keep_tries(connection, kept.name, before, life.tries)
            if kept.rollout and not nodes:
                await assignment_rows.mark(connection, kept.name, rolled="", said="")
                if not any(one.id == kept.rollout for one in await rollout_rows.still_open(connection)):
                    await assignment_rows.mark(connection, kept.name, rollout="")
        self.changed(kept.name)
        return {"assignment": kept.name, "nodes": list(nodes) or failed}

    def changed(self, *names: str) -> None:
        """After a commit: something is to be looked at."""
        self._changes.touch(*(names or ("",)))

    async def run(self, ordered: Callable[[str], Awaitable[None]]) -> None:
        """For ever: look whenever something changed or a moment came; `ordered` hears of each new job."""
        while True:
            seen, began = self._changes.touches(), time.monotonic()
            try:
                done = await self.look()
            except TiercastError as error:  # what an other version wrote, for one: the region goes on without it
                _log.error("assignments not looked at", reason=str(error))
                done = Outcome()
            for job in done.made:
                await ordered(job)
            await asyncio.sleep(max(_PACE_S, _REST * (time.monotonic() - began)))
            left = _LOOK_S if done.wake is None else (done.wake - self.region.clock()) / 1000
            await self._changes.wait_touch(seen, timeout=min(max(left, 0.05), _LOOK_S))
