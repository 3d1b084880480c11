"""Plans and their steps as rows.

Rules
- Everything here runs inside the caller's transaction: what the machine decided and the job that follows from it are
  written together or not at all.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire import codec
from tiercast_server.database.plan_tables import plan_steps, plans
from tiercast_server.database.tables import jobs, targets
from tiercast_server.jobs.requests import about
from tiercast_server.plans.checks import Planned
from tiercast_server.plans.life import PlanLife, PlanState, Step, StepState
from tiercast_server.plans.targets import Ends

_DIGITS = 18


@dataclass(frozen=True, slots=True)
class StepRow:
    """One row of plan_steps; `since` in milliseconds since 1970."""

    step: Step
    state: StepState
    since: int
    job: str
    code: str
    detail: str
    request: dict[str, Any]

    def shown(self) -> dict[str, Any]:
        """As `plan.show` gives it."""
        return {
            "step": self.step.name,
            "after": list(self.step.after),
            "on_failure": self.step.on_failure,
            "per": "target" if self.step.per_target else "all",
            "type": str(self.request.get("type", "")),
            "about": about(self.request),
            "state": self.state,
            "since": self.since,
            "job": self.job,
            "code": self.code,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One row of plans, with its steps."""

    id: str
    number: int
    name: str
    note: str
    state: PlanState
    cancelling: bool
    suspended: bool
    created_by: str
    created: int
    ended: int | None
    steps: tuple[StepRow, ...]

    def life(self) -> PlanLife:
        """The machine as it stands."""
        states: dict[str, StepState] = {row.step.name: row.state for row in self.steps}
        steps = tuple(row.step for row in self.steps)
        return PlanLife(steps, states, state=self.state, cancelling=self.cancelling, suspended=self.suspended)

    def named(self, step: str) -> StepRow:
        """The step of that name, which must be there."""
        return next(row for row in self.steps if row.step.name == step)

    @property
    def shown_state(self) -> str:
        """Its state as people see it."""
        if self.state != "running" or not (self.cancelling or self.suspended):
            return self.state
        return "cancelling" if self.cancelling else "suspended"

    def shown(self) -> dict[str, Any]:
        """As `plan.show` and `plan.list` give it, without its steps."""
        return {
            "plan": self.id,
            "name": self.name,
            "note": self.note,
            "state": self.shown_state,
            "by": self.created_by,
            "created": self.created,
            "ended": self.ended or 0,
        }


async def add(
    connection: AsyncConnection, name: str, note: str, steps: Sequence[Planned], *, by: str, now: int
) -> PlanRow:
    """Write a new plan of which nothing has begun."""
    number = int((await connection.execute(select(func.max(plans.c.number)))).scalar() or 0) + 1
    plan = f"p{number}-{secrets.token_hex(2)}"
    values = {"id": plan, "number": number, "name": name, "note": note, "created_by": by, "created": now}
    await connection.execute(insert(plans).values(**values, state="running", cancelling=False, suspended=False))
    rows = [
        {
            "plan": plan,
            "position": position,
            "name": one.step.name,
            "after": codec.encode(list(one.step.after)),
            "on_failure": one.step.on_failure,
            "per_target": one.step.per_target,
            "state": "waiting",
            "since": now,
            "job": "",
            "code": "",
            "detail": "",
            "request": codec.encode(one.args),
        }
        for position, one in enumerate(steps)
    ]
    await connection.execute(insert(plan_steps), rows)
    return await get(connection, plan)


async def get(connection: AsyncConnection, plan: str) -> PlanRow:
    """The plan `plan`; its number alone will do.

    Raises:
        UsageError: plan.unknown.
    """
    which = plans.c.id == plan
    digits = plan.removeprefix("p")
    if digits.isdecimal() and len(digits) <= _DIGITS:
        which |= plans.c.number == int(digits)
    row = (await connection.execute(select(plans).where(which))).mappings().first()
    if row is None:
        todo = "`tiercast plan list` shows all plans. Nothing was done."
        raise UsageError("plan.unknown", f"There is no plan {plan[:60]!r}.", todo=todo)
    query = select(plan_steps).where(plan_steps.c.plan == row["id"]).order_by(plan_steps.c.position)
    return _plan(row, [_step(one) for one in (await connection.execute(query)).mappings()])


async def running(connection: AsyncConnection) -> list[str]:
    """Ids of the plans that have not ended, oldest first."""
    query = select(plans.c.id).where(plans.c.state == "running").order_by(plans.c.number)
    return list((await connection.execute(query)).scalars())


async def newest(connection: AsyncConnection, limit: int) -> list[dict[str, Any]]:
    """The newest plans, newest first, with how many steps are in which state."""
    query = select(plans).order_by(plans.c.number.desc()).limit(limit)
    found = [_plan(row, []) for row in (await connection.execute(query)).mappings()]
    counted = select(plan_steps.c.plan, plan_steps.c.state, func.count().label("n"))
    counted = counted.where(plan_steps.c.plan.in_([plan.id for plan in found]))
    counts: dict[str, dict[str, int]] = {plan.id: {} for plan in found}
    for row in await connection.execute(counted.group_by(plan_steps.c.plan, plan_steps.c.state)):
        counts[row.plan][row.state] = row.n
    return [plan.shown() | {"steps": counts[plan.id]} for plan in found]


async def job_states(connection: AsyncConnection, plan: PlanRow) -> dict[str, str]:
    """States of the jobs of its running steps, by step; "" for one that is gone."""
    wanted = {row.job: row.step.name for row in plan.steps if row.state == "running"}
    if not wanted:
        return {}
    query = select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(wanted))
    found = {row.id: row.state for row in await connection.execute(query)}
    return {step: str(found.get(job, "")) for job, step in wanted.items()}


async def ends(connection: AsyncConnection, plan: PlanRow) -> dict[str, Ends]:
    """How the targets of its steps ended, by step; of every step that has a job."""
    steps = {row.job: row.step.name for row in plan.steps if row.job}
    found: dict[str, tuple[set[str], set[str], set[str]]] = {name: (set(), set(), set()) for name in steps.values()}
    query = select(targets.c.job, targets.c.node, targets.c.state).where(targets.c.job.in_(steps))
    for row in await connection.execute(query):
        every, well, bad = found[steps[row.job]]
        every.add(row.node)
        if STATES[row.state]:
            (well if row.state == "done" else bad).add(row.node)
    return {name: Ends(*map(frozenset, sets)) for name, sets in found.items()}


async def open_steps(connection: AsyncConnection) -> list[str]:
    """The jobs of all steps that run."""
    query = select(plan_steps.c.job).where(plan_steps.c.state == "running")
    return list((await connection.execute(query)).scalars())


async def with_ended_steps(connection: AsyncConnection) -> list[str]:
    """The plans with a step for all that runs, and whose job has ended, or is gone."""
    both = plan_steps.outerjoin(jobs, jobs.c.id == plan_steps.c.job)
    over = jobs.c.id.is_(None) | (jobs.c.state != "open")
    query = (
        select(plan_steps.c.plan)
        .select_from(both)
        .where(plan_steps.c.state == "running", plan_steps.c.per_target.is_(False), over)
    )
    return list((await connection.execute(query.distinct())).scalars())


async def by_machine(connection: AsyncConnection) -> list[str]:
    """The plans that run, with a step for each machine by itself that has not ended."""
    still = plan_steps.c.per_target & plan_steps.c.state.in_(("waiting", "running"))
    query = select(plans.c.id).join(plan_steps, plan_steps.c.plan == plans.c.id)
    query = query.where(plans.c.state == "running", still).distinct()
    return list((await connection.execute(query)).scalars())


async def check_unused(connection: AsyncConnection, job: str) -> None:
    """Refuse to forget a job of which a plan still counts the targets.

    Raises:
        UsageError: job.plan.
    """
    query = select(plans.c.id).join(plan_steps, plan_steps.c.plan == plans.c.id)
    if user := (await connection.execute(query.where(plan_steps.c.job == job, plans.c.state == "running"))).scalar():
        raise UsageError(
            code="job.plan",
            what=f"The plan {user} still counts what came of {job}.",
            todo=f"`tiercast plan cancel {user}` first, or wait until it has ended.",
        )


async def forget(connection: AsyncConnection, plan: str) -> None:
    """Nothing is kept of the plan with this id; its jobs are jobs like any other."""
    await connection.execute(delete(plan_steps).where(plan_steps.c.plan == plan))
    await connection.execute(delete(plans).where(plans.c.id == plan))


async def set_step(connection: AsyncConnection, plan: PlanRow, step: str, **values: Any) -> None:
    """Change the row of a step."""
    which = (plan_steps.c.plan == plan.id) & (plan_steps.c.name == step)
    await connection.execute(update(plan_steps).where(which).values(**values))


async def set_plan(connection: AsyncConnection, plan: PlanRow, **values: Any) -> None:
    """Change the row of a plan."""
    await connection.execute(update(plans).where(plans.c.id == plan.id).values(**values))


def _plan(row: RowMapping, steps: Sequence[StepRow]) -> PlanRow:
    return PlanRow(
        id=row["id"],
        number=row["number"],
        name=row["name"],
        note=row["note"],
        state=row["state"],
        cancelling=row["cancelling"],
        suspended=row["suspended"],
        created_by=row["created_by"],
        created=row["created"],
        ended=row["ended"],
        steps=tuple(steps),
    )


def _step(row: RowMapping) -> StepRow:
    return StepRow(
        step=Step(row["name"], tuple(codec.decode_plain(row["after"])), row["on_failure"], row["per_target"]),
        state=row["state"],
        since=row["since"],
        job=row["job"],
        code=row["code"],
        detail=row["detail"],
        request=codec.decode_plain(row["request"]),
    )
