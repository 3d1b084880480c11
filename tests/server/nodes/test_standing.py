"""Which version stands where: by receipt or by the machine's own word, whichever is later."""

from __future__ import annotations

from typing import Any

from tiercast_server.nodes.standing import revision, versions


async def held(world: Any) -> dict[str, str]:
    async with world.region.db.read() as connection:
        return await versions(connection, "app", ["pc1", "pc2"])


async def test_the_later_word_counts(world: Any) -> None:
    await world.package("app", "1")
    for name in ("pc1", "pc2"):
        await world.join(name)
    assert await held(world) == {"pc1": "", "pc2": ""}
    job = await world.job(targets=("pc1", "pc2"))
    await world.intake.take([world.record(job, "pc1", "done"), world.record(job, "pc2", "failed")])
    assert await held(world) == {"pc1": "1", "pc2": ""}
    world.now[0] += 1
    await world.inventories.take([world.word("pc2", packages={"app": "7"}), world.word("pc1", packages={"app": "1"})])
    assert await held(world) == {"pc1": "1", "pc2": "7"}
    world.now[0] += 1
    job = await world.job("remove", targets=("pc1",))
    await world.intake.take([world.record(job, "pc1", "done")])
    assert await held(world) == {"pc1": "", "pc2": "7"}


async def test_the_revision_is_that_of_the_job_that_brought_the_version(world: Any) -> None:
    async def told(version: str = "1") -> int:
        async with world.region.db.read() as connection:
            return await revision(connection, "app", version, "pc1")

    await world.package("app", "1")
    await world.package("app", "1", {"a": b"mended"}, 2)
    await world.join("pc1")
    assert await told() == 0
    job = await world.job(package="app=1/1", targets=("pc1",))
    await world.intake.take([world.record(job, "pc1", "done")])
    assert await told() == 1
    job = await world.job(package="app=1/2", targets=("pc1",))
    await world.intake.take([world.record(job, "pc1", "failed")])
    assert await told() == 1
    world.now[0] += 1
    job = await world.job(package="app=1/2", targets=("pc1",))
    await world.intake.take([world.record(job, "pc1", "done")])
    assert (await told(), await told("7")) == (2, 0)
