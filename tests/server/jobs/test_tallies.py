"""Counts of ended jobs are kept, and never after something changed."""

from __future__ import annotations

from typing import Any

from tiercast_server.jobs import tallies
from tiercast_server.jobs.rows import get
from tiercast_server.jobs.tallies import Tallies


async def test_counts_of_ended_jobs_are_kept_until_they_are_touched(world: Any) -> None:
    await world.package("app", "1")
    for name in ("pc1", "pc2"):
        await world.join(name)
    job = await world.job(targets=("pc1", "pc2"))
    kept = Tallies(world.changes)

    async def counts() -> dict[str, int]:
        async with world.region.db.read() as connection:
            found = await kept.of(connection, [await get(connection, job)])
        return found[job]

    assert await counts() == {"ordered": 2}
    assert not kept._kept, "it is open"
    await world.intake.take([world.record(job, "pc1", "done"), world.record(job, "pc2", "failed")])
    assert await counts() == {"done": 1, "failed": 1}
    assert await counts() == {"done": 1, "failed": 1}
    assert job in kept._kept
    again = world.record(job, "pc2", "done", attempt=2)
    assert await world.intake.take([again]) == 1
    assert await counts() == {"done": 2}


async def test_no_more_than_so_many_are_kept(world: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(tallies, "MOST", 1)
    await world.package("app", "1")
    await world.join("pc1")
    kept = Tallies(world.changes)
    for _ in range(2):
        job = await world.job(targets=("pc1",))
        await world.intake.take([world.record(job, "pc1", "done")])
        async with world.region.db.read() as connection:
            assert await kept.of(connection, [await get(connection, job)]) == {job: {"done": 1}}
    assert list(kept._kept) == [job]
