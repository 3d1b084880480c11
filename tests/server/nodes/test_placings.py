"""What brokers and nodes are told of parents: the difference, whole and once."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.wire.messages import Admitted, Dismissed
from tiercast_protocol.wire.moving import ParentsTold
from tiercast_server.nodes import placings
from tiercast_server.nodes.placings import Settling


async def test_nothing_is_told_twice(world: Any) -> None:
    await world.join("west", "gateway")
    await world.join("east", "gateway")
    await world.join("pc", parent="west")
    await world.handover.drain()
    world.tree.said.clear()
    settling = Settling(world.region, world.tree.children_url)
    async with world.region.db.write() as connection:
        await settling.settle(connection)
        await settling.settle(connection, "pc")
    await world.handover.drain()
    assert world.tree.said == []


async def test_what_was_forgotten_is_told_again_for_the_whole_branch(world: Any) -> None:
    await world.join("west", "gateway")
    await world.join("deep", "gateway", parent="west")
    await world.join("pc", parent="deep")
    await world.handover.drain()
    world.tree.said.clear()
    settling = Settling(world.region, world.tree.children_url)
    async with world.region.db.write() as connection:
        await placings.resend(connection, "west", "server")
        await settling.settle(connection)
    await world.handover.drain()
    assert {(m.name, m.parent) for m in world.tree.of(Admitted)} >= {("deep", "west"), ("pc", "deep")}
    assert world.tree.of(ParentsTold)


async def test_who_left_the_region_is_let_in_nowhere(world: Any) -> None:
    await world.join("west", "gateway")
    await world.join("east", "gateway")
    await world.join("pc", parent="west")
    await world.enrolment.remove("pc")
    await world.handover.drain()
    assert {m.parent for m in world.tree.of(Dismissed)} == {"", "east", "server"}
