"""The two lanes of a package: who is prepared passes who is still on the way, and one installs at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.endpoint.lab import Region, agent_over, pack

from tiercast_endpoint.jobs.install import STATE_OF, Step
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.run import Run
from tiercast_endpoint.jobs.turns import AT_ONCE, Lane, lane_of
from tiercast_protocol.content.package.programs import Program


async def test_what_is_prepared_passes_a_long_fetch_of_its_package_and_of_others(
    tmp_path: Path, region: Region
) -> None:
    one, two = pack("hello", "1.0", {"a": b"one"}), pack("hello", "2.0", {"a": b"two"})
    others = [pack(f"p{n}", "1.0", {"a": b"%d" % n}) for n in range(AT_ONCE)]
    async with agent_over(tmp_path / "a", region, chunks=one.chunks) as agent:
        soon = int((time.time() + 2) * 1000)
        await agent.order(replace(region.order("j1", "install", one), options={"install_at": soon}))
        async with asyncio.timeout(60):
            while (await agent.row("j1")).snapshot.step is not Step.HOLD:  # noqa: ASYNC110 - the journal has no event
                await asyncio.sleep(0.01)
        agent.offer(two, *others)
        agent.fetcher.gate.clear()
        for package in (two, *others):
            await agent.order(region.order(f"j-{package.name}", "install", package))
        await agent.order(region.order("j-gone", "remove", two))
        assert (await agent.ended("j1")).state == "done"
        assert agent.tree("hello") == one.files
        assert STATE_OF[(await agent.row("j-hello")).snapshot.step] in {"waiting", "fetching"}
        assert not (await agent.row("j-gone")).finished, "what arrived after an install is carried out after it"
        agent.fetcher.gate.set()
        assert (await agent.ended("j-hello")).state == "done"
        assert (await agent.ended("j-gone")).state == "done"
        assert agent.tree("hello") is None


async def test_a_removal_passes_long_fetches_of_other_packages(tmp_path: Path, region: Region) -> None:
    one = pack("hello", "1.0", {"a": b"one"})
    others = [pack(f"p{n}", "1.0", {"a": b"%d" % n}) for n in range(AT_ONCE)]
    async with agent_over(tmp_path / "a", region, chunks=one.chunks) as agent:
        assert (await agent.do("j1", "install", one)).state == "done"
        agent.offer(*others)
        agent.fetcher.gate.clear()
        for package in others:
            await agent.order(region.order(f"j-{package.name}", "install", package))
        assert (await agent.do("j2", "remove", one)).state == "done"
        agent.fetcher.gate.set()
        for package in others:
            assert (await agent.ended(f"j-{package.name}")).state == "done"


async def test_installations_of_a_package_stay_one_at_a_time(tmp_path: Path, region: Region) -> None:
    """One whose time comes while another of its package installs waits for that one, and the other way round."""
    at_work: Counter[str] = Counter()
    most = 0

    async def watch(moment: str, step: Step) -> None:
        nonlocal most
        if step in {Step.BEFORE, Step.SWITCH, Step.AFTER, Step.SETTLE} and moment != "recorded":
            at_work["now"] += 1 if moment == "performing" else -1
            most = max(most, at_work["now"])

    slow = Program(("./slow.sh",))
    script = {"slow.sh": b"#!/bin/sh\nsleep 0.3\n"}
    packages = [pack("hello", f"{n}.0", {"a": b"%d" % n, **script}, run_before=slow) for n in (1, 2, 3)]
    chunks = {digest: stored for package in packages for digest, stored in package.chunks.items()}
    async with agent_over(tmp_path / "a", region, chunks=chunks, watch=watch) as agent:
        soon = int((time.time() + 0.6) * 1000)
        for number, package in enumerate(packages[:2]):
            order = region.order(f"j{number}", "install", package)
            await agent.order(replace(order, options={"install_at": soon}))
        await asyncio.sleep(0)
        await agent.order(region.order("j2", "install", packages[2]))
        for number in range(3):
            assert (await agent.ended(f"j{number}")).state == "done"
        assert most == 1
        assert len(agent.root.trees()) == 2, "the present one and the one before"


async def test_what_is_ready_waits_for_the_installation_that_runs(tmp_path: Path, region: Region) -> None:
    """Prepared while the first one's program runs: it installs after it, and may be cancelled meanwhile."""
    script = {"slow.sh": b"#!/bin/sh\nwhile [ ! -e go ]; do sleep 0.05; done\n"}
    one = pack("hello", "1.0", {"a": b"one", **script}, run_before=Program(("./slow.sh",)))
    two = pack("hello", "2.0", {"a": b"two"})
    async with agent_over(tmp_path / "a", region, chunks=one.chunks | two.chunks) as agent:
        soon = int((time.time() + 0.4) * 1000)
        await agent.order(replace(region.order("j1", "install", one), options={"install_at": soon}))
        async with asyncio.timeout(60):
            while not (row := await agent.row("j1")).running:  # noqa: ASYNC110 - the journal has no event
                await asyncio.sleep(0.01)
            await agent.order(region.order("j2", "install", two))
            while (await agent.row("j2")).snapshot.step is not Step.ASSEMBLE:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        await agent.order(region.order("j2", "cancel", None, revision=2))
        assert (await agent.ended("j2")).state == "cancelled"
        await agent.order(region.order("j3", "install", two))
        (agent.root.path / row.tree / "go").touch()
        assert (await agent.ended("j1")).state == "done"
        assert (await agent.ended("j3")).state == "done"
        assert agent.tree("hello") == two.files


@settings(deadline=None)
@given(story=st.lists(st.tuples(st.sampled_from(["join", "leave"]), st.integers(0, 4)), max_size=40))
def test_a_lane_has_one_first_and_keeps_its_order(story: list[tuple[str, int]]) -> None:
    runs = [cast("Run", object()) for _ in range(5)]
    lane, expected = Lane(), list[int]()
    events: dict[int, asyncio.Event] = {}
    for what, number in story:
        if what == "join":
            events[number] = lane.join(runs[number])
            expected += [] if number in expected else [number]
        else:
            lane.leave(runs[number])
            if number in expected:
                expected.remove(number)
                assert events[number].is_set(), "who waits for a place that was given up hears of it"
        assert [number in expected for number in range(5)] == [run in lane for run in runs]
        assert [number for number in expected if events[number].is_set()] == expected[:1]
        assert bool(lane) == bool(expected)


def test_jobs_about_no_package_have_lanes_by_type() -> None:
    def job(type_: str, package: str) -> Job:
        return Job("j", 1, type_, package, "1", 1, b"", 1, 2, "", "ordered", 1)

    assert lane_of(job("install", "x")) == lane_of(job("remove", "x")) == "x"
    assert lane_of(job("run", "")) != lane_of(job("message", ""))
