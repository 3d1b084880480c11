"""What was signed of replacing, removing and needing holds though the network half is an attacker's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint.halves.test_roothalf import question, refused, steps
from tests.endpoint.lab import Package, Region, pack
from tests.endpoint.two import Other, asking, root_half

from tiercast_endpoint.halves.line import Line
from tiercast_protocol.content.jobs.order import Order

FILES: dict[str, bytes | str | None] = {"data": b"x" * 1000}


@pytest.fixture
async def other(tmp_path: Path, region: Region) -> AsyncIterator[Other]:
    async with root_half(tmp_path, region) as half:
        yield half


async def install(line: Line, region: Region, job: str, package: Package, **options: Any) -> Order:
    order = region.order(job, "install", package, options=options)
    events = await steps(line, region, order, "plan", "assemble", "switch", "settle")
    assert [kind for kind, _ in events] == ["StepDone"] * 4, events
    return order


def link(folder: Path, name: str) -> str:
    return str((folder / "agent/root" / name).readlink())


@pytest.mark.parametrize("by", ["package", "job"])
async def test_an_older_version_does_not_replace_a_newer_one(
    other: Other, tmp_path: Path, region: Region, by: str
) -> None:
    rule = "newer" if by == "package" else "any"
    old, new = pack("app", "1.0", FILES, replace=rule), pack("app", "2.0", {**FILES, "b": b"y"}, replace=rule)
    ordered: dict[str, str | int | bool] = {"replace": "newer"} if by == "job" else {}
    async with asking(other.path, old.chunks | new.chunks) as line:
        await install(line, region, "j1", new)
        stands = link(tmp_path, "app")
        # signed, not expired, for this machine: a network half that keeps to the rules would not ask for it now
        older = region.order("j2", "install", old, options=ordered)
        await steps(line, region, older, "plan", "assemble")
        assert await refused(line, **question(region, older, "switch")) == "replace.refused"
        mend = region.order("j3", "repair", old)
        await steps(line, region, mend, "plan")
        assert await refused(line, **question(region, mend, "switch")) in {"verify.absent", "half.order"}
    assert link(tmp_path, "app") == stands


async def test_an_undo_does_not_replace_what_another_job_put_there(
    other: Other, tmp_path: Path, region: Region
) -> None:
    one, two, three = (pack("app", f"{n}.0", {**FILES, "n": str(n).encode()}) for n in (1, 2, 3))
    async with asking(other.path, one.chunks | two.chunks | three.chunks) as line:
        await install(line, region, "j1", one)
        second = region.order("j2", "install", two)
        await steps(line, region, second, "plan", "assemble", "switch")
        await install(line, region, "j3", three)
        stands = link(tmp_path, "app")
        await steps(line, region, second, "undo")
    assert link(tmp_path, "app") == stands


async def test_what_another_needs_is_removed_by_an_order_that_says_so_alone(
    other: Other, tmp_path: Path, region: Region
) -> None:
    tool, app = pack("tool", "1.0", FILES), pack("app", "1.0", {**FILES, "b": b"y"}, requires=("tool",))
    async with asking(other.path, tool.chunks | app.chunks) as line:
        early = region.order("j0", "install", app)
        await steps(line, region, early, "plan", "assemble")
        assert await refused(line, **question(region, early, "switch")) == "half.needs"
        await install(line, region, "j1", tool)
        await install(line, region, "j2", app)
        remove = region.order("j3", "remove", tool)
        for step in ("take", "unlink", "delete"):
            assert await refused(line, **question(region, remove, step)) in {"dependency.needed", "half.order"}
        assert link(tmp_path, "tool")
        # an order to remove the one that needs it, which the region did not sign, does not help
        forged = question(region, region.order("j4", "install", app), "unlink")["bundle"]
        asked = question(region, remove, "unlink", beside=[forged, b"", None, 7])
        assert await refused(line, **asked) in {"dependency.needed", "half.order"}
        both = question(region, region.order("j5", "remove", app), "unlink")["bundle"]
        for step in ("take", "unlink", "delete"):
            event, _ = (await line.ask("perform", **question(region, remove, step, beside=[both])))["event"]
            assert event == "StepDone"
    assert not (tmp_path / "agent/root/tool").is_symlink()


async def test_it_goes_where_the_order_says_though_it_is_needed(other: Other, tmp_path: Path, region: Region) -> None:
    tool, app = pack("tool", "1.0", FILES), pack("app", "1.0", {**FILES, "b": b"y"}, requires=("tool",))
    async with asking(other.path, tool.chunks | app.chunks) as line:
        await install(line, region, "j1", tool)
        await install(line, region, "j2", app)
        remove = region.order("j3", "remove", tool, options={"though_needed": True})
        events = await steps(line, region, remove, "take", "unlink", "delete")
    assert [kind for kind, _ in events] == ["StepDone"] * 3
    assert not (tmp_path / "agent/root/tool").is_symlink()


async def test_what_cannot_stand_beside_it_keeps_it_off(other: Other, region: Region) -> None:
    tool, app = pack("tool", "1.0", FILES), pack("app", "1.0", {**FILES, "b": b"y"}, conflicts=("tool",))
    async with asking(other.path, tool.chunks | app.chunks) as line:
        await install(line, region, "j1", tool)
        order = region.order("j2", "install", app)
        await steps(line, region, order, "plan", "assemble")
        assert await refused(line, **question(region, order, "switch")) == "half.needs"
