"""Links, suspensions and terms of jobs, as administrators say them at the server."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.jobs.shape import open_shape
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import Admitted, JobShape
from tiercast_server.steering_verbs import SteeringVerbs


@pytest.fixture
async def asked() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
async def verbs(rooted: Any, monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, dict[str, Any]]]) -> SteeringVerbs:
    """The gateway gw, which answers, and pc1 below it."""
    await rooted.parts.enrolment.invite("gw", "gateway", "", 60, url="mqtt://h:1")
    async with rooted.region.db.write() as connection:
        await connection.exec_driver_sql("update nodes set state = 'joined' where name = 'gw'")
    for name, role, parent in (("gw", "gateway", "server"), ("pc1", "endpoint", "gw")):
        node = Admitted(
            name=name, role=role, parent=parent, public_key=bytes(32), password_hash="$7$1$x$y", generation=1
        )
        await rooted.parts.below.admit(node)
    await rooted.parts.enrolment.invite("pc1", "endpoint", "gw", 60, url="mqtt://h:1")

    async def ask(node: str, verb: str, args: dict[str, Any], *, deadline: float) -> Any:
        assert node == "gw"
        asked.append((verb, args))
        return [{"parent": "gw", "child": "pc1", "rate": 5, "measured": 3}] if verb == "link.list" else {"child": "pc1"}

    monkeypatch.setattr(rooted.parts.below, "ask", ask)
    return SteeringVerbs(rooted.region, rooted.parts.below, rooted.parts.jobs)


async def test_links_here_and_below(verbs: SteeringVerbs, call: Any, asked: list[Any]) -> None:
    said = await verbs.link(call("link.set", child="gw", options={"rate": 5000}))
    assert (said["parent"], said["terms"]) == ("server", {"rate": 5000})
    (link,) = await verbs.links(call("link.list"))
    assert (link["parent"], link["child"], link["rate"]) == ("server", "gw", 5000)
    (link,) = await verbs.links(call("link.list", node="gw"))
    assert (link["parent"], link["rate"], link["measured"]) == ("gw", 5, 3)
    await verbs.link(call("link.suspend", node="gw", child="pc1", until=0))
    assert asked[-1][0] == "link.suspend"
    assert asked[-1][1]["by"].endswith("@server")
    for wrong in ({"child": "pc9"}, {"child": "pc1"}, {"child": "gw", "options": {"rate": 5}}):
        with pytest.raises(UsageError) as caught:
            await verbs.link(call("link.set", **wrong))
        assert caught.value.code in {"link.unknown", "transfer.rate"}


async def test_a_host_a_subtree_and_everything(verbs: SteeringVerbs, rooted: Any, call: Any) -> None:
    steering = rooted.parts.below.subtree.steering
    await verbs.suspend_node(call("node.suspend", name="gw"))
    assert set(steering.now.lanes) == {"gw"}
    assert (await verbs.holds(call("hold.list")))[0]["by"].endswith("@server")
    await verbs.resume_node(call("node.resume", name="gw"))
    await verbs.suspend_node(call("node.suspend", name="server"))
    assert set(steering.now.lanes) == {"gw"}
    assert (await verbs.resume_node(call("node.resume", name="server")))["resumed"] == 1
    assert not steering.now.lanes
    with pytest.raises(UsageError) as caught:
        await verbs.suspend_node(call("node.suspend", name="nobody"))
    assert caught.value.code == "node.unknown"


async def test_a_job_is_suspended_while_it_is_open(world: Any, rooted: Any, call: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    job = await world.job(targets=("pc1",))
    verbs = SteeringVerbs(world.region, rooted.parts.below, world.jobs)
    steering = rooted.parts.below.subtree.steering
    await verbs.suspend_job(call("job.suspend", job=job))
    assert set(steering.now.silent) == {(job, None)}
    assert (await verbs.resume_job(call("job.resume", job=job)))["resumed"] == 1
    assert not steering.now.silent
    await world.intake.take([world.record(job, "pc1", "done")])
    with pytest.raises(UsageError) as caught:
        await verbs.suspend_job(call("job.suspend", job=job))
    assert caught.value.code == "job.closed"


async def test_a_job_goes_on_other_terms(world: Any, rooted: Any, call: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    job = await world.job(targets=("pc1",), options={"rate": 5000, "priority": 3})
    verbs = SteeringVerbs(world.region, rooted.parts.below, world.jobs)
    said = await verbs.set_job(call("job.set", job=job, options={"priority": 9}, clear=["rate"]))
    assert said == {"job": job, "terms": {"priority": 9}}
    await world.handover.drain()
    (message,) = world.tree.of(JobShape)
    shape = open_shape(message.shape, message.signature, world.region.key.public)
    assert (shape.job, shape.change, shape.options) == (job, 1, {"priority": 9})
    assert (await world.view.show(job))["options"] == {"priority": 9, "shape": 1}
    await verbs.set_job(call("job.set", job=job, options={"priority": 1}, clear=[]))
    await world.handover.drain()
    assert world.tree.of(JobShape)[-1] != message
    for wrong in ({"window": "never"}, {"rate": 5}, {"any_version": True}, {"segment": 1 << 30, "pause": 5}):
        with pytest.raises(UsageError):
            await verbs.set_job(call("job.set", job=job, options=wrong))
    await world.intake.take([world.record(job, "pc1", "done")])
    with pytest.raises(UsageError) as caught:
        await verbs.set_job(call("job.set", job=job, options={"priority": 9}))
    assert caught.value.code == "job.closed"
