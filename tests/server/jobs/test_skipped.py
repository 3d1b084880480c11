"""What was passed over is counted on its own, wherever targets are counted for people."""

from __future__ import annotations

from typing import Any

from tiercast_server.jobs.skipped import apart, may_skip


def test_apart() -> None:
    assert apart({"done": 3, "failed": 1}, 2) == {"done": 1, "failed": 1, "skipped": 2}
    assert apart({"done": 2}, 2) == {"skipped": 2}
    assert apart({"done": 2}, 0) == {"done": 2}
    assert may_skip({"condition_false": "skip"})
    assert not may_skip({"condition_false": "wait"})


async def test_a_job_that_passed_machines_over_says_so_in_show_and_list(world: Any) -> None:
    await world.package("app", "1")
    for name in ("pc1", "pc2"):
        await world.join(name)
    options = {"condition": "cpus > 1", "condition_false": "skip"}
    job = await world.job(targets=("pc1", "pc2"), options=options)
    await world.intake.take(
        [world.record(job, "pc1", "done"), world.record(job, "pc2", "done", code="condition.skipped")]
    )
    shown = await world.view.show(job)
    assert (shown["state"], shown["counts"]) == ("done", {"done": 1, "skipped": 1})
    assert (await world.view.list_(5))[0]["counts"] == {"done": 1, "skipped": 1}
