"""A job's targets come a page at a time, whole and in order; counts are of all."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_cli.shown import words
from tiercast_protocol.content.jobs import chosen
from tiercast_server.jobs import targets as job_targets
from tiercast_server.jobs.targets import Wanted


async def test_pages_put_together_are_all_of_them(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_targets, "PAGE", 2)
    await world.package("app", "1")
    names = [f"pc{number}" for number in range(5)]
    for name in names:
        await world.join(name)
    job = await world.job(targets=tuple(names))
    seen: list[str] = []
    shown = await world.view.show(job)
    assert (shown["left_out"], shown["counts"]) == (3, {"ordered": 5})
    while True:
        seen += [row["node"] for row in shown["targets"]]
        if not shown["next"]:
            break
        alone = await world.view.show(job, Wanted(after=shown["next"], alone=True))
        shown = await world.view.show(job, Wanted(after=shown["next"]))
        assert alone == {name: shown[name] for name in ("job", "targets", "next")}, "nothing else is looked up again"
    assert seen == names
    some = await world.view.show(job, Wanted(on=("pc3", "nobody")))
    assert [row["node"] for row in some["targets"]] == ["pc3"]


async def test_the_first_of_many_are_those_that_ended_badly(world: Any) -> None:
    await world.package("app", "1")
    for name in ("pc1", "pc2", "pc3"):
        await world.join(name)
    job = await world.job(targets=("pc1", "pc2", "pc3"))
    await world.intake.take([world.record(job, "pc1", "done"), world.record(job, "pc3", "failed")])
    shown = await world.view.show(job, Wanted(most=1))
    assert [row["node"] for row in shown["targets"]] == ["pc3"]
    assert shown["next"] == "", "it is no place in the list"


async def test_what_an_owner_chose_is_shown_with_every_field(world: Any) -> None:
    """Records leave out what is nothing, and whoever shows them reads all of it."""
    await world.package("app", "1")
    await world.join("pc1")
    job = await world.job(targets=("pc1",))
    said = chosen.packed(chosen.Chosen(until=9_000, times=2, by="alice", at=5))
    await world.intake.take([world.record(job, "pc1", "staged", owner=said)])
    (row,) = (await world.view.show(job))["targets"]
    assert row["owner"] == chosen.Chosen(until=9_000, times=2, by="alice", at=5).shown()
    assert "alice: deferred twice, until" in words.chosen(row["owner"])
