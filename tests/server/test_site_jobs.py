"""Which jobs are site-held, and what gateways are told of them."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.content.jobs import vouching as v
from tiercast_protocol.content.jobs.order import CANCEL, open_order
from tiercast_protocol.wire.site import SiteOrder
from tiercast_server.jobs.jobs import Request


async def region_of(world: Any) -> None:
    await world.package("app", "1")
    await world.join("west", "gateway")
    await world.join("far", "gateway", parent="west")
    for name, parent in (("pc1", "west"), ("pc2", "far"), ("own", "server")):
        await world.join(name, parent="" if parent == "server" else parent)
        await world.says(name, version="11")
    await world.groups.add("old", (), where='version == "11"')
    await world.groups.add("fixed", ("pc1",))


async def test_gateways_are_told_whom_a_job_means_and_may_vouch(world: Any) -> None:
    await region_of(world)
    job = await world.job(target="group old, fixed and below west")
    (message,) = world.tree.of(SiteOrder)
    order = open_order(message.order, message.signature, world.region.key.public)
    assert (order.job, order.revision, order.target_count) == (job, 1, 4)
    said = v.definition_of(order.options)
    assert said is not None
    assert said.groups == {"old": v.Group(where='version == "11"'), "fixed": v.Group(members=["pc1"])}
    assert said.below == {"west": ["far", "west"]}
    for leaf in message.vouchers:
        v.check_leaf(order, leaf, world.nodes[leaf.node].key.public, 1)
    assert [leaf.node for leaf in message.vouchers] == ["far", "west"]


async def test_what_only_the_region_can_decide_is_told_to_nobody(world: Any) -> None:
    await region_of(world)
    await world.groups.add("large", (), where=" || ".join(['version == "11"'] * 90))
    await world.job(groups=("fixed",))
    await world.job(targets=("pc1",))
    await world.job(groups=("old",), follow=False)
    await world.job("preload", targets=("west",))
    assert world.tree.of(SiteOrder) == []


async def test_the_region_adds_only_whom_no_gateway_can(world: Any) -> None:
    await region_of(world)
    job = await world.job(groups=("old",))
    await world.join("pc3", parent="far")
    await world.join("pc4")
    await world.join("late", "gateway")
    await world.join("pc5", parent="late")
    for name in ("pc3", "pc4", "pc5"):
        await world.says(name, version="11")
    await world.handover.drain()
    names = [row["node"] for row in (await world.view.show(job))["targets"]]
    assert sorted(names) == ["own", "pc1", "pc2", "pc4", "pc5"]
    await world.join("west", "gateway", replace=True)
    await world.join("pc6", parent="west")
    await world.says("pc6", version="11")
    assert len((await world.view.show(job))["targets"]) == 6, "a gateway with another key holds nothing of it"


async def test_a_cancel_ends_it_at_the_gateways_too(world: Any) -> None:
    await region_of(world)
    job = await world.job(groups=("old",))
    await world.intake.take([world.record(job, name, "done") for name in ("pc1", "pc2", "own")])
    await world.jobs.cancel(job)
    await world.handover.drain()
    last = world.tree.of(SiteOrder)[-1]
    order = open_order(last.order, last.signature, world.region.key.public)
    assert (order.job, order.type, order.revision) == (job, CANCEL, 2)
    v.check_leaf(order, last.vouchers[0], world.nodes["far"].key.public, 1)
    await world.jobs.delete(job)


async def test_a_target_too_long_to_be_told_is_ordered_and_the_answer_says_who_holds_it(world: Any) -> None:
    await region_of(world)
    names = await world.many(3_000)
    assert (await world.groups.add("many", names[:2_999]))["members"] == 2_999, "by name, by command"
    assert (await world.groups.join("many", names))["added"] == 1
    made = await world.jobs.create(Request("install", "app", "anna", groups=("old", "many"), confirm=3_003))
    assert (made["targets"], made["follows"], made["most_told"]) == (3_003, True, v.LONGEST)
    assert made["untold"] > 3_000 * len(names[0])
    await world.handover.drain()
    assert world.tree.of(SiteOrder) == []
    told = await world.jobs.create(Request("install", "app", "anna", groups=("old",)))
    assert "untold" not in told
    await world.handover.drain()
    assert len(world.tree.of(SiteOrder)) == 1
