"""Who changes a group changes what gateways hold of the jobs that name it."""

from __future__ import annotations

from typing import Any

from tests.server.test_site_jobs import region_of

from tiercast_protocol.content.jobs import vouching as v
from tiercast_protocol.content.jobs.regrouped import Regrouped, open_regrouped
from tiercast_protocol.wire.site import GroupsTold


def last(world: Any) -> Regrouped:
    message = world.tree.of(GroupsTold)[-1]
    return open_regrouped(message.data, message.signature, world.region.key.public)


async def test_gateways_hear_who_came_into_a_static_group_and_who_left(world: Any) -> None:
    await region_of(world)
    job = await world.job(target="group old and group fixed")
    assert world.tree.of(GroupsTold) == []
    await world.groups.join("fixed", ["pc2"])
    await world.handover.drain()
    assert len(world.tree.of(GroupsTold)) == 2, "each of the two that may vouch"
    assert (last(world).job, last(world).said.groups["fixed"].members) == (job, ["pc1", "pc2"])
    await world.groups.leave("fixed", ["pc1"])
    await world.groups.set_window("fixed", "daily 01:00-02:00")
    await world.handover.drain()
    assert last(world).said.groups["fixed"] == v.Group(members=["pc2"], window="daily 01:00-02:00")
    await world.groups.remove("fixed")
    await world.handover.drain()
    assert "fixed" not in last(world).said.groups
    assert last(world).said.groups["old"].where


async def test_nobody_hears_of_groups_that_no_such_job_names(world: Any) -> None:
    await region_of(world)
    await world.groups.add("other", ())
    await world.job(groups=("old",))
    await world.job(groups=("fixed",))
    await world.groups.join("other", ["pc1"])
    await world.groups.join("fixed", ["pc2"])
    await world.handover.drain()
    assert world.tree.of(GroupsTold) == []
