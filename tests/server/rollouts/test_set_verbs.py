"""Commit, accept and undo by hand: all of a set or a part, and what is refused."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.parts import Part
from tiercast_server.rollouts.set_verbs import Sets


async def prepared(world: Any, *names: str) -> str:
    await world.package("app", "1")
    for name in ("pc1", "pc2"):
        await world.join(name)
    job: str = await world.job(targets=("pc1", "pc2"), options={"two_phase": True})
    for name in names:
        await world.intake.take([world.record(job, name, "staged", code="commit.waits")])
    return job


async def steps(world: Any) -> list[tuple[str, list[str]]]:
    await world.handover.drain()
    return [(order.options.get("step", ""), names) for order, names in world.orders()]


async def test_all_of_it_or_a_part(world: Any) -> None:
    job, verbs = await prepared(world, "pc1"), Sets(world.region, world.jobs)
    with pytest.raises(UsageError, match="1 of 2 targets") as caught:
        await verbs.say(job, "commit", Part())
    assert caught.value.code == "set.few"
    assert await verbs.say(job, "commit", Part(nodes=("pc1",))) == {
        "job": job,
        "step": "commit",
        "targets": ["pc1"],
        "open": 1,
    }
    await verbs.say(job, "commit", Part(), force=True)
    with pytest.raises(UsageError) as caught:
        await verbs.say(job, "accept", Part())
    assert caught.value.code == "set.uncommitted"
    await verbs.say(job, "undo", Part())
    assert await steps(world) == [
        ("", ["pc1", "pc2"]),
        ("commit", ["pc1"]),
        ("commit", ["pc1", "pc2"]),
        ("undo", ["pc1", "pc2"]),
    ]
    with pytest.raises(UsageError) as caught:
        await verbs.say(job, "commit", Part(), force=True)
    assert caught.value.code == "set.undone"


async def test_a_job_in_one_phase_and_one_that_has_ended_are_refused(world: Any) -> None:
    job, verbs = await prepared(world), Sets(world.region, world.jobs)
    for name in ("pc1", "pc2"):
        await world.intake.take([world.record(job, name, "done")])
    with pytest.raises(UsageError) as caught:
        await verbs.say(job, "undo", Part())
    assert caught.value.code == "job.closed"
    with pytest.raises(UsageError) as caught:
        await verbs.say(await world.job(targets=("pc1",)), "commit", Part())
    assert caught.value.code == "set.single"


async def test_who_never_got_a_key_is_closed_by_an_undo(world: Any) -> None:
    await world.package("app", "1")
    await world.invite("pc1")
    job = await world.job(targets=("pc1",), options={"two_phase": True})
    await Sets(world.region, world.jobs).say(job, "undo", Part())
    assert (await world.view.show(job))["state"] == "cancelled"


async def test_while_it_is_cancelled_nothing_is_committed(world: Any) -> None:
    job, verbs = await prepared(world, "pc1", "pc2"), Sets(world.region, world.jobs)
    await world.jobs.cancel(job)
    with pytest.raises(UsageError) as caught:
        await verbs.say(job, "commit", Part())
    assert caught.value.code == "job.open"
