"""The links on the ways to a job's targets: what is known of them, and who is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer.overlap import Limit
from tiercast_server.jobs.checks import Request
from tiercast_server.nodes.ways import Ways

OWN = [{"child": "mid", "terms": {"rate": 5000}}, {"child": "pc2", "terms": {}}]


def a_request(*targets: str, **options: Any) -> Request:
    return Request(type="install", package="app", by="t", targets=targets, options=options)


async def ready(world: Any) -> Ways:
    await world.package("app", "1", {"a": b"x" * 100_000})
    for name, role, parent in (("mid", "gateway", ""), ("pc1", "endpoint", "mid"), ("pc2", "endpoint", "")):
        await world.join(name, role, parent)
    world.tree.answers |= {
        ("mid", "link.list"): [{"child": "pc1", "terms": {"rate": 2000, "window": "daily 01:00-02:00"}}]
    }
    return Ways(world.region, world.tree, lambda: OWN, world.targeting)


async def test_the_links_from_the_server_down(world: Any) -> None:
    ways = await ready(world)
    (way,) = await ways.of(a_request("pc1", "pc2", deadline=1))
    assert [(limit.name, limit.rate) for limit in way] == [
        ("the link from server to mid", 5000),
        ("the link from mid to pc1", 2000),
    ]
    assert way[1].windows


async def test_nobody_is_asked_where_nothing_depends_on_it(world: Any) -> None:
    ways = await ready(world)
    assert await ways.of(a_request("pc1")) == []
    assert await ways.of(a_request("nobody", deadline=1)) == []
    assert await ways.of(Request(type="remove", package="app", by="t", targets=("pc1",), options={"deadline": 1})) == []


async def test_who_does_not_answer_limits_nothing(world: Any) -> None:
    ways = await ready(world)
    del world.tree.answers["mid", "link.list"]
    (way,) = await ways.of(a_request("pc1", deadline=1))
    assert way == [Limit("the link from server to mid", rate=5000)]
    world.tree.answers["mid", "link.list"] = [7, {"child": "pc1", "terms": {"rate": "fast"}}, {"terms": 5}]
    assert len(await ways.of(a_request("pc1", deadline=1))) == 1


async def test_a_link_of_which_nothing_was_said_counts_as_measured(world: Any) -> None:
    ways = await ready(world)
    row = {"child": "pc1", "terms": {}, "measured": 700, "sent_bytes": 2 << 20}
    world.tree.answers["mid", "link.list"] = [row]
    (way,) = await ways.of(a_request("pc1", deadline=1))
    assert way[1] == Limit("the link from mid to pc1 (as measured)", rate=700.0)
    for unsure in ({"sent_bytes": 9}, {"measured": 0}, {"measured": "fast"}, {"sent_bytes": None}):
        world.tree.answers["mid", "link.list"] = [row | unsure]
        (way,) = await ways.of(a_request("pc1", deadline=1))
        assert len(way) == 1


async def test_what_all_links_of_a_parent_carry_counts_for_each_child_on_the_ways(world: Any) -> None:
    ways = await ready(world)
    await world.join("pc3", "endpoint", "mid")
    rows = [{"child": name, "terms": {}, "together": 900} for name in ("pc1", "pc3")]
    world.tree.answers["mid", "link.list"] = rows
    (way,) = await ways.of(a_request("pc1", "pc3", spread_auto=True))
    assert way[1:] == [Limit("all links from mid together", rate=900.0, copies=2)]


async def test_a_job_is_spread_by_its_links_and_says_so(world: Any) -> None:
    ways = await ready(world)
    request = a_request("pc1", spread_auto=True)
    made = await world.jobs.create(request, await ways.of(request))
    assert made["fetch_spread_s"] >= 1
    await world.handover.drain()
    ((order, _),) = world.orders()
    assert order.options == {"fetch_spread_s": made["fetch_spread_s"]}
    assert order.must == ["fetch_spread_s"]
    with pytest.raises(UsageError) as caught:
        await world.jobs.create(request, [])
    assert caught.value.code == "times.spread_s"


async def test_a_deadline_that_the_links_can_not_make_is_refused(world: Any) -> None:
    ways = await ready(world)
    request = a_request("pc1", deadline=world.region.clock() + 1000)
    with pytest.raises(UsageError) as caught:
        await world.jobs.create(request, [[Limit("the link from server to mid", rate=1)]])
    assert caught.value.code == "times.deadline"
    await world.jobs.create(replace(request, anyway=True), [[Limit("the link from server to mid", rate=1)]])
    await world.jobs.create(request, [])
    assert await ways.of(request)
