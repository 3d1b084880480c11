"""Steps for each machine by itself at work: machines go on as they come, over restarts, and nobody begins twice."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.server.planning import end, every_job, jobs_of, plans_of, refused, run, said, states, step, targets_of

from tiercast_server.plans.checks import read_steps


async def test_each_machine_goes_on_by_itself_over_restarts(world: Any) -> None:
    every = ["pc1", "pc2", "pc3"]
    for name in every:
        await world.join(name)
    plan = await run(
        plans_of(world),
        step("a", targets=every, on_failure="mend"),
        step("b", "a", per="target", targets=every, expires_s=60),
        step("mend", per="target", targets=every),
        step("c", "b", targets=["pc1"]),
    )
    job = (await jobs_of(plans_of(world), plan))["a"]
    await said(world, job, pc1="done")
    for _ in range(2):  # each time as after a kill
        await plans_of(world).go_on()
    plans = plans_of(world)
    assert await states(plans, plan) == {
        "a": "running",
        "b": "running",
        "mend": "waiting",
        "c": "waiting",
        "plan": "running",
    }
    second = (await jobs_of(plans, plan))["b"]
    assert await targets_of(world, second) == {"pc1"}
    shown = {one["step"]: one for one in (await plans.view.show(plan))["steps"]}
    assert (shown["b"]["per"], shown["b"]["left"], shown["mend"]["left"], "left" in shown["a"]) == (
        "target",
        2,
        2,
        False,
    )
    first, later = await world.view.show(job), await world.view.show(second)
    assert later["expires"] >= first["expires"] + 60_000 - 5_000, "it waits for those who end the first one late"
    await said(world, second, pc1="done")  # its job has ended for now, and the step has not
    await plans.go_on()
    assert (await states(plans, plan))["b"] == "running"
    await said(world, job, pc2="failed", pc3="done")
    await plans.go_on()
    assert await states(plans, plan) == {
        "a": "failed",
        "b": "running",
        "mend": "running",
        "c": "waiting",
        "plan": "running",
    }
    assert await targets_of(world, second) == {"pc1", "pc3"}
    assert await targets_of(world, (await jobs_of(plans, plan))["mend"]) == {"pc2"}
    await world.handover.drain()
    orders = [(order.job, order.revision, order.target_count) for order, _ in world.orders() if order.job == second]
    assert orders == [(second, 1, 1), (second, 2, 1)], "those who were ordered before hear nothing of the others"
    await said(world, second, pc3="done")
    await said(world, (await jobs_of(plans, plan))["mend"], pc2="done")
    await plans.go_on()
    await end(world, plans, plan, "c")
    ended = await states(plans, plan)
    assert ended == {"a": "failed", "b": "done", "mend": "done", "c": "done", "plan": "failed"}
    assert len(await every_job(world)) == 4


async def test_a_step_for_each_machine_is_for_those_that_come_to_it(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    await world.join("pc2")
    wrong = read_steps([step("a"), step("b", "a", per="target", targets=["pc1", "pc2"])])
    error = await refused(plans.check(wrong, "ann"), "plan.targets")
    assert "1 of its 2 targets are none of 'a', which it comes after: pc2" in error.what
    await world.groups.add("g", ["pc1", "pc2"])
    both = ["pc1", "pc2"]
    each = step("b", "a", per="target", targets=[], groups=["g"])
    plan = await run(plans, step("a", targets=both), each)
    gone = await run(plans, step("a", targets=both), each)
    await world.groups.leave("g", ["pc2"])
    await said(world, (await jobs_of(plans, plan))["a"], pc1="done", pc2="done")
    await plans.go_on()
    assert await targets_of(world, (await jobs_of(plans, plan))["b"]) == {"pc1"}, "who left the group is left out"
    await world.groups.remove("g")
    await said(world, (await jobs_of(plans, gone))["a"], pc1="done", pc2="done")
    await plans.go_on()
    shown = await plans.view.show(gone)
    assert [(one["state"], one["code"]) for one in shown["steps"]] == [("done", ""), ("failed", "group.unknown")]


async def test_a_suspended_plan_begins_nothing_on_no_machine(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    await world.join("pc2")
    both = ["pc1", "pc2"]
    plan = await run(plans, step("a", targets=both), step("b", "a", per="target", targets=both), step("c", "a"))
    await said(world, (await jobs_of(plans, plan))["a"], pc1="done")
    assert await plans.suspend(plan, on=True) == {"plan": plan, "again": False}
    assert (await plans.suspend(plan, on=True))["again"]
    await plans.go_on()
    await said(world, (await jobs_of(plans, plan))["a"], pc2="done")
    await plans_of(world).go_on()
    assert await states(plans, plan) == {"a": "done", "b": "waiting", "c": "waiting", "plan": "suspended"}
    await plans.suspend(plan, on=False)
    assert await states(plans, plan) == {"a": "done", "b": "running", "c": "running", "plan": "running"}
    assert await targets_of(world, (await jobs_of(plans, plan))["b"]) == {"pc1", "pc2"}
    await plans.suspend(plan, on=True)
    done = await plans.cancel(plan)
    assert len(done["jobs"]) == 2
    assert (await states(plans, plan))["plan"] == "cancelling"
    for job in done["jobs"]:
        await said(world, job, **dict.fromkeys(await targets_of(world, job), "cancelled"))
    await plans.go_on()
    assert (await states(plans, plan))["plan"] == "cancelled"
    await refused(plans.suspend(plan, on=False), "plan.closed")


async def test_the_loop_gives_machines_on_as_they_come(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    await world.join("pc2")
    both = ["pc1", "pc2"]
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(plans.follow())
        plan = await run(plans, step("a", targets=both), step("b", "a", per="target", targets=both))
        first = (await jobs_of(plans, plan))["a"]
        for begun, node in enumerate(both, 1):
            await said(world, first, **{node: "done"})
            async with asyncio.timeout(60):
                while not (job := (await jobs_of(plans, plan))["b"]) or len(await targets_of(world, job)) < begun:
                    await world.changes.wait_any({"plans": world.changes.count("plans")}, timeout=0.05)
            await said(world, job, **{node: "done"})
        async with asyncio.timeout(60):
            while (await states(plans, plan))["plan"] != "done":
                await world.changes.wait_any({"plans": world.changes.count("plans")}, timeout=0.05)
        following.cancel()
