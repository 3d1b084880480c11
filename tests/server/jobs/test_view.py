"""Lists, snapshots and watching."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from tiercast_protocol.errors import UsageError
from tiercast_server.database import tables
from tiercast_server.jobs.targets import Wanted


async def _job(world: Any) -> str:
    await world.package("app", "1")
    await world.join("pc1")
    job: str = await world.job(targets=("pc1",), note="friday")
    return job


async def test_the_list_is_newest_first_with_counts(world: Any) -> None:
    first = await _job(world)
    await world.intake.take([world.record(first, "pc1", "done")])
    second = await world.job("remove", targets=("pc1",))
    rows = await world.view.list_(10)
    assert [row["job"] for row in rows] == [second, first]
    assert (rows[1]["state"], rows[1]["counts"], rows[1]["targets"], rows[1]["note"]) == (
        "done",
        {"done": 1},
        1,
        "friday",
    )
    assert len(await world.view.list_(1)) == 1


async def test_a_job_is_found_by_its_number_too(world: Any) -> None:
    job = await _job(world)
    assert (await world.view.show("1"))["job"] == (await world.view.show("j1"))["job"] == job


async def test_a_target_that_moved_is_shown_below_its_present_parent(world: Any) -> None:
    job = await _job(world)
    assert [row["parent"] for row in (await world.view.show(job))["targets"]] == ["server"]
    async with world.region.db.write() as connection:
        await connection.execute(update(tables.nodes).where(tables.nodes.c.name == "pc1").values(parent="rome"))
    (row,) = (await world.view.show(job))["targets"]
    assert row["parent"] == "rome"
    assert "present" not in row


async def test_watching_shows_each_change_and_ends_with_the_end(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiercast_server.jobs.view.PUSH_S", 0.01)
    job = await _job(world)
    states: list[dict[str, int]] = []
    async with asyncio.timeout(60):
        async for snapshot in world.view.watch(job):
            states.append(snapshot["counts"])
            state = {1: "fetching", 2: "done"}.get(len(states))
            if state:
                await world.intake.take([world.record(job, "pc1", state)])
    assert states == [{"ordered": 1}, {"fetching": 1}, {"done": 1}]


async def test_watching_an_ended_job_is_one_snapshot(world: Any) -> None:
    job = await _job(world)
    await world.intake.take([world.record(job, "pc1", "done")])
    assert [snapshot["state"] async for snapshot in world.view.watch(job)] == ["done"]


async def test_what_is_not_there_is_said(world: Any) -> None:
    job = await _job(world)
    for call, code in (
        (world.view.show("j9"), "job.unknown"),
        (world.view.receipt(job, "pc9"), "target.unknown"),
        (world.view.receipt(job, "pc1"), "receipt.none"),
    ):
        with pytest.raises(UsageError) as caught:
            await call
        assert caught.value.code == code


async def test_of_many_targets_those_that_need_somebody_are_shown(world: Any) -> None:
    await world.package("app", "1")
    names = [f"pc{n}" for n in range(6)]
    for name in names:
        await world.join(name)
    job = await world.job(targets=tuple(names))
    said = {"pc3": "failed", "pc4": "done", "pc5": "fetching"}
    await world.intake.take([world.record(job, n, state, done=3, total=9) for n, state in said.items()])
    shown = await world.view.show(job, Wanted(most=2))
    assert [row["node"] for row in shown["targets"]] == ["pc3", "pc5"]
    assert (shown["left_out"], shown["missed"]) == (4, {})
    assert shown["counts"] == {"done": 1, "failed": 1, "fetching": 1, "ordered": 3}
    assert shown["bytes"] == {"done": 9, "total": 27}
    whole = await world.view.show(job)
    assert (len(whole["targets"]), whole["left_out"]) == (6, 0)
    assert [row["node"] for row in (await world.view.show(job, Wanted(most=6)))["targets"]] == names
