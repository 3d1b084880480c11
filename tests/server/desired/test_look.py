"""What is known of machines: their own word or a later receipt, open jobs, versions that can be had."""

from __future__ import annotations

from typing import Any

from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.document import Assignment
from tiercast_server.desired.look import Sight, look, versions_of


async def seen(world: Any, *some: Assignment) -> dict[str, Sight]:
    async with world.region.db.write() as connection:
        for one in some:
            await assignment_rows.put(connection, one, "ann", 1, new=True)
    async with world.targeting.lock, world.region.db.read() as connection:
        return await look(world.region, world.targeting, connection)


async def test_the_later_word_counts(world: Any) -> None:
    await world.package("app", "1")
    for name in ("pc1", "pc2", "pc3"):
        await world.join(name)
    job = await world.job("install", targets=("pc1", "pc2"))
    await world.intake.take([world.record(job, "pc1", "done"), world.record(job, "pc2", "done")])
    world.now[0] += 10
    await world.says("pc1", packages={"app": "0.5"})
    found = await seen(world, Assignment("a", "below server", has="app >= 1"))
    machines = found["a"].machines
    assert {name: one.version for name, one in machines.items()} == {"pc1": "0.5", "pc2": "1", "pc3": None}
    assert {name: one.holds for name, one in machines.items()} == {"pc1": False, "pc2": True, "pc3": False}
    assert machines["pc1"].choice == "1"


async def test_open_jobs_and_jobs_that_ended(world: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    job = await world.job("install", targets=("pc1",))
    found = await seen(world, Assignment("a", "node pc1", has="app"))
    assert found["a"].machines["pc1"].busy == job


async def test_what_can_not_be_looked_at_says_why(world: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    found = await seen(world, Assignment("a", "where (nothing == 1)", has="app"))
    assert "nothing" in found["a"].wrong
    assert found["a"].machines == {}


async def test_versions_are_those_that_are_sealed(world: Any) -> None:
    await world.package("app", "1")
    async with world.region.db.read() as connection:
        assert await versions_of(connection, ["app", "other"]) == {"app": ["1"]}
