"""Activity plans at work: what `plan_life` commands becomes jobs, and the ends of jobs become its events.

Rules
- A plan is checked whole, each step as if its job were ordered, before anything of it is written.
- A step's state and its job are written in one transaction: a kill at any moment leaves no step twice, and none half.
- Everything that a plan knows stands in its rows; after a restart it is looked at again, and goes on.
- A step that can't begin when its time has come (its group is empty by then) has failed, with the reason.
- A step for each machine by itself is one job: made for the first machines that may begin, and given the others as they
  come, an order for those alone each time.  It waits for absent machines so long as what comes before it does, and its
  own time besides.
- One plan moves at a time (`_turn`), so that what gateways were asked before a transaction holds in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.transfer.overlap import Limit
from tiercast_server import site_intake
from tiercast_server.changes import Changes
from tiercast_server.jobs import life as job_life
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.checks import MAX_EXPIRY_S, Request, check_count, check_targets, checked
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.jobs.requests import Kept, check_folder
from tiercast_server.jobs.transfer_checks import check_possible
from tiercast_server.nodes.nodes import Node
from tiercast_server.packages.packages import find_sealed
from tiercast_server.plans import rows as plan_rows
from tiercast_server.plans.checks import Planned, Timed, check_all_times, of_step
from tiercast_server.plans.life import (
    Begun,
    CancelAsked,
    CancelJob,
    Close,
    Event,
    MachinesReady,
    PlanLife,
    Settle,
    Start,
    StepEnded,
    SuspendAsked,
)
from tiercast_server.plans.machines import PlanMachines
from tiercast_server.plans.rows import PlanRow
from tiercast_server.plans.targets import check_meant
from tiercast_server.plans.view import PLANS, PlanView
from tiercast_server.targeting import Picked

_LOOK_S = 60.0
#: Plans with steps for each machine are looked at after every change of their jobs, but not more often than this, and
#: not more than this share of the time.
_PAUSE_S, _SHARE = 0.2, 0.2


class Creating(Protocol):
    """Reads requests and knows what is to be asked before a job is made (`JobVerbs`)."""

    def request(self, call: Call) -> Request:
        """The request in a call's arguments."""
        ...

    async def prepare(self, request: Request) -> list[list[Limit]]:
        """Ask the gateways on the way; the limits of the ways."""
        ...

    async def ordered(self, job: str) -> None:
        """The job was made."""
        ...


@dataclass(slots=True)
class _Prepared:
    """What was found out before the transaction in which steps begin, by step."""

    requests: dict[str, Request] = field(default_factory=dict)
    ways: dict[str, Sequence[Sequence[Limit]]] = field(default_factory=dict)
    refused: dict[str, UsageError] = field(default_factory=dict)
    #: Machines that may begin a step for each by itself.
    due: dict[str, frozenset[str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Moved:
    """What became of a transaction: jobs that were made and changed; whether it is to be looked at again."""

    made: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    again: bool = False


class Plans:
    """The region's plans."""

    def __init__(self, jobs: Jobs, changes: Changes, creating: Creating) -> None:
        self._jobs, self._changes, self._creating = jobs, changes, creating
        self.region = self._region = jobs.region
        self._targeting = jobs.targeting
        self.view = PlanView(self._region, changes)
        self._machines = PlanMachines(self._region, self._targeting, self._request)
        self._turn = asyncio.Lock()

    async def check(self, steps: Sequence[Planned], by: str) -> list[dict[str, Any]]:
        """Look at every step as if its job were ordered: {step, type, targets} each.

        Raises:
            UsageError: as `Jobs.create`, and plan.*; the first mistake, with the number of steps that have one.
        """
        found: list[dict[str, Any]] = []
        timed: list[Timed] = []
        wrong: list[UsageError] = []
        known: dict[tuple[str, str], Picked] = {}
        meant: dict[str, frozenset[str]] = {}
        for planned in steps:
            try:
                names, one = await self._check_step(planned, by, known)
            except UsageError as error:
                wrong.append(of_step(error, planned.step.name))
                continue
            timed.append(one)
            meant[planned.step.name] = names
            found.append({"step": planned.step.name, "type": one.type, "targets": len(names)})
        if wrong:
            more = "".join(f"\n  {error.what}" for error in wrong[1:])
            raise replace(wrong[0], what=wrong[0].what + more)
        check_meant([planned.step for planned in steps], meant)
        check_all_times(timed, self._region.clock())
        return found

    async def _check_step(
        self, planned: Planned, by: str, known: dict[tuple[str, str], Picked]
    ) -> tuple[frozenset[str], Timed]:
        """Its targets now, and its times; `known` is who is meant by what, for most steps mean the same."""
        request = self._request(planned.args, by)
        options = checked(request)
        check_folder(request.kept.folder)
        kind = jobtypes.of(request.type)
        async with self._targeting.lock, self._region.db.read() as connection:
            meant = (str(request.meant), kind.role)
            if meant not in known:
                known[meant] = await self._targeting.pick(connection, request.meant, kind.role)
            picked = known[meant]
            check_targets(request, picked)
            package = await find_sealed(connection, request.package) if kind.package else None
            if package is not None:
                await self._jobs.check_package(connection, request, package)
        size = package.stored_bytes if package is not None and kind.content else 0
        if kind.content:
            check_possible(options, size=size, now=self._region.clock() / 1000, left=request.expires_s)
        check_count(request, len(picked.nodes), self._jobs.confirm_above)
        await self._creating.prepare(request)
        names = frozenset(node.name for node in picked.nodes)
        return names, Timed(planned, request.type, options, request.expires_s, size)

    async def run(self, name: str, note: str, steps: Sequence[Planned], by: str) -> PlanRow:
        """Accept a plan, and begin what waits for nothing.

        Raises:
            UsageError: as `check`; then nothing of it is there.
        """
        await self.check(steps, by)
        first = _Prepared()
        args = {planned.step.name: planned.args for planned in steps}
        for command in PlanLife(tuple(planned.step for planned in steps)).handle(Begun(), now=0):
            if isinstance(command, Start):
                await self._prepare(first, command.step, args[command.step], by)
        async with self._turn:
            async with self._targeting.lock, self._region.db.write() as connection:
                plan = await plan_rows.add(connection, name, note, steps, by=by, now=self._region.clock())
                moved = await self._move(connection, plan, [Begun()], first, strict=True)
            await self._told(plan.id, moved)
        async with self._region.db.read() as connection:
            return await plan_rows.get(connection, plan.id)

    async def cancel(self, name: str) -> dict[str, Any]:
        """Begin nothing more of a plan, and cancel the jobs of it that are open.

        Raises:
            UsageError: plan.unknown or plan.closed.
        """
        plan, moved = await self._asked(name, CancelAsked())
        return {"plan": plan.id, "again": plan.cancelling, "jobs": moved.changed}

    async def suspend(self, name: str, *, on: bool) -> dict[str, Any]:
        """Begin nothing of a plan from now on, on no further machine either, or go on; its open jobs go on as they are.

        Raises:
            UsageError: plan.unknown or plan.closed.
        """
        plan, _ = await self._asked(name, SuspendAsked(on))
        if not on:
            await self.go_on([plan.id])
        return {"plan": plan.id, "again": plan.suspended == on}

    async def _asked(self, name: str, event: Event) -> tuple[PlanRow, _Moved]:
        """Tell a plan that runs what a person asked for; the plan as it was before."""
        async with self._turn:
            async with self._targeting.lock, self._region.db.write() as connection:
                plan = await plan_rows.get(connection, name)
                if plan.state != "running":
                    todo = f"`tiercast plan show {plan.id}` shows what became of it. Nothing was done."
                    raise UsageError("plan.closed", f"The plan {plan.id} has ended: {plan.state}.", todo=todo)
                if plan.cancelling and isinstance(event, SuspendAsked):
                    what = f"The plan {plan.id} is being cancelled: nothing more of it begins."
                    raise UsageError("plan.closed", what, todo=f"`tiercast why {plan.id}` says what it waits for.")
                moved = await self._move(connection, plan, [event], _Prepared())
            await self._told(plan.id, moved)
        return plan, moved

    async def follow(self) -> None:
        """For ever: go on with plans as the jobs of their steps end."""
        await self.go_on()
        while True:
            seen = {PLANS: self._changes.count(PLANS)}
            async with self._region.db.read() as connection:
                waited = await plan_rows.open_steps(connection)
            seen |= {job: self._changes.count(job) for job in waited}
            # what ended before it was counted is seen here: nothing is lost between two looks
            async with self._region.db.read() as connection:
                ended = await plan_rows.with_ended_steps(connection)
                machines = await plan_rows.by_machine(connection)
            began = asyncio.get_running_loop().time()
            await self.go_on(list(dict.fromkeys([*ended, *machines])))
            if not ended:
                await self._changes.wait_any(seen, timeout=_LOOK_S)
            if machines:
                await asyncio.sleep(max(_PAUSE_S, (asyncio.get_running_loop().time() - began) / _SHARE))

    async def go_on(self, plans: Sequence[str] | None = None) -> None:
        """Take these plans, or all that run, as far as they go now."""
        if plans is None:
            async with self._region.db.read() as connection:
                plans = await plan_rows.running(connection)
        for name in plans:
            while await self._go_on(name):
                pass

    async def _go_on(self, name: str) -> bool:
        """One round of one plan; whether there is to be another."""
        async with self._turn:
            async with self._region.db.read() as connection:
                plan = await plan_rows.get(connection, name)
                life, now, prepared = plan.life(), self._region.clock(), _Prepared()
                if any(map(life.by_machine, life.steps)):
                    prepared.due = await self._machines.due(connection, plan, prepared.refused)
                states = await plan_rows.job_states(connection, plan)
            # What has machines to begin has not ended, whatever came of those that did.
            ended = [StepEnded(step, well=state == "done") for step, state in states.items() if state != "open"]
            events: list[Event] = [*(event for event in ended if event.step not in prepared.due), Begun()]
            commands = [command for event in events for command in life.handle(event, now=now)]
            if plan.suspended:
                prepared.due.clear()
            for step in prepared.due.keys() - prepared.refused.keys():
                if plan.named(step).job:
                    continue
                await self._prepare(prepared, step, plan.named(step).request, plan.created_by)
            if not commands and not prepared.due:
                return False
            for command in commands:
                if isinstance(command, Start):
                    await self._prepare(prepared, command.step, plan.named(command.step).request, plan.created_by)
            async with self._targeting.lock, self._region.db.write() as connection:
                moved = await self._move(connection, plan, events, prepared)
            await self._told(plan.id, moved)
            return moved.again

    async def _prepare(self, prepared: _Prepared, step: str, args: Mapping[str, Any], by: str) -> None:
        try:
            request = prepared.requests[step] = self._request(args, by)
            prepared.ways[step] = await self._creating.prepare(request)
        except UsageError as error:
            prepared.refused[step] = error

    async def _move(
        self,
        connection: AsyncConnection,
        plan: PlanRow,
        events: Sequence[Event],
        prepared: _Prepared,
        *,
        strict: bool = False,
    ) -> _Moved:
        """Tell the plan's machine, and do what it commands; `strict`: what can't begin is raised."""
        life, now, moved = plan.life(), self._region.clock(), _Moved()
        picked = await self._pick_due(connection, plan, prepared)
        moved.changed += await self._machines.give(connection, plan, picked)
        ready = [MachinesReady(step) for step, nodes in picked.items() if not plan.named(step).job]
        for command in [command for event in [*ready, *events] for command in life.handle(event, now=now)]:
            match command:
                case Start(step):
                    try:
                        values = {
                            "state": "running",
                            "job": await self._start(connection, plan, step, prepared, picked),
                        }
                        moved.made.append(values["job"])
                    except UsageError as error:
                        if strict:
                            raise of_step(error, step) from error
                        # The machine hears of it in the next round, out of the row, as it would after a restart.
                        values = {"state": "failed", "code": error.code[:64], "detail": error.what}
                        moved.again = True
                    await plan_rows.set_step(connection, plan, step, since=now, **values)
                case Settle(step, state):
                    await plan_rows.set_step(connection, plan, step, state=state, since=now)
                case CancelJob(step):
                    moved.changed += await self._cancel(connection, plan.named(step).job)
                case Close(state):
                    await plan_rows.set_plan(connection, plan, state=state, ended=now)
        if (life.cancelling, life.suspended) != (plan.cancelling, plan.suspended):
            await plan_rows.set_plan(connection, plan, cancelling=life.cancelling, suspended=life.suspended)
        return moved

    async def _pick_due(
        self, connection: AsyncConnection, plan: PlanRow, prepared: _Prepared
    ) -> dict[str, Sequence[Node]]:
        """Those who were found to be due and still are meant, by step; nobody for a step that is refused."""
        picked: dict[str, Sequence[Node]] = {}
        for step, due in prepared.due.items():
            try:
                nodes = [] if step in prepared.refused else await self._machines.pick(connection, plan, step, due)
            except UsageError as error:
                prepared.refused[step], nodes = error, []
            if nodes or step in prepared.refused:
                picked[step] = nodes
        return picked

    async def _start(
        self,
        connection: AsyncConnection,
        plan: PlanRow,
        step: str,
        prepared: _Prepared,
        due: Mapping[str, Sequence[Node]],
    ) -> str:
        if step in prepared.refused:
            raise prepared.refused[step]
        request = prepared.requests[step]
        options = checked(request)
        if step in due:
            picked = Picked(list(due[step]))
            longer = int(await self._machines.last_expiry(connection, plan, step))
            expires_s = min(request.expires_s + longer, MAX_EXPIRY_S)
            # How many it is for in all was confirmed when the plan was accepted.
            request = replace(request, follow=False, confirm=len(picked.nodes), expires_s=expires_s)
        else:
            picked = await self._targeting.pick(connection, request.meant, jobtypes.of(request.type).role)
        check_targets(request, picked)
        async with connection.begin_nested():  # a step that can't begin leaves nothing of what it needs
            made = await self._jobs.place_all(connection, request, options, picked, prepared.ways[step])
        return str(made["job"])

    async def _cancel(self, connection: AsyncConnection, name: str) -> list[str]:
        job = await job_rows.find(connection, name)
        if job is None or job.state != "open":
            return []
        if job.follows:
            await job_rows.unfollow(connection, job.id)
            await site_intake.end(self._region, connection, job.id)
        await job_rows.advance(self._region, connection, job, job_life.CancelAsked())
        return [name]

    async def _told(self, plan: str, moved: _Moved) -> None:
        self._jobs.told(*moved.made, *moved.changed)
        self._changes.touch(PLANS, plan)
        for job in moved.made:
            await self._creating.ordered(job)

    def _request(self, args: Mapping[str, Any], by: str) -> Request:
        peer = Peer(pid=0, uid=0, gid=0)
        call = Call(verb="job.create", args=dict(args), peer=peer, role="operator", user=by, cause="plan")
        kept = Kept(call.args, call.text("folder", ""))
        return replace(self._creating.request(call), kept=kept)
