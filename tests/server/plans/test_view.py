"""Plans as people see them."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.server.planning import end, jobs_of, plans_of, run, said, step


async def test_a_watch_shows_each_change_and_ends_with_the_plan(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    await world.join("pc2")
    both = ["pc1", "pc2"]
    plan = await run(plans, step("a", targets=both), step("b", "a", per="target", targets=both))
    seen: list[dict[str, Any]] = []

    async def watch() -> None:
        async for snapshot in plans.view.watch(plan):
            seen.append(snapshot)  # noqa: PERF401 - it is looked at meanwhile

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        await said(world, (await jobs_of(plans, plan))["a"], pc1="done")
        await plans.go_on()
        while not any(one["steps"][1]["state"] == "running" for one in seen):  # noqa: ASYNC110 - it comes by itself
            await asyncio.sleep(0.01)
        await said(world, (await jobs_of(plans, plan))["a"], pc2="done")
        await plans.go_on()
        await end(world, plans, plan, "b")
        await watching
    states = [tuple(step["state"] for step in one["steps"]) for one in seen]
    assert states[0] == ("running", "waiting")
    assert states[-1] == ("done", "done")
    assert seen[-1]["steps"][1]["counts"] == {"done": 2}
    assert len({str(one) for one in seen}) == len(seen), "only what changed is told"


async def test_what_may_still_come_is_counted_while_it_may(world: Any) -> None:
    plans = plans_of(world)
    await world.join("pc1")
    plan = await run(plans, step("a"), step("b", "a", per="target"))
    shown = (await plans.view.show(plan))["steps"]
    assert ("left" in shown[0], shown[1]["left"], shown[1]["per"]) == (False, 1, "target")
    await end(world, plans, plan, "a", "failed")
    shown = (await plans.view.show(plan))["steps"]
    assert ("left" in shown[1], shown[1]["state"]) == (False, "skipped")
