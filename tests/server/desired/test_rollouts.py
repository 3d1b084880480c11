"""A version of an assignment goes out in waves, once; a rollout that broke is the end until a person's word."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.desired import view as assignment_view
from tiercast_server.desired.apply import Asked, Desired
from tiercast_server.desired.document import Waves, read
from tiercast_server.desired.rollouts import check_waves
from tiercast_server.rollouts import view as rollout_view
from tiercast_server.why import JobWhy

NAMES = ["pc1", "pc2", "pc3", "pc4"]


async def region_of(world: Any, *, waves: dict[str, Any] | None = None, has: str = "app") -> None:
    if not world.nodes:
        for version in ("1", "2"):
            await world.package("app", version, {"a": version.encode()})
        for name in NAMES:
            await world.join(name)
            await world.says(name)
    one = {"name": "a", "target": "below server", "has": has, "rollout": waves or {"waves": ["1", "rest"]}}
    await Desired(world.assignments).apply(read({"assignments": [{**one, "table": one}]}), Asked("ann"))


async def look(world: Any) -> list[str]:
    made: list[str] = (await world.assignments.look()).made + (await world.rollouts.look()).made
    await world.handover.drain()
    return made


async def nodes_of(world: Any, job: str) -> list[str]:
    return [row["node"] for row in (await world.view.show(job))["targets"]]


async def end(world: Any, job: str, state: str, **more: Any) -> None:
    await world.intake.take([world.record(job, name, state, **more) for name in await nodes_of(world, job)])


async def shown(world: Any) -> dict[str, Any]:
    return await assignment_view.show(world.region, world.targeting, "a")


async def test_waves_first_and_jobs_for_newcomers(world: Any, call: Any) -> None:
    await region_of(world)
    (job,) = await look(world)
    found = await shown(world)
    assert found["counts"] == {"waiting": 4}
    rollout = await rollout_view.show(world.region, found["rollout"])
    assert (rollout["version"], rollout["by"], len(rollout["waves"])) == ("2", "ann", 2)
    assert len(await nodes_of(world, job)) == 1
    why = JobWhy(world.region, world.tree, lambda _job: {})
    (later, *_) = sorted(set(NAMES) - set(await nodes_of(world, job)))
    told = await why.why(call("job.why", job="a", target=later))
    assert (told["assignment"], told["chain"][0]["code"]) == ("a", "gate.shut")
    await world.join("pc5")
    await world.says("pc5")
    assert await look(world) == []
    told = await why.why(call("job.why", job="a", target="pc5"))
    assert (told["assignment"], told["chain"][0]["code"]) == ("a", "assignment.job")
    await end(world, job, "done")
    (second,) = await look(world)
    await end(world, second, "done")
    assert await look(world) == []
    (third,) = await look(world)
    assert await nodes_of(world, third) == ["pc5"]
    await end(world, third, "done")
    await look(world)
    assert (await shown(world))["counts"] == {"holds": 5}


async def test_one_that_was_stopped_is_the_end_until_a_word(world: Any, call: Any) -> None:
    await region_of(world, waves={"waves": ["1", "rest"], "stop_at": "1"})
    (job,) = await look(world)
    await end(world, job, "failed")
    for _ in range(3):
        assert await look(world) == []
    found = await shown(world)
    assert "ended stopped: 1 of 1 targets failed" in found["said"]
    why = JobWhy(world.region, world.tree, lambda _job: {})
    told = await why.why(call("job.why", job="a", target="pc1"))
    assert told["chain"][0]["code"] == "assignment.stopped"
    await world.assignments.retry("a", [])
    (again,) = await look(world)
    assert len(await nodes_of(world, again)) == 1
    assert (await shown(world))["said"] == ""


async def test_another_version_cancels_the_rollout_and_begins_its_own(world: Any) -> None:
    await region_of(world)
    (job,) = await look(world)
    first = (await shown(world))["rollout"]
    await region_of(world, has="app = 1")
    assert (await rollout_view.show(world.region, first))["state"] == "cancelling"
    assert await look(world) == []  # the machines of its job are busy, the others wait for it to end
    await end(world, job, "cancelled", revision=2)
    await look(world)
    world.now[0] += 6_000
    await look(world)
    found = await shown(world)
    assert found["rollout"] != first
    assert (await rollout_view.show(world.region, found["rollout"]))["version"] == "1"


async def test_too_few_for_the_waves_are_one(world: Any) -> None:
    await region_of(world, waves={"waves": ["10", "50%", "rest"]})
    (job,) = await look(world)
    assert await nodes_of(world, job) == NAMES


async def test_waves_by_expression(world: Any) -> None:
    await region_of(world, waves={"waves": ["node pc2, pc3", "rest"]})
    (job,) = await look(world)
    assert await nodes_of(world, job) == ["pc2", "pc3"]


@pytest.mark.parametrize(
    ("waves", "code"),
    [
        (Waves(["1"]), "wave.rest"),
        (Waves(["rest"], go_on="200%"), "rollout.go-on"),
        (Waves(["rest"], stop_at="0"), "rollout.stop-at"),
        (Waves(["rest"], soak_s=-1), "rollout.soak"),
        (Waves(["below (", "rest"]), "target.syntax"),
    ],
)
def test_what_can_not_be(waves: Waves, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_waves(waves)
    assert caught.value.code == code
