"""`why` of a rollout: the gate, the breaker, a pause; or what its job waits for."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import Request
from tiercast_server.rollouts.life import Rules
from tiercast_server.why import JobWhy


async def rollout(world: Any, **rules: Any) -> tuple[str, str]:
    """A rollout on three, the first wave is pc1; its id and its job's."""
    await world.package("app", "1")
    for name in ("pc1", "pc2", "pc3"):
        await world.join(name)
    asked = Request(type="install", package="app", by="ann", targets=("pc1", "pc2", "pc3"))
    made = await world.rollouts.start(asked, ["node pc1", "rest"], Rules(**rules))
    await world.handover.drain()
    return made["rollout"], made["jobs"][0]


async def why(world: Any, call: Any, job: str, target: str = "") -> dict[str, Any]:
    answers = JobWhy(world.region, world.tree, lambda _job: {})
    return await answers.why(call("job.why", job=job, target=target))


async def test_a_waiting_wave_names_its_gate(world: Any, call: Any) -> None:
    id_, job = await rollout(world)
    found = await why(world, call, id_, "pc2")
    assert [reason["code"] for reason in found["chain"]] == ["gate.shut"]
    assert (found["chain"][0]["peer"], found["target_state"], found["type"]) == ("pc2", "not begun", "rollout")
    assert (await why(world, call, id_, "pc1"))["job"] == job
    whole = await why(world, call, id_)
    assert [(group["code"], group["count"]) for group in whole["reasons"]] == [("gate.shut", 2), ("order.way", 1)]
    assert (whole["waiting"], whole["targets"]) == (3, 3)


async def test_a_stopped_rollout_names_its_breaker(world: Any, call: Any) -> None:
    id_, job = await rollout(world, stop_number=1)
    await world.intake.take([world.record(job, "pc1", "failed")])
    await world.rollouts.look()
    await world.rollouts.look()
    found = await why(world, call, id_, "pc3")
    assert (found["chain"][0]["code"], found["state"]) == ("breaker.open", "stopped")
    assert "1 of 1 targets failed" in found["chain"][0]["says"]
    whole = await why(world, call, id_)
    assert [group["code"] for group in whole["reasons"]] == ["breaker.open"]
    assert [(row["state"], row["count"]) for row in whole["ended"]] == [("failed", 1)]


async def test_a_paused_one_says_so_and_a_cancelled_one_has_a_result(world: Any, call: Any) -> None:
    id_, job = await rollout(world)
    await world.rollouts.say(id_, "pause")
    assert (await why(world, call, id_, "pc2"))["chain"][0]["code"] == "rollout.paused"
    await world.rollouts.say(id_, "cancel")
    await world.intake.take([world.record(job, "pc1", "cancelled")])
    await world.rollouts.look()
    found = await why(world, call, id_, "pc2")
    assert (found["chain"], found["result"]["state"]) == ([], "cancelled")


async def test_who_is_in_no_wave_and_what_is_no_rollout(world: Any, call: Any) -> None:
    id_, _ = await rollout(world)
    for job, target, code in ((id_, "pc9", "target.unknown"), ("r77", "", "rollout.unknown")):
        with pytest.raises(UsageError) as caught:
            await why(world, call, job, target)
        assert caught.value.code == code
