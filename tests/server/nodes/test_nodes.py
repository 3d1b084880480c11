"""The node tree's rows."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.nodes import nodes


async def test_resolving_is_a_union_without_doubles(world: Any) -> None:
    for name in ("b", "a", "c"):
        await world.join(name)
    await world.groups.add("g", ["a", "b"])
    async with world.region.db.read() as connection:
        found = await nodes.resolve(connection, ["b", "c", "c"], ["g", "g"])
        assert [node.name for node in found] == ["a", "b", "c"]
        assert await nodes.resolve(connection, [], []) == []


async def test_every_unknown_name_is_said_at_once(world: Any) -> None:
    async with world.region.db.read() as connection:
        with pytest.raises(UsageError) as caught:
            await nodes.resolve(connection, ["x", "y"], ["z"])
    assert caught.value.what == "No node is called 'x', 'y'; no group is called 'z'."


async def test_children_and_removed_nodes(world: Any) -> None:
    await world.join("gw", "gateway")
    await world.join("pc1", parent="gw")
    async with world.region.db.read() as connection:
        assert await nodes.children_of(connection, "server") == ["gw"]
        assert await nodes.children_of(connection, "gw") == ["pc1"]
    await world.enrolment.remove("pc1")
    async with world.region.db.read() as connection:
        assert await nodes.find(connection, "pc1") is None
        assert [node.name for node in await nodes.all_nodes(connection)] == ["gw"]
        removed = await nodes.find_any(connection, "pc1")
    assert removed is not None
    assert (removed.state, removed.public_key) == ("removed", b"")
