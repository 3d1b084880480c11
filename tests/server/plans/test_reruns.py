"""Plans that have ended: forgotten, and run again."""

from __future__ import annotations

from typing import Any

from tests.server.planning import end, every_job, plans_of, refused, run, states, step

from tiercast_server.plans.reruns import PlanReruns


async def test_a_plan_is_run_again_where_it_did_not_end_well(world: Any) -> None:
    plans = plans_of(world)
    reruns = PlanReruns(world.region, plans)
    await world.join("pc1")
    soon = {"install_at": world.now[0] + 5_000}
    plan = await run(plans, step("a"), step("b", "a", options=soon), step("c", "b"))
    await refused(reruns.rerun(plan, "ben", failed=True), "plan.open")
    await refused(reruns.delete(plan), "plan.open")
    await end(world, plans, plan, "a")
    await end(world, plans, plan, "b", "failed")
    assert await states(plans, plan) == {"a": "done", "b": "failed", "c": "skipped", "plan": "failed"}
    world.now[0] += 60_000
    again, dropped = await reruns.rerun(plan, "ben", failed=True)
    assert await states(plans, again.id) == {"b": "running", "c": "waiting", "plan": "running"}
    assert (again.name, again.created_by, dropped) == ("night", "ben", {"b": ["install_at"]})
    for name in ("b", "c"):
        await end(world, plans, again.id, name)
    await refused(reruns.rerun(again.id, "ben", failed=True), "plan.nothing")
    whole, _ = await reruns.rerun(plan, "ben", failed=False)
    assert await states(plans, whole.id) == {"a": "running", "b": "waiting", "c": "waiting", "plan": "running"}


async def test_a_plan_is_forgotten_and_its_jobs_stay(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    plan = await run(plans, step("a"))
    await end(world, plans, plan, "a")
    jobs = await every_job(world)
    assert await PlanReruns(world.region, plans).delete(plan) == {"plan": plan}
    await refused(plans.view.show(plan), "plan.unknown")
    assert await every_job(world) == jobs
