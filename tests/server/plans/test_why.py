"""`why` of a plan: the steps before, each machine by itself, a suspension; or what its jobs wait for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.server.planning import end, jobs_of, plans_of, refused, run, said, step

from tiercast_server.plans.why import looks_like
from tiercast_server.why import JobWhy


async def why(world: Any, call: Any, plan: str, target: str = "") -> dict[str, Any]:
    answers = JobWhy(world.region, world.tree, lambda _job: {})
    return await answers.why(call("job.why", job=plan, target=target))


async def test_a_plan_says_what_its_steps_and_machines_wait_for(world: Any, call: Any) -> None:
    plans = plans_of(world)
    for name in ("pc1", "pc2"):
        await world.join(name)
    both = ["pc1", "pc2"]
    plan = await run(
        plans, step("a", targets=both), step("b", "a", per="target", targets=both), step("c", "b", targets=both)
    )
    await world.handover.drain()
    whole = await why(world, call, plan)
    assert (whole["type"], whole["about"], whole["state"]) == ("plan", "night", "running")
    found = [(group["code"], group["count"]) for group in whole["reasons"]]
    assert sorted(found) == [("order.way", 2), ("plan.step", 3)]
    assert (whole["waiting"], whole["targets"]) == (5, 5)
    assert (await why(world, call, plan, "pc1"))["chain"][0]["code"] == "order.way"
    await said(world, (await jobs_of(plans, plan))["a"], pc1="done")
    alone = await why(world, call, plan, "pc1")
    assert (alone["chain"][0]["code"], alone["target_state"]) == ("plan.step", "before step b")
    assert alone["chain"][0]["says"] == "comes after a on the same machine"
    await plans.suspend(plan, on=True)
    assert (await why(world, call, plan, "pc1"))["chain"][0]["code"] == "plan.suspended"
    codes = {group["code"] for group in (await why(world, call, plan))["reasons"]}
    assert codes == {"order.way", "plan.suspended"}
    shown = (await plans.view.show(plan))["steps"]
    assert [one.get("why", {}).get("code", "") for one in shown] == ["", "plan.suspended", "plan.suspended"]


async def test_one_that_has_ended_waits_for_nothing(world: Any, call: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    plan = await run(plans, step("a"), step("b", "a"))
    await end(world, plans, plan, "a", "failed")
    whole = await why(world, call, plan)
    assert (whole["waiting"], whole["reasons"], whole["state"]) == (0, [], "failed")
    alone = await why(world, call, plan, "pc1")
    assert (alone["chain"], alone["result"]["state"]) == ([], "failed")
    await refused(why(world, call, plan, "pc9"), "target.unknown")
    await refused(why(world, call, "p9"), "plan.unknown")


@pytest.mark.parametrize(
    ("text", "is_one"), [("p3", True), ("p3-1a2b", True), ("p", False), ("j3", False), ("3", False)]
)
def test_ids(text: str, is_one: bool) -> None:
    assert looks_like(text) is is_one
