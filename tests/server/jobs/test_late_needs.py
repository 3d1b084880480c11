"""Who joins a group later gets what a job that follows it needs, as the first targets did; offers bring theirs too."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_server.jobs.checks import Request


async def package(world: Any, name: str, version: str, *requires: str) -> None:
    await world.package(name, version, definition=canonical(Definition(name, version, requires=requires)))


async def joins(world: Any, node: str) -> None:
    await world.groups.join("sales", [node])
    await world.handover.drain()


async def test_newcomers_get_what_is_needed(world: Any) -> None:
    await world.join("pc1")
    await world.join("pc2")
    await package(world, "lib", "1")
    await package(world, "app", "1", "lib")
    await world.groups.add("sales", ["pc1"])
    made = await world.jobs.create(Request(type="install", package="app", by="t", groups=("sales",)))
    assert [one["nodes"] for one in made["needs"]] == [["pc1"]]
    await joins(world, "pc2")
    found = [(order.type, order.package, names) for order, names in world.orders()]
    assert ("install", "lib", ["pc2"]) in found
    assert ("install", "app", ["pc2"]) in found


async def test_an_offer_brings_what_it_needs_with_it(world: Any) -> None:
    await world.join("pc1")
    await package(world, "lib", "1")
    await package(world, "app", "1", "lib")
    made = await world.jobs.create(Request(type="offer", package="app", by="t", targets=("pc1",)))
    await world.handover.drain()
    orders = {order.package: order for order, _ in world.orders()}
    assert orders["lib"].type == "install"
    assert orders["lib"].options["with_offer"] == made["job"]
    assert "with_offer" not in orders["app"].options


async def test_what_can_not_be_had_keeps_no_newcomer_out(world: Any) -> None:
    await world.join("pc1")
    await world.join("pc2")
    await package(world, "app", "1", "lib")
    await world.says("pc1", packages={"lib": "1"})
    await world.groups.add("sales", ["pc1"])
    await world.jobs.create(Request(type="install", package="app", by="t", groups=("sales",)))
    await joins(world, "pc2")
    assert ("app", ["pc2"]) in [(order.package, names) for order, names in world.orders()]
