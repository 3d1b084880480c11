"""Jobs: every mistake named before anything is written, and every order told at least once."""

from typing import Any

import pytest

from tiercast_protocol.errors import StoreFull, UsageError
from tiercast_protocol.wire.messages import OrderBundle
from tiercast_server.handover import Handover
from tiercast_server.jobs.checks import Request
from tiercast_server.jobs.life import GRACE_MS


async def _ready(world: Any, *names: str) -> None:
    await world.package("app", "1")
    for name in names:
        await world.join(name)


async def test_an_order_reaches_each_target_once_with_its_proof(world: Any) -> None:
    await _ready(world, "pc1", "pc2", "pc3")
    await world.groups.add("office", ["pc1", "pc2"])
    made = await world.jobs.create(
        Request(type="install", package="app", by="t", targets=("pc2", "pc3"), groups=("office",), options={"a": 1})
    )
    assert made["targets"] == 3
    await world.handover.drain()
    ((order, names),) = world.orders()
    assert names == ["pc1", "pc2", "pc3"]
    assert (order.job, order.revision, order.type, order.package, order.version) == (
        made["job"],
        1,
        "install",
        "app",
        "1",
    )
    assert (order.region, order.epoch, order.options) == ("r", world.region.epoch, {"a": 1})
    shown = await world.view.show(made["job"])
    assert shown["counts"] == {"ordered": 3}


async def test_an_order_that_was_not_told_before_a_kill_is_told_after_it(world: Any) -> None:
    await _ready(world, "pc1")
    await world.jobs.create(Request(type="install", package="app", by="t", targets=("pc1",)))
    world.tree.failing = StoreFull(1, 0, "disk")
    with pytest.raises(StoreFull):
        await world.handover.drain()
    assert not world.tree.of(OrderBundle)
    world.tree.failing = None
    assert await Handover(world.region.db, world.tree).drain() == 1
    assert len(world.orders()) == 1
    assert await Handover(world.region.db, world.tree).drain() == 0


async def test_cancelling_is_an_order_of_the_next_revision(world: Any) -> None:
    await _ready(world, "pc1", "pc2")
    job = await world.job(targets=("pc1", "pc2"))
    await world.intake.take([world.record(job, "pc2", "done")])
    assert (await world.jobs.cancel(job))["again"] is False
    assert (await world.jobs.cancel(job))["again"] is True
    await world.handover.drain()
    _, (order, names) = world.orders()
    assert (order.type, order.revision, names) == ("cancel", 2, ["pc1"])
    await world.intake.take([world.record(job, "pc1", "cancelled", revision=2)])
    shown = await world.view.show(job)
    assert (shown["state"], shown["counts"]) == ("cancelled", {"cancelled": 1, "done": 1})
    with pytest.raises(UsageError) as caught:
        await world.jobs.cancel(job)
    assert caught.value.code == "job.closed"


async def test_a_target_that_has_not_joined_waits_with_the_reason(world: Any) -> None:
    await _ready(world, "pc1")
    await world.invite("pc2")
    job = await world.job(targets=("pc1", "pc2"))
    waiting = (await world.view.show(job))["targets"][1]
    assert (waiting["state"], waiting["code"], bool(waiting["detail"])) == ("waiting", "node.not-joined", True)
    await world.join("pc2")
    _, (order, names) = world.orders()
    assert (order.type, order.revision, names) == ("install", 2, ["pc2"])
    await world.intake.take([world.record(job, "pc1", "done"), world.record(job, "pc2", "done", revision=2)])
    assert (await world.view.show(job))["state"] == "done"


async def test_a_job_for_nobody_who_joined_can_be_cancelled(world: Any) -> None:
    await world.package("app", "1")
    await world.invite("pc1")
    job = await world.job(targets=("pc1",))
    await world.jobs.cancel(job)
    await world.handover.drain()
    assert (await world.view.show(job))["state"] == "cancelled"
    assert world.orders() == []


async def test_a_replaced_node_gets_a_new_order_and_its_old_key_proves_nothing(world: Any) -> None:
    await _ready(world, "pc1")
    job = await world.job(targets=("pc1",))
    old = world.record(job, "pc1", "done")
    await world.join("pc1", replace=True)
    assert await world.intake.take([old]) == 0
    assert world.intake.refused == 1
    _, names = [pair for pair in _bundles(world) if pair[0] == 2][-1]
    assert names == ["pc1"]
    await world.intake.take([world.record(job, "pc1", "done", revision=2)])
    assert (await world.view.show(job))["state"] == "done"


def _bundles(world: Any) -> list[tuple[int, list[str]]]:
    from tiercast_protocol.content.jobs.order import open_order  # noqa: PLC0415 - only here

    return [
        (open_order(b.order, b.signature, world.region.key.public).revision, [t.node for t in b.targets])
        for b in world.tree.of(OrderBundle)
    ]


async def test_a_removed_node_ends_its_part(world: Any) -> None:
    await _ready(world, "pc1", "pc2")
    job = await world.job(targets=("pc1", "pc2"))
    await world.intake.take([world.record(job, "pc1", "done")])
    await world.enrolment.remove("pc2")
    shown = await world.view.show(job)
    assert (shown["state"], shown["targets"][1]["code"]) == ("cancelled", "node.removed")


async def test_expiry_closes_what_never_answered_and_a_late_receipt_corrects_it(world: Any) -> None:
    await _ready(world, "pc1", "pc2")
    job = await world.job(targets=("pc1", "pc2"), expires_s=60)
    await world.intake.take([world.record(job, "pc1", "done")])
    assert await world.jobs.expire() == world.now[0] + 60_000
    world.now[0] += 60_000
    assert await world.jobs.expire() == world.now[0] + GRACE_MS
    world.now[0] += GRACE_MS
    assert await world.jobs.expire() is None
    shown = await world.view.show(job)
    assert (shown["state"], shown["targets"][1]["state"]) == ("expired", "expired")
    assert shown["targets"][1]["detail"]
    await world.intake.take([world.record(job, "pc2", "done")])
    assert (await world.view.show(job))["state"] == "done"


async def test_only_closed_jobs_are_deleted(world: Any) -> None:
    await _ready(world, "pc1")
    job = await world.job(targets=("pc1",))
    with pytest.raises(UsageError) as caught:
        await world.jobs.delete(job)
    assert caught.value.code == "job.open"
    await world.intake.take([world.record(job, "pc1", "done")])
    await world.jobs.delete(job)
    with pytest.raises(UsageError, match="no job"):
        await world.view.show(job)


async def test_many_targets_go_in_several_bundles_of_one_order(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await _ready(world, *(f"pc{n}" for n in range(5)))
    monkeypatch.setattr("tiercast_server.orders.BUNDLE", 2)
    await world.job(targets=tuple(world.nodes))
    assert [len(names) for _, names in world.orders()] == [2, 2, 1]
    assert len({order.targets_root for order, _ in world.orders()}) == 1


async def test_a_job_about_no_package(world: Any) -> None:
    await _ready(world, "pc1", "pc2")
    made = [await world.job("run", "", targets=("pc1", "pc2"), options={"argv": '["/bin/true"]'}) for _ in range(2)]
    order, names = world.orders()[0]
    assert (order.type, order.package, order.root, names) == ("run", "", b"", ["pc1", "pc2"])
    assert order.options == {"argv": '["/bin/true"]'}
    await world.intake.take(
        [world.record(made[0], node, state) for node, state in (("pc1", "running"), ("pc2", "done"))]
    )
    assert (await world.view.show(made[0]))["counts"] == {"running": 1, "done": 1}
    with pytest.raises(UsageError) as caught:
        await world.jobs.set_terms(made[0], {"priority": 9}, [])
    assert caught.value.code == "job.type"
    await world.jobs.cancel(made[1])
    await world.handover.drain()
    assert world.orders()[-1][0].type == "cancel"
    await world.package("app", "1")
    with pytest.raises(UsageError) as caught:
        await world.job("run", "", targets=("pc1",), options={"argv": '["./x"]'})
    assert caught.value.code == "run.argv"
