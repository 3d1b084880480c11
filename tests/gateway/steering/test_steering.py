"""What is said of transfers reaches the machine, is kept, and goes down the tree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from tests.support.hop import FakeAbove, admitted, child_node, chunks, gateway_node, order_for, parent_node, until

from tiercast_gateway.steering.holds import Hold
from tiercast_gateway.subtree import SubTree
from tiercast_protocol.content.jobs.reason import words
from tiercast_protocol.content.jobs.shape import Shape, sign_shape
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid, UsageError
from tiercast_protocol.transfer.policy import LinkPolicy, Pace
from tiercast_protocol.wire.messages import HoldEntry, Holds, JobShape

KEY = PrivateKey.generate()
ROOT = b"r" * 32


@pytest.fixture
async def top(tmp_path: Path) -> AsyncIterator[SubTree]:
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        yield tree


def shape(change: int, job: str = "j1", region: str = "test", **options: str | int | bool) -> JobShape:
    data, signature = sign_shape(Shape(region=region, epoch=1, job=job, change=change, options=options), KEY)
    return JobShape(shape=data, signature=signature)


async def test_terms_of_links_are_kept_and_act_again_after_a_start(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        await tree.steering.set_link("pc", {"rate": 5000, "metered": True}, [])
        await tree.steering.set_link("pc", {"floor": 2000}, ["metered"])
        await tree.steering.set_link("", {"rate": 9000}, [])
        await tree.steering.suspensions.suspend([Hold("", "pc", by="anna@top", link=True)])
        for wrong in ({"rate": 1}, {"segment": 4096}, {"colour": 1}, {"window": "never"}):
            with pytest.raises(UsageError):
                await tree.steering.set_link("pc", wrong, [])
        with pytest.raises(UsageError, match="no child"):
            await tree.steering.set_link("nobody", {"rate": 5000}, [])
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        assert tree.steering.now.links == {
            "pc": LinkPolicy(Pace(rate=5000, floor=2000)),
            "": LinkPolicy(Pace(rate=9000)),
        }
        assert set(tree.steering.now.lanes) == {"pc"}
        assert tree.steering.link("pc")["shut"]["why"] == "suspended by anna@top"
        await tree.steering.set_link("pc", {}, ["rate", "floor"])
        assert await tree.steering.suspensions.resume([Hold("", "pc", link=True)]) == 1
        assert tree.steering.limit("pc") == 0
        assert not tree.steering.now.lanes


async def test_terms_of_a_job_stand_as_long_as_it_is_open(tmp_path: Path) -> None:
    bundle = order_for(KEY, {"pc": b"p" * 32}, root=ROOT, options={"priority": 7, "rate": 5000})
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        await tree.take_order(bundle)
        assert tree.steering.now.jobs["j1"].priority == 7
        await tree.steering.jobs.take(shape(2, priority=9))
        await tree.steering.jobs.take(shape(1, priority=1))  # late
        assert tree.steering.now.jobs["j1"].priority == 9
        assert tree.steering.now.jobs["j1"].pace.rate is None
        assert [m.kind for m in await tree.post.pending()] == ["order.v1", "job.shape.v1", "job.shape.v1"]
        with pytest.raises(SignatureInvalid):
            await tree.steering.jobs.take(shape(5, region="elsewhere"))
        with pytest.raises(SignatureInvalid):
            await tree.steering.jobs.take(JobShape(shape=shape(5).shape, signature=shape(4).signature))
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        assert tree.steering.now.jobs["j1"].priority == 9
        await tree.steering.suspensions.suspend([Hold("j1", "")])
        later = order_for(KEY, {"pc": b"p" * 32}, root=ROOT, revision=2, options={"priority": 3, "shape": 3})
        await tree.take_order(later)
        assert tree.steering.now.jobs["j1"].priority == 3, "signed after the change"
        await tree.take_order(order_for(KEY, {"pc": b"p" * 32}, type_="cancel", revision=3))
        assert not tree.steering.now.jobs
        await until(lambda: not tree.steering.said.all("hold") and not tree.steering.said.all("shape"))


async def test_a_subtree_is_suspended_and_goes_on(top: SubTree, tmp_path: Path) -> None:
    await top.admit(admitted("mid", "top", role="gateway"))
    async with gateway_node(tmp_path, "mid", top, KEY) as mid:
        await top.admit(admitted("low", "mid", role="gateway"))
        await until(lambda: mid.enrolment.known("low"))
        async with gateway_node(tmp_path, "low", mid, KEY) as low:
            await top.admit(admitted("deep", "low"))
            await until(lambda: low.enrolment.known("deep"))
            await top.steering.suspensions.suspend([Hold("", "mid", by="anna@top")])
            async with asyncio.timeout(25):
                await until(lambda: "deep" in low.steering.now.lanes)
            assert set(top.steering.now.lanes) == {"mid"}, "the other child goes on"
            assert set(mid.steering.now.lanes) == {"low"}
            assert low.steering.link("deep")["shut"]["why"] == "suspended by anna@top"
            # who comes late is covered too
            await top.admit(admitted("late", "low"))
            await until(lambda: "late" in low.steering.now.lanes)
            # a department's own word stands beside it
            await mid.steering.suspensions.suspend([Hold("", "low", by="bert@mid")])
            await top.steering.suspensions.resume([Hold("", "mid")])
            await until(lambda: not mid.steering.suspensions.shown()[1:])
            assert low.steering.link("deep")["shut"]["why"] in {"suspended by anna@top", "suspended by bert@mid"}
            await until(lambda: low.steering.link("deep")["shut"]["why"] == "suspended by bert@mid")
            assert await top.steering.suspensions.resume([Hold("", "low")]) == 0, "not suspended from there"
            await mid.steering.suspensions.resume([Hold("", "low")])
            await until(lambda: not low.steering.now.lanes)
            # one job, one host, two tiers below
            await top.steering.suspensions.suspend([Hold("j1", "deep", by="anna@top")])
            await until(lambda: ("j1", "deep") in low.steering.now.silent)
            assert not top.steering.now.silent
            assert not mid.steering.now.silent
        async with gateway_node(tmp_path, "low", mid, KEY) as low:
            assert ("j1", "deep") in low.steering.now.silent, "kept"
            await top.steering.suspensions.resume([Hold("j1", "deep")])
            await until(lambda: not low.steering.now.silent)
    with pytest.raises(UsageError, match="not below"):
        await top.steering.suspensions.suspend([Hold("", "nobody")])


async def test_a_suspension_ends_by_itself(top: SubTree) -> None:
    end = time.time_ns() // 1_000_000 + 600
    await top.steering.suspensions.suspend([Hold("", "pc", end, "anna@top")])
    assert set(top.steering.now.lanes) == {"pc"}
    async with asyncio.timeout(60):
        await until(lambda: not top.steering.now.lanes)
    assert time.time_ns() // 1_000_000 >= end
    assert top.steering.suspensions.shown() == []


async def test_of_a_parents_lists_the_newest_stands(top: SubTree) -> None:
    await top.steering.suspensions.take("", Holds(seq=5, holds=[HoldEntry(node="pc", by="x")]))
    await top.steering.suspensions.take("", Holds(seq=4, holds=[]))
    assert set(top.steering.now.lanes) == {"pc"}
    await top.steering.suspensions.take("", Holds(seq=6, holds=[]))
    assert not top.steering.now.lanes


class Wall:
    """The clock on the wall, which may be stepped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        self._from = time.monotonic()
        self.step(text)
        monkeypatch.setattr("tiercast_gateway.steering.steering.wall_clock", self)

    def step(self, text: str) -> None:
        self._at = datetime.fromisoformat(text).timestamp()
        self._from = time.monotonic()

    def __call__(self) -> float:
        return self._at + time.monotonic() - self._from


async def test_a_window_opens_and_shuts_within_a_second_and_follows_a_stepped_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = Wall(monkeypatch, "2026-11-20T21:00:00")
    held = chunks(40, 50_000)
    async with (
        parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as top,
        child_node(tmp_path, "pc", top.broker.children_url, parent="top") as pc,
        asyncio.TaskGroup() as tasks,
    ):
        for digest, stored in held.items():
            await top.depot.put(digest, stored)
        await until(lambda: pc.upstream.connected)
        await top.steering.set_link("pc", {"window": "mon-fri 22:00-06:00 at 400000"}, [])
        assert top.steering.link("pc")["shut"]["code"] == "window.shut"
        assert "until 2026-11-20 22:00" in top.steering.link("pc")["shut"]["why"]
        fetching = tasks.create_task(pc.upstream.fetch(list(held)))
        wall.step("2026-11-20T21:59:59.500")
        began = time.monotonic()
        await until(lambda: pc.upstream.chunks_in > 0)
        assert 0.4 < time.monotonic() - began < 1.5
        # in the summer of another year, by day: shut
        wall.step("2027-07-20T12:00:00")
        await until(lambda: top.steering.link("pc")["rate_now"] == 0.0)
        await until(lambda: top.streams.machine.lanes()[0].in_flight == 0)
        count = pc.upstream.chunks_in
        assert count < len(held)
        # and the night of the year before
        wall.step("2025-07-22T23:00:00")
        await until(lambda: top.steering.link("pc")["rate_now"] == 400_000)
        await top.steering.set_link("pc", {}, ["window"])
        await fetching


async def test_a_budget_stops_a_job_and_is_spent_after_a_start_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = Wall(monkeypatch, "2026-11-20T12:00:00")
    held = chunks(40, 50_000)
    options: dict[str, str | int | bool] = {"budget": 500_000, "per": "day", "rate": 1_000_000}
    bundle = order_for(KEY, {"pc": b"p" * 32}, root=ROOT, options=options)
    for life in (1, 2):
        async with (
            parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as top,
            child_node(tmp_path, "pc", top.broker.children_url, parent="top") as pc,
            asyncio.TaskGroup() as tasks,
        ):
            if life == 1:
                for digest, stored in held.items():
                    await top.depot.put(digest, stored)
                await top.take_order(bundle)
            await until(lambda: pc.upstream.connected)
            fetching = tasks.create_task(pc.upstream.fetch(list(held), "j1"))
            await until(lambda: ("j1", "pc") in top.steering.now.silent)
            assert "of 500,000 bytes per day" in words(top.steering.now.silent["j1", "pc"])
            await until(lambda: top.streams.machine.lanes()[0].in_flight == 0 if top.streams.machine.lanes() else True)
            spent = pc.upstream.bytes_in
            assert (400_000 < spent < 1_000_000) if life == 1 else spent < 300_000
            await until(lambda: "pc|j1" in top.steering.said.all("spent"))
            if life == 2:
                wall.step("2026-11-21T12:00:00")  # another day
                await until(lambda: ("j1", "pc") not in top.steering.now.silent)
            fetching.cancel()


async def test_a_link_that_gives_each_job_less_than_the_job_itself_is_the_stricter(
    top: SubTree, tmp_path: Path
) -> None:
    held = chunks(20, 50_000)
    for digest, stored in held.items():
        await top.depot.put(digest, stored)
    options: dict[str, str | int | bool] = {"budget": 100_000_000, "rate": 1_000_000}
    await top.take_order(order_for(KEY, {"pc": b"p" * 32}, root=ROOT, options=options))
    await top.steering.set_link("pc", {"budget": 200_000, "per": "job"}, [])
    async with (
        child_node(tmp_path, "pc", top.broker.children_url, parent="top") as pc,
        asyncio.TaskGroup() as tasks,
    ):
        await until(lambda: pc.upstream.connected)
        fetching = tasks.create_task(pc.upstream.fetch(list(held), "j1"))
        await until(lambda: ("j1", "pc") in top.steering.now.silent)
        why = top.steering.now.silent["j1", "pc"]
        assert "of 200,000 bytes per job" in words(why)
        assert dict(why.facts)["terms"] == "link"
        await top.steering.set_link("pc", {}, ["budget", "per"])
        await fetching


async def test_a_metered_link_serves_only_jobs_that_may_use_it(top: SubTree, tmp_path: Path) -> None:
    held = chunks(8, 50_000)
    digests = list(held)
    for digest, stored in held.items():
        await top.depot.put(digest, stored)
    for job, metered in (("j1", False), ("j2", True)):
        options: dict[str, str | int | bool] = {"metered": metered}
        await top.take_order(order_for(KEY, {"pc": b"p" * 32}, job=job, root=ROOT, options=options))
    await top.steering.set_link("pc", {"metered": True}, [])
    async with (
        child_node(tmp_path, "pc", top.broker.children_url, parent="top") as pc,
        asyncio.TaskGroup() as tasks,
    ):
        await until(lambda: pc.upstream.connected)
        waiting = tasks.create_task(pc.upstream.fetch(digests[:4], "j1"))
        await pc.upstream.fetch(digests[4:], "j2")
        assert pc.upstream.chunks_in == 4
        assert not waiting.done()
        await top.steering.set_link("pc", {"metered": False}, [])
        await waiting
