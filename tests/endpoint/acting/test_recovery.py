"""What a crash left between old and new is whole before services start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.endpoint.acting.site import Lab, act, lab, snapshot
from tests.endpoint.acting.test_engine import cut_off

from tiercast_endpoint.acting.recovery import recover
from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.story import Snapshot, Step

FILES = act("files", path="/etc/app", source="d")


async def at(site: Lab, step: Step) -> None:
    """The job of all effects stands in the journal, at this step."""
    job = replace(site.job(0, "two"), snapshot=Snapshot("install", step))
    await site.db.write(lambda connection: journal.add_job(connection, job))


def names(top: Path) -> set[bytes]:
    return {path.read_bytes() for path in (top / "etc/app").iterdir()}


async def test_names_that_were_being_changed_are_all_changed(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        for tree, data in (("one", b"1"), ("two", b"2")):
            site.files(tree, {f"d/{n}": data for n in range(6)})
        await site.settled(7, "one", FILES)
        await at(site, Step.APPLY)
        mixed = 0
        for left in range(0, 70, 3):
            assert await cut_off(site, left, 1, "two", [FILES]) in {"cut", "done"}
            mixed += len(names(site.top)) > 1
            recover(tmp_path / "db", site.top, site.keep)
            assert len(names(site.top)) == 1, "all old or all new"
            await site.revert(1, "two")
            assert names(site.top) == {b"1"}
        assert mixed, "some of them were cut off in the middle"


async def test_who_was_going_back_is_back(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        site.files("two", {"a": b"A"})
        before = snapshot(site.top)
        await site.apply(1, "two", act("file", path="/x/a", source="a"), act("file", path="/b", source="a"))
        await at(site, Step.REVERT)
        assert recover(tmp_path / "db", site.top, site.keep) == ["file /b: back", "file /x/a: back"]
        assert snapshot(site.top) == before
        await site.revert(1, "two")
        assert snapshot(site.top) == before


def test_without_a_journal_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert recover(tmp_path / "none", tmp_path, tmp_path) == []
    (tmp_path / "empty").touch()
    assert recover(tmp_path / "empty", tmp_path, tmp_path) == []
