"""Plans at work: jobs are made as their predecessors end, once each, over restarts and kills."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete
from tests.server.planning import end, every_job, plans_of, refused, run, states, step

from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import jobs
from tiercast_server.jobs.verbs import JobVerbs
from tiercast_server.plans.checks import read_steps
from tiercast_server.plans.plans import Plans


async def test_steps_follow_each_other_when_all_targets_have_ended_well(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    await world.join("pc2")
    both = ["pc1", "pc2"]
    plan = await run(plans, step("a", targets=both), step("b", "a", note="second"), step("c", "b"))
    assert await states(plans, plan) == {"a": "running", "b": "waiting", "c": "waiting", "plan": "running"}
    shown = await plans.view.show(plan)
    assert (shown["name"], shown["note"], shown["by"]) == ("night", "n", "ann")
    assert shown["steps"][1]["why"]["code"] == "plan.step"
    assert shown["steps"][1]["why"]["says"] == "comes after a"
    await world.handover.drain()
    job = shown["steps"][0]["job"]
    await world.intake.take([world.record(job, "pc1", "done")])
    await plans.go_on()
    assert (await states(plans, plan))["b"] == "waiting", "pc2 has not ended"
    await world.intake.take([world.record(job, "pc2", "done")])
    await plans.go_on()
    assert await states(plans, plan) == {"a": "done", "b": "running", "c": "waiting", "plan": "running"}
    await end(world, plans, plan, "b")
    await end(world, plans, plan, "c")
    assert await states(plans, plan) == {"a": "done", "b": "done", "c": "done", "plan": "done"}
    shown = await plans.view.show(plan.partition("-")[0])
    assert [one["counts"] for one in shown["steps"]] == [{"done": 2}, {"done": 1}, {"done": 1}]
    assert await every_job(world) == [one["job"] for one in shown["steps"]]
    (listed,) = await plans.view.list_(9)
    assert (listed["plan"], listed["state"], listed["steps"]) == (plan, "done", {"done": 3})
    made = await world.view.show(shown["steps"][1]["job"])
    assert (made["by"], made["note"]) == ("ann", "second")


async def test_a_bad_end_stops_or_goes_on_or_runs_another_step(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    steps = (
        step("a", on_failure="go-on"),
        step("b", "a", on_failure="mend"),
        step("c", "b"),
        step("mend", on_failure="stop"),
        step("d", "mend"),
    )
    plan = await run(plans, *steps)
    await end(world, plans, plan, "a", "failed")
    assert (await states(plans, plan))["b"] == "running"
    await end(world, plans, plan, "b", "interrupted")
    now = {"a": "failed", "b": "failed", "c": "skipped", "mend": "running", "d": "waiting", "plan": "running"}
    assert await states(plans, plan) == now
    await end(world, plans, plan, "mend", "failed")
    assert await states(plans, plan) == now | {"mend": "failed", "d": "skipped", "plan": "failed"}


async def test_nothing_is_accepted_unless_all_of_it_is_sound(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    await world.join("gw", "gateway")
    for wrong, code in (
        (step("b", "a", targets=["pc9"]), "node.unknown"),
        (step("b", "a", targets=["gw"]), "target.role"),
        (step("b", "a", type="install", package="nosuch"), "package.unknown"),
        (step("b", "a", type="install"), "package.missing"),
        (step("b", "a", groups=["g"]), "group.unknown"),
        (step("b", "a", type="dance"), "type.unknown"),
        (step("b", "a", targets=[]), "job.empty"),
        (step("b", "a", confirm=7), "confirm.wrong"),
        (step("b", "a", folder="a//b"), "folder.invalid"),
        (step("b", "a", expires_s=0), "expiry.invalid"),
        (step("b", "a", options={"install_at": world.now[0] - 1000}), "times.past"),
        (step("b", "a", targets="pc1"), "argument.invalid"),
    ):
        error = await refused(plans.run("n", "", read_steps([step("a"), wrong]), "ann"), code)
        assert "'b'" in error.what
    two = read_steps([step("a", targets=["pc8"]), step("b", targets=["pc9"])])
    error = await refused(plans.check(two, "ann"), "node.unknown")
    assert ("Step 'a'" in error.what, "Step 'b'" in error.what) == (True, True)
    assert (await plans.view.list_(9), await every_job(world)) == ([], [])
    assert await plans.check(read_steps([step("a")]), "ann") == [{"step": "a", "type": "restart", "targets": 1}]
    await refused(plans.view.show("p1"), "plan.unknown")


async def test_what_a_first_step_is_refused_for_takes_the_whole_plan_back(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    await world.package("app", "1")
    await world.job("remove", targets=("pc1",))
    conflict = step("b", type="install", package="app")
    error = await refused(plans.run("n", "", read_steps([step("a"), conflict]), "ann"), "job.conflict")
    assert "Step 'b'" in error.what
    assert (await plans.view.list_(9), len(await every_job(world))) == ([], 1)


async def test_a_step_that_can_not_begin_later_has_failed_with_the_reason(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    await world.groups.add("g", ["pc1"])
    plan = await run(plans, step("a"), step("b", "a", targets=[], groups=["g"], on_failure="m"), step("m"))
    await world.groups.remove("g")
    await end(world, plans, plan, "a")
    shown = await plans.view.show(plan)
    assert (shown["steps"][1]["state"], shown["steps"][1]["code"]) == ("failed", "group.unknown")
    assert "'g'" in shown["steps"][1]["detail"]
    assert (shown["steps"][2]["state"], shown["state"]) == ("running", "running")
    await end(world, plans, plan, "m")
    assert (await states(plans, plan))["plan"] == "failed"


async def test_what_gateways_say_when_a_step_is_to_begin_counts(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    verbs = JobVerbs(world.jobs, world.view)
    plans = Plans(world.jobs, world.changes, verbs)
    await world.join("pc1")
    plan = await run(plans, step("a"), step("b", "a", on_failure="go-on"), step("c", "b"))
    prepare, asked = verbs.prepare, list[str]()

    async def small(request: Any) -> Any:
        asked.append(request.by)
        if len(asked) == 1:
            raise UsageError("depot.small", "A depot on its way is less.")
        return await prepare(request)

    monkeypatch.setattr(verbs, "prepare", small)
    await end(world, plans, plan, "a")
    shown = await plans.view.show(plan)
    assert [(one["state"], one["code"]) for one in shown["steps"]] == [
        ("done", ""),
        ("failed", "depot.small"),
        ("running", ""),
    ]
    assert asked == ["ann", "ann"]
    assert len(await every_job(world)) == 2


async def test_a_cancelled_plan_begins_nothing_and_cancels_what_is_open(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    plan = await run(plans, step("a"), step("b", "a", on_failure="go-on"))
    done = await plans.cancel(plan)
    assert (done["plan"], len(done["jobs"]), done["again"]) == (plan, 1, False)
    assert await states(plans, plan) == {"a": "running", "b": "cancelled", "plan": "cancelling"}
    await world.handover.drain()
    (job,) = done["jobs"]
    assert [(order.job, order.type) for order, _ in world.orders()] == [(job, "restart"), (job, "cancel")]
    assert await plans.cancel(plan) == {"plan": plan, "again": True, "jobs": []}
    for on in (True, False):  # it would not go on, whatever was answered
        await refused(plans.suspend(plan, on=on), "plan.closed")
    await world.intake.take([world.record(job, "pc1", "cancelled", revision=2)])
    await plans.go_on()
    assert await states(plans, plan) == {"a": "failed", "b": "cancelled", "plan": "cancelled"}
    await refused(plans.cancel(plan), "plan.closed")


async def test_after_a_restart_it_goes_on_where_it_was(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    plan = await run(plans, step("a"), step("b", "a"))
    await world.handover.drain()
    job = (await plans.view.show(plan))["steps"][0]["job"]
    await world.intake.take([world.record(job, "pc1", "done")])  # and the server is gone before the plan looks
    again = plans_of(world)
    for _ in range(3):
        await again.go_on()
    assert await states(again, plan) == {"a": "done", "b": "running", "plan": "running"}
    assert len(await every_job(world)) == 2
    await end(world, again, plan, "b")
    assert (await states(again, plan))["plan"] == "done"


async def test_a_kill_before_the_commit_leaves_neither_step_nor_job(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    plan = await run(plans, step("a"), step("b", "a"))
    before = await every_job(world)
    place = world.jobs.place

    async def killed(*args: Any) -> Any:
        await place(*args)
        raise KeyboardInterrupt  # the job is written, and nothing is committed

    with monkeypatch.context() as patched:
        patched.setattr(world.jobs, "place", killed)
        with pytest.raises(KeyboardInterrupt):
            await end(world, plans, plan, "a")
    assert await every_job(world) == before
    assert (await states(plans, plan))["b"] == "waiting"
    again = plans_of(world)
    await again.go_on()
    assert (await states(again, plan))["b"] == "running"
    assert len(await every_job(world)) == 2


async def test_the_loop_hears_of_ends_and_of_new_plans(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")

    async def until(plan: str, wanted: str) -> None:
        async with asyncio.timeout(60):
            while (await states(plans, plan))["plan"] != wanted:
                seen = {"plans": world.changes.count("plans")}
                await world.changes.wait_any(seen, timeout=0.05)

    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(plans.follow())
        plan = await run(plans, step("a"), step("b", "a"))
        for name in ("a", "b"):
            async with asyncio.timeout(60):
                while (await states(plans, plan))[name] != "running":
                    await world.changes.wait_any({"plans": world.changes.count("plans")}, timeout=0.05)
            await world.handover.drain()
            (job,) = [one["job"] for one in (await plans.view.show(plan))["steps"] if one["step"] == name]
            await world.intake.take([world.record(job, "pc1", "done")])
        await until(plan, "done")
        following.cancel()


async def test_a_job_is_kept_while_its_plan_counts_what_came_of_it(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    plan = await run(plans, step("a"), step("b", "a"))
    await world.handover.drain()
    job = (await plans.view.show(plan))["steps"][0]["job"]
    await world.intake.take([world.record(job, "pc1", "done")])
    error = await refused(world.jobs.delete(job), "job.plan")
    assert plan in error.what
    await plans.go_on()
    await end(world, plans, plan, "b")
    await world.jobs.delete(job)
    assert [one["targets"] for one in (await plans.view.show(plan))["steps"]] == [0, 1]


async def test_a_job_that_is_gone_has_not_ended_well(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    plan = await run(plans, step("a"), step("b", "a"))
    async with world.region.db.write() as connection:
        await connection.execute(delete(jobs))  # an older server let it be deleted
    await plans.go_on()
    assert await states(plans, plan) == {"a": "failed", "b": "skipped", "plan": "failed"}
