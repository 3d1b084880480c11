"""`why` of an assignment: every state has a reason, and a job's is the job's."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.desired import why as assignment_why
from tiercast_server.desired.apply import Asked, Desired
from tiercast_server.desired.document import Assignment, read
from tiercast_server.desired.life import MOST, STATES, AssignmentLife, Machine, Try
from tiercast_server.desired.look import Sight
from tiercast_server.desired.rows import Kept
from tiercast_server.why import JobWhy


async def why(world: Any, call: Any, job: str, target: str = "") -> dict[str, Any]:
    answers = JobWhy(world.region, world.tree, lambda _job: {})
    return await answers.why(call("job.why", job=job, target=target))


async def test_a_drifting_machine_names_the_assignment(world: Any, call: Any) -> None:
    await world.package("app", "1")
    for name in ("pc1", "pc2", "pc3"):
        await world.join(name)
    await world.says("pc1")
    await world.says("pc2", packages={"app": "1"})
    one = {"name": "a", "target": "below server", "has": "app", "table": {"has": "app"}}
    await Desired(world.assignments).apply(read({"assignments": [one]}), Asked("ann"))
    found = await why(world, call, "a", "pc1")
    assert (found["assignment"], found["type"], found["says"]) == ("a", "assignment", "has app, active")
    assert [reason["code"] for reason in found["chain"]] == ["assignment.turn"]
    (job,) = (await world.assignments.look()).made
    await world.handover.drain()
    found = await why(world, call, "a", "pc1")
    assert (found["assignment"], found["job"], found["chain"][0]["code"]) == ("a", job, "order.way")
    held = await why(world, call, "a", "pc2")
    assert (held["chain"], held["result"]["detail"]) == ([], "app 1, as it is to be.")
    whole = await why(world, call, "a")
    assert {group["code"]: group["count"] for group in whole["reasons"]} == {
        "assignment.job": 1,
        "assignment.unknown": 1,
    }
    assert (whole["waiting"], whole["targets"], whole["ended"][0]["count"]) == (2, 3, 1)
    await world.intake.take([world.record(job, "pc1", "failed")])
    await world.assignments.look()
    (reason,) = (await why(world, call, "a", "pc1"))["chain"]
    assert reason["code"] == "assignment.again"
    assert reason["todo"] == "tiercast assignment retry a --on pc1"
    for name, code in (("pc9", "target.unknown"), ("", "job.unknown")):
        with pytest.raises(UsageError) as caught:
            await why(world, call, "a" if name else "none", name)
        assert caught.value.code == code
    assert not await assignment_why.is_one(world.region, job)


MACHINES = {
    "holds": Machine("1", True, "1"),
    "missing": Machine("", False, "1"),
    "wrong": Machine("0", False, "1"),
    "unknown": Machine(None, False, "1"),
    "waiting": Machine("", False, "1", busy="j1"),
    "held": Machine("", False, "1", busy="j1", by_owner=True),
    "failed": Machine("", False, "1"),
    "contradicted": Machine("", False, None),
}


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("state", STATES)
def test_every_state_but_holds_has_a_reason(state: str, paused: bool) -> None:
    kept = Kept(Assignment("a", "node pc", has="app", paused=paused), "", "", "", "ann", 1)
    tries = {"pc": Try(failures=MOST)} if state == "failed" else {}
    sight = Sight(kept, kept.rule, AssignmentLife(paused, tries), {"pc": MACHINES[state]})
    assert sight.life.state_of("pc", MACHINES[state]) == state
    reason = assignment_why._reason({"a": sight}, sight, "pc", MACHINES[state])
    assert (reason is None) == (state == "holds")
