"""The table of verbs: every one has a role, every change leaves a line."""

from typing import Any

import pytest
import structlog

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_server.depot_verbs import DepotVerbs
from tiercast_server.inventories.questions import Questions
from tiercast_server.jobs.verbs import JobVerbs
from tiercast_server.nodes.power_verbs import PowerVerbs
from tiercast_server.nodes.presence import Presence
from tiercast_server.packages.patches import Patches
from tiercast_server.packages.verbs import PackageVerbs
from tiercast_server.plans.plans import Plans
from tiercast_server.steering_verbs import SteeringVerbs
from tiercast_server.verbs import Desk, add_verbs, audited
from tiercast_server.why import JobWhy

EXPECTED = {
    "viewer": """status names node.list node.show group.list group.show cabinet.list cabinet.show package.list
        package.show package.patches plan.check plan.show plan.list
        plan.watch job.folders job.template.list job.template.show
        job.list job.show job.watch job.receipt job.why job.history node.history depot.show depot.members depot.who
        link.list outbox.list inventory.list inventory.show
        link.show hold.list ledger.show ledger.check rollout.list rollout.show
        desired.diff desired.export desired.history assignment.list assignment.show owner.said
        inventory.count inventory.history inventory.names inventory.tally wake.list
        package.check package.diff package.standing package.values""",
    "operator": """group.add group.join group.leave group.delete group.set group.wake
        package.entry package.missing package.store
        package.register package.delete package.patch
        job.draft job.start job.copy job.move job.from job.template.save job.template.delete
        job.create job.cancel job.rerun job.delete job.edit job.commit job.accept job.undo
        package.move package.tested
        plan.run plan.cancel plan.suspend plan.resume plan.rerun plan.delete
        depot.pin depot.unpin depot.keep depot.audit
        chunks.give depot.evict node.wake node.suspend node.resume job.suspend job.resume job.set
        rollout.start rollout.next rollout.pause rollout.resume rollout.cancel rollout.undo
        desired.apply assignment.retry assignment.delete assignment.pause assignment.resume""",
    "admin": """node.invite node.remove cabinet.add cabinet.delete cabinet.rename cabinet.rights
        link.set link.suspend link.resume
        link.window.add link.window.remove node.move node.home node.candidates node.retire node.replace""",
}


async def nothing(_told: object) -> None:
    return


@pytest.fixture
def table(world: Any) -> Verbs:
    verbs = Verbs()
    desk = Desk(
        region=world.region,
        enrolment=world.enrolment,
        moves=world.moves,
        groups=world.groups,
        inventories=world.inventories,
        questions=Questions(world.region, world.targeting),
        presence=Presence(world.region, world.tree),
        power=PowerVerbs(world.region, world.tree),
        packages=PackageVerbs(world.region, world.library),
        jobs=JobVerbs(world.jobs, world.view),
        depots=DepotVerbs(world.region, world.tree, world.library),
        steering=SteeringVerbs(world.region, world.tree, world.jobs),
        why=JobWhy(world.region, world.tree, lambda _job: {}),
        rollouts=world.rollouts,
        assignments=world.assignments,
        patches=Patches(world.region, world.library, world.store, nothing, withdraw=nothing),
        plans=Plans(world.jobs, world.changes, JobVerbs(world.jobs, world.view)),
    )
    add_verbs(verbs, desk)
    return verbs


def test_the_roles(table: Verbs) -> None:
    found: dict[str, set[str]] = {}
    for verb in table.table.values():
        found.setdefault(verb.role, set()).add(verb.name)
    assert found == {role: set(names.split()) for role, names in EXPECTED.items()}
    assert [verb.name for verb in table.table.values() if verb.streams] == ["job.watch", "plan.watch"]


async def test_a_day_of_an_administrator(table: Verbs, call: Any) -> None:
    async def do(verb: str, **args: Any) -> Any:
        handler: Any = table.named(verb).handler
        return await handler(call(verb, **args))

    invited = await do("node.invite", name="pc1", role="endpoint", parent="", ttl_s=60)
    assert invited["url"] == "mqtt://127.0.0.1:1883"
    assert [node["name"] for node in await do("node.list")] == ["server", "pc1"]
    assert (await do("node.show", name="pc1"))["state"] == "invited"
    await do("group.add", name="all", members=["pc1"])
    await do("group.leave", name="all", members=["pc1"])
    await do("group.set", name="all", window="daily 22:00-05:00")
    await do("group.set", name="all", window="")
    await do("group.join", name="all", members=["pc1"])
    assert (await do("group.show", name="all"))["members"] == ["pc1"]
    assert await do("group.list") == [{"name": "all", "kind": "static", "where": "", "window": "", "members": 1}]
    await do("cabinet.add", name="tools", note="")
    assert len(await do("cabinet.list")) == 2
    assert (await do("cabinet.show", name="tools"))["packages"] == []
    await do("cabinet.delete", name="tools")
    await do("group.delete", name="all")
    await do("node.remove", name="pc1")
    assert await do("names", kind="node") == []


async def test_who_did_what_stands_in_the_log(call: Any) -> None:
    async def fails(call: Call) -> None:
        raise UsageError(code="node.unknown", what="x")

    async def works(call: Call) -> int:
        return 1

    with structlog.testing.capture_logs() as lines:
        assert await audited(works)(call("job.create", package="app", digests=bytes(100))) == 1
        with pytest.raises(UsageError):
            await audited(fails)(call("node.remove", name="pc1"))
    assert [(line["event"], line["verb"], line["user"], line["uid"], line["ended"]) for line in lines] == [
        ("audit", "job.create", "ann", 1000, "done"),
        ("audit", "node.remove", "ann", 1000, "node.unknown"),
    ]
    assert lines[0]["args"] == "{'package': 'app'}"
