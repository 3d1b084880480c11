"""A part of a job: whom it means, and what is said of a part that is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs.order import open_order
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import OrderBundle
from tiercast_server.jobs.parts import Part, below, chosen


async def ready(world: Any) -> str:
    await world.package("app", "1")
    for name, role, parent in (("mid", "gateway", ""), ("low", "gateway", "mid")):
        await world.join(name, role, parent)
    for name, parent in (("pc1", ""), ("pc2", "mid"), ("pc3", "low"), ("pc4", "low"), ("other", "low")):
        await world.join(name, "endpoint", parent)
    await world.groups.add("some", ["pc1", "pc4", "other"])
    job: str = await world.job(targets=("pc1", "pc2", "pc3", "pc4"))
    return job


async def cancelled(world: Any) -> tuple[list[str], dict[str, Any]]:
    """Whom the last order names, and its options."""
    await world.handover.drain()
    bundle = world.tree.of(OrderBundle)[-1]
    order = open_order(bundle.order, bundle.signature, world.region.key.public)
    assert order.type == "cancel"
    return sorted(target.node for target in bundle.targets), dict(order.options)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (Part(nodes=("pc2",)), ["pc2"]),
        (Part(groups=("some",)), ["pc1", "pc4"]),
        (Part(below=("mid",)), ["pc2", "pc3", "pc4"]),
        (Part(below=("low",), nodes=("pc1",)), ["pc1", "pc3", "pc4"]),
    ],
)
async def test_whom_a_cancel_names(world: Any, part: Part, names: list[str]) -> None:
    job = await ready(world)
    assert (await world.jobs.cancel(job, part))["targets"] == names
    assert await cancelled(world) == (names, {"some": True})
    shown = await world.view.show(job)
    assert (shown["state"], shown["cancelling"]) == ("open", False)
    for node in names:
        await world.intake.take([world.record(job, node, "cancelled", revision=2)])
    left = [row["node"] for row in (await world.view.show(job))["targets"] if row["state"] == "ordered"]
    assert sorted([*left, *names]) == ["pc1", "pc2", "pc3", "pc4"]


async def test_force_is_said_in_the_order(world: Any) -> None:
    job = await ready(world)
    await world.jobs.cancel(job)
    assert (await cancelled(world))[1] == {}
    assert (await world.jobs.cancel(job, force=True))["again"] is True
    names, options = await cancelled(world)
    assert (len(names), options) == (4, {"force": True})


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (Part(nodes=("other",)), "target.unknown"),
        (Part(nodes=("nobody",)), "node.unknown"),
        (Part(groups=("nothing",)), "group.unknown"),
        (Part(below=("nowhere",)), "node.unknown"),
        (Part(below=("pc1", "other"), nodes=("pc2",)), ""),
        (Part(below=("other",)), "part.ended"),
    ],
)
async def test_a_part_that_is_none_is_refused(world: Any, part: Part, code: str) -> None:
    job = await ready(world)
    if not code:
        assert (await world.jobs.cancel(job, part))["targets"] == ["pc1", "pc2"]
        return
    with pytest.raises(UsageError) as caught:
        await world.jobs.cancel(job, part)
    assert caught.value.code == code


async def test_who_has_ended_is_not_cancelled(world: Any) -> None:
    job = await ready(world)
    await world.intake.take([world.record(job, "pc2", "done")])
    with pytest.raises(UsageError) as caught:
        await world.jobs.cancel(job, Part(nodes=("pc2",)))
    assert caught.value.code == "part.ended"
    async with world.region.db.read() as connection:
        from tiercast_server.jobs import rows as job_rows  # noqa: PLC0415 - of this test alone

        found = await job_rows.get(connection, job)
        assert await chosen(connection, found, Part(below=("mid",)), world.jobs.targeting) == ["pc3", "pc4"]


@given(st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from("abcdefgs")), st.sets(st.sampled_from("abcdefg")))
def test_below_ends_in_any_tree_and_in_circles(parents: dict[str, str], tops: set[str]) -> None:
    found = below(tops, parents, "abcdefg")
    assert tops <= found
    for name in found - tops:
        assert parents[name] in found
