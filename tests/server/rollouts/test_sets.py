"""A set is counted with every word of its targets, and what follows is ordered in the same transaction."""

from typing import Any

from tiercast_protocol.wire.messages import JobShape
from tiercast_server.rollouts import sets

PCS = ("pc1", "pc2", "pc3", "pc4")


async def ordered_set(world: Any, **options: Any) -> str:
    await world.package("app", "1")
    for name in PCS:
        await world.join(name)
    job: str = await world.job(targets=PCS, options={"two_phase": True, **options})
    await world.handover.drain()
    return job


async def say(world: Any, job: str, node: str, state: str, code: str = "", revision: int = 1) -> None:
    await world.intake.take([world.record(job, node, state, revision=revision, code=code)])


async def test_it_is_committed_by_itself_once_so_many_are_prepared(world: Any) -> None:
    job = await ordered_set(world, commit_at_least=75)
    for name in PCS[:2]:
        await say(world, job, name, "staged", "commit.waits")
    assert len(world.orders()) == 1
    await say(world, job, "pc3", "staged", "commit.waits")
    await world.handover.drain()
    _, (order, names) = world.orders()
    assert (order.type, order.revision, order.options["step"], names) == ("install", 2, "commit", list(PCS))
    assert order.root, "a target that never heard of it can do all of it"
    assert order.must == ["step", "two_phase"]
    shown = await world.view.show(job)
    assert shown["phases"] == {"prepared": 3, "preparing": 1}
    assert [row["phase"] for row in shown["targets"]] == ["prepared"] * 3 + ["preparing"]
    assert shown["counts"] == {"staged": 3, "ordered": 1}, "an order of a step takes nothing back that was said"
    assert not world.tree.of(JobShape)


async def test_a_part_that_fails_undoes_it_and_nobody_joins_later(world: Any) -> None:
    job = await ordered_set(world, undo_if_failed=25)
    await say(world, job, "pc1", "installing", "accept.waits")
    await say(world, job, "pc2", "failed", "program.failed")
    await world.handover.drain()
    *_, (order, names) = world.orders()
    assert (order.options["step"], names) == ("undo", ["pc1", "pc3", "pc4"])
    for name in names:
        await say(world, job, name, "cancelled", "undone", revision=2)
    shown = await world.view.show(job)
    assert (shown["state"], shown["phases"]) == ("failed", {"failed": 1, "undone": 3})
    assert not shown["follows"]


async def test_who_joins_after_the_commit_is_ordered_as_much(world: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    await world.invite("pc2")
    job = await world.job(targets=("pc1", "pc2"), options={"two_phase": True, "commit_at_least": 50})
    await say(world, job, "pc1", "staged", "commit.waits")
    await world.join("pc2")
    await world.handover.drain()
    order, names = world.orders()[-1]
    assert (names, order.options["step"]) == (["pc2"], "commit")


async def test_a_job_in_one_phase_has_no_phases(world: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    job = await world.job(targets=("pc1",))
    shown = await world.view.show(job)
    assert shown["phases"] == {}
    assert "phase" not in shown["targets"][0]
    async with world.region.db.read() as connection:
        assert (await sets.counted(connection, job)).total == 1
