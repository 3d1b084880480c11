"""The verbs of plans: what goes in is checked, what comes out is plain."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.verbs import JobVerbs
from tiercast_server.plans.plans import Plans
from tiercast_server.plans.verbs import PlanVerbs

STEPS = [
    {"name": "a", "job": {"type": "restart", "targets": ["pc1"]}},
    {"name": "b", "after": ["a"], "on_failure": "go-on", "job": {"type": "restart", "targets": ["pc1"]}},
]


@pytest.fixture(name="verbs")
def _verbs(world: Any) -> PlanVerbs:
    return PlanVerbs(Plans(world.jobs, world.changes, JobVerbs(world.jobs, world.view)))


async def test_a_plan_from_check_to_cancel(world: Any, call: Any, verbs: PlanVerbs) -> None:
    await world.join("pc1")
    asked = {"name": "night", "note": "n", "steps": STEPS}
    looked = await verbs.check(call("plan.check", **asked))
    assert looked["steps"][1] == {"step": "b", "type": "restart", "targets": 1}
    assert await verbs.list_(call("plan.list")) == []
    made = await verbs.run(call("plan.run", **asked))
    assert (made["name"], made["steps"], list(made["jobs"])) == ("night", 2, ["a"])
    shown = await verbs.show(call("plan.show", plan=made["plan"]))
    assert (shown["by"], shown["steps"][0]["job"]) == ("ann", made["jobs"]["a"])
    assert [one["plan"] for one in await verbs.list_(call("plan.list", limit=-1))] == [made["plan"]]
    done = await verbs.cancel(call("plan.cancel", plan="1"))
    assert done["jobs"] == [made["jobs"]["a"]]


async def test_suspend_resume_rerun_delete_and_watch(world: Any, call: Any, verbs: PlanVerbs) -> None:
    await world.join("pc1")
    made = await verbs.run(call("plan.run", name="night", steps=STEPS[:1]))
    plan = made["plan"]
    assert await verbs.suspend(call("plan.suspend", plan=plan)) == {"plan": plan, "again": False}
    assert await verbs.resume(call("plan.resume", plan=plan)) == {"plan": plan, "again": False}
    await world.handover.drain()
    await world.intake.take([world.record(made["jobs"]["a"], "pc1", "failed")])
    await verbs._plans.go_on()
    (last,) = [one async for one in verbs.watch(call("plan.watch", plan=plan))]
    assert last["state"] == "failed"
    again = await verbs.rerun(call("plan.rerun", plan=plan, failed=True))
    assert (again["origin"], again["steps"], list(again["jobs"]), again["dropped"]) == (plan, 1, ["a"], {})
    assert await verbs.delete(call("plan.delete", plan=plan)) == {"plan": plan}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"name": "n"}, "plan.invalid"),
        ({"name": "", "steps": STEPS}, "plan.invalid"),
        ({"name": "n" * 256, "steps": STEPS}, "plan.invalid"),
        ({"name": "n", "note": "x" * 1001, "steps": STEPS}, "plan.invalid"),
        ({"name": "n", "steps": []}, "plan.empty"),
        ({"name": "n", "steps": [7]}, "plan.step"),
        ({"steps": STEPS}, "argument.invalid"),
    ],
)
async def test_nonsense_is_refused(call: Any, verbs: PlanVerbs, asked: dict[str, Any], code: str) -> None:
    for verb in (verbs.check, verbs.run):
        with pytest.raises(UsageError) as caught:
            await verb(call("plan.run", **asked))
        assert caught.value.code == code
