"""What gateways decided: adopted once, proved, and never lost."""

from __future__ import annotations

from typing import Any

import pytest
from tests.server.test_site_jobs import region_of

from tiercast_protocol.content.jobs import vouching as v
from tiercast_protocol.content.jobs.order import CANCEL
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.wire.site import SiteJoined, Vouched
from tiercast_server.site_intake import SiteIntake


def joined(
    world: Any, job: str, node: str, *, by: str = "far", key: PrivateKey | None = None, **more: Any
) -> SiteJoined:
    gate = world.nodes[by]
    fields: dict[str, Any] = {"region": "r", "job": job, "revision": 1, "node": node, "generation": 1, "at": 5}
    fields |= {"public_key": world.nodes[node].key.public, "by": by, "by_key": gate.key.public, "by_generation": 1}
    data, signature = v.sign_voucher(v.Voucher(**(fields | more)), key or gate.key)
    return SiteJoined(node=by, entries=[Vouched(data=data, signature=signature)])


@pytest.fixture
async def job(world: Any) -> str:
    await region_of(world)
    name: str = await world.job(groups=("old",))
    await world.join("pc3", parent="far")
    return name


@pytest.fixture
def sites(world: Any) -> SiteIntake:
    return SiteIntake(world.region, world.intake, world.changes)


async def states(world: Any, job: str) -> dict[str, str]:
    return {row["node"]: row["state"] for row in (await world.view.show(job))["targets"]}


async def test_who_was_added_at_a_site_is_a_target_once_and_opens_the_job_again(
    world: Any, job: str, sites: SiteIntake
) -> None:
    await world.intake.take([world.record(job, name, "done") for name in ("pc1", "pc2", "own")])
    assert (await world.view.show(job))["state"] == "done"
    assert await sites.take(joined(world, job, "pc3")) == 1
    assert await sites.take(joined(world, job, "pc3")) == 0
    assert (await states(world, job))["pc3"] == "ordered"
    assert (await world.view.show(job))["state"] == "open"
    await world.handover.drain()
    assert [targets for order, targets in world.orders() if "pc3" in targets] == [], "the gateway ordered it"
    await world.intake.take([world.record(job, "pc3", "done")])
    assert (await world.view.show(job))["state"] == "done"


async def test_a_receipt_that_comes_first_waits_for_the_word(world: Any, job: str, sites: SiteIntake) -> None:
    await world.intake.take([world.record(job, "pc3", "done")])
    assert "pc3" not in await states(world, job)
    await sites.take(joined(world, job, "pc3"))
    assert (await states(world, job))["pc3"] == "done"


async def test_who_was_added_to_what_was_cancelled_is_told_so(world: Any, job: str, sites: SiteIntake) -> None:
    await world.jobs.cancel(job)
    await world.intake.take([world.record(job, name, "cancelled", revision=3) for name in ("pc1", "pc2", "own")])
    await sites.take(joined(world, job, "pc3"))
    await world.handover.drain()
    order, targets = world.orders()[-1]
    assert (order.type, targets) == (CANCEL, ["pc3"])


async def test_what_is_not_proved_adds_nobody(world: Any, job: str, sites: SiteIntake) -> None:
    await world.join("late", "gateway")
    other = await world.job(targets=("pc1",))
    wrong = [
        joined(world, job, "pc3", key=PrivateKey.generate()),
        joined(world, job, "pc3", by="late"),
        joined(world, job, "pc3", by="pc1"),
        joined(world, job, "pc3", revision=2),
        joined(world, job, "pc3", region="q"),
        joined(world, job, "pc3", generation=2),
        joined(world, job, "pc3", by_generation=2),
        joined(world, job, "west", public_key=world.nodes["west"].key.public),
        joined(world, other, "pc3"),
        SiteJoined(node="west", entries=joined(world, job, "pc3").entries),
        SiteJoined(node="far", entries=[Vouched(data=b"x", signature=b"y")]),
    ]
    for message in wrong:
        assert await sites.take(message) == 0
    assert sites.refused == len(wrong)
    assert "pc3" not in await states(world, job)
