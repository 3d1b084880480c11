"""What tests of plans need: steps, plans at a region in memory, and the ends of their jobs."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import jobs
from tiercast_server.jobs.verbs import JobVerbs
from tiercast_server.plans.checks import read_steps
from tiercast_server.plans.plans import Plans


def step(name: str, *after: str, on_failure: str = "stop", per: str = "all", **job: Any) -> dict[str, Any]:
    args = {"type": "restart", "targets": ["pc1"], **job}
    return {"name": name, "after": list(after), "on_failure": on_failure, "per": per, "job": args}


def plans_of(world: Any) -> Plans:
    return Plans(world.jobs, world.changes, JobVerbs(world.jobs, world.view))


async def run(plans: Plans, *steps: dict[str, Any]) -> str:
    return (await plans.run("night", "n", read_steps(steps), "ann")).id


async def states(plans: Plans, plan: str) -> dict[str, str]:
    found = await plans.view.show(plan)
    return {one["step"]: one["state"] for one in found["steps"]} | {"plan": found["state"]}


async def end(world: Any, plans: Plans, plan: str, name: str, state: str = "done") -> None:
    """The job of the step ends everywhere, and the plan goes on."""
    await world.handover.drain()
    (job,) = [one["job"] for one in (await plans.view.show(plan))["steps"] if one["step"] == name]
    shown = await world.view.show(job)
    await world.intake.take([world.record(job, one["node"], state) for one in shown["targets"]])
    await plans.go_on()


async def every_job(world: Any) -> list[str]:
    async with world.region.db.read() as connection:
        return list((await connection.execute(select(jobs.c.id).order_by(jobs.c.number))).scalars())


async def refused(work: Any, code: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        await work
    assert caught.value.code == code, caught.value
    return caught.value


async def jobs_of(plans: Plans, plan: str) -> dict[str, str]:
    return {one["step"]: one["job"] for one in (await plans.view.show(plan))["steps"]}


async def said(world: Any, job: str, **states: str) -> None:
    """What these machines signed for the job."""
    await world.handover.drain()
    await world.intake.take([world.record(job, node, state) for node, state in states.items()])


async def targets_of(world: Any, job: str) -> set[str]:
    return {one["node"] for one in (await world.view.show(job))["targets"]}
