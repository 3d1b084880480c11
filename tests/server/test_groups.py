"""Groups: many to many, names checked all at once."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server import groups


async def test_a_node_is_in_many_groups(world: Any) -> None:
    for name in ("pc1", "pc2"):
        await world.join(name)
    await groups.add(world.region, "a", ["pc1"])
    await groups.add(world.region, "b", ["pc1", "pc2"])
    assert await groups.list_(world.region) == [{"name": "a", "members": 1}, {"name": "b", "members": 2}]
    assert (await groups.join(world.region, "a", ["pc1", "pc2"]))["added"] == 1
    assert (await groups.leave(world.region, "a", ["pc1"]))["members"] == 1
    assert await groups.show(world.region, "a") == {"name": "a", "members": ["pc2"]}
    await groups.remove(world.region, "b")
    assert [group["name"] for group in await groups.list_(world.region)] == ["a"]


async def test_a_removed_node_leaves_its_groups(world: Any) -> None:
    await world.join("pc1")
    await groups.add(world.region, "a", ["pc1"])
    await world.enrolment.remove("pc1")
    assert (await groups.show(world.region, "a"))["members"] == []


async def test_mistakes_change_nothing(world: Any) -> None:
    await world.join("pc1")
    await groups.add(world.region, "a", ["pc1"])
    for call, code in (
        (groups.add(world.region, "a", []), "group.exists"),
        (groups.add(world.region, "no good", []), "name.invalid"),
        (groups.add(world.region, "b", ["x", "y"]), "node.unknown"),
        (groups.join(world.region, "b", ["pc1"]), "group.unknown"),
        (groups.leave(world.region, "a", ["pc1", "pc9"]), "member.unknown"),
        (groups.show(world.region, "b"), "group.unknown"),
        (groups.remove(world.region, "b"), "group.unknown"),
    ):
        with pytest.raises(UsageError) as caught:
            await call
        assert caught.value.code == code
    assert await groups.list_(world.region) == [{"name": "a", "members": 1}]
