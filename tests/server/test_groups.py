"""Groups: many to many, names checked all at once."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.facts import GroupsTold


async def test_a_node_is_in_many_groups(world: Any) -> None:
    for name in ("pc1", "pc2"):
        await world.join(name)
    await world.groups.add("a", ["pc1"])
    await world.groups.add("b", ["pc1", "pc2"])
    assert [(group["name"], group["members"]) for group in await world.groups.list_()] == [("a", 1), ("b", 2)]
    assert (await world.groups.join("a", ["pc1", "pc2"]))["added"] == 1
    assert (await world.groups.leave("a", ["pc1"]))["members"] == 1
    shown = {
        "name": "a",
        "kind": "static",
        "where": "",
        "window": "",
        "members": ["pc2"],
        "by_itself": [],
        "wake": False,
    }
    assert await world.groups.show("a") == shown
    await world.groups.remove("b")
    assert [group["name"] for group in await world.groups.list_()] == ["a"]


async def test_a_removed_node_leaves_its_groups(world: Any) -> None:
    await world.join("pc1")
    await world.groups.add("a", ["pc1"])
    await world.enrolment.remove("pc1")
    assert (await world.groups.show("a"))["members"] == []


async def test_mistakes_change_nothing(world: Any) -> None:
    await world.join("pc1")
    await world.groups.add("a", ["pc1"])
    for call, code in (
        (world.groups.add("a", []), "group.exists"),
        (world.groups.add("no good", []), "name.invalid"),
        (world.groups.add("b", ["x", "y"]), "node.unknown"),
        (world.groups.join("b", ["pc1"]), "group.unknown"),
        (world.groups.leave("a", ["pc1", "pc9"]), "member.unknown"),
        (world.groups.show("b"), "group.unknown"),
        (world.groups.remove("b"), "group.unknown"),
    ):
        with pytest.raises(UsageError) as caught:
            await call
        assert caught.value.code == code
    assert [(group["name"], group["members"]) for group in await world.groups.list_()] == [("a", 1)]


async def test_a_group_by_expression_is_whoever_it_is_true_of(world: Any) -> None:
    for name, cpus in (("pc1", 2), ("pc2", 8)):
        await world.join(name)
        await world.says(name, cpus=cpus)
    assert await world.groups.add("big", [], where="cpus >= 4") == {"name": "big", "members": 1}
    await world.says("pc1", cpus=16)
    assert (await world.groups.show("big"))["members"] == ["pc1", "pc2"]
    await world.says("pc2", cpus=1)
    shown = await world.groups.show("big")
    assert (shown["kind"], shown["where"], shown["members"]) == ("expression", "cpus >= 4", ["pc1"])
    for call, code in (
        (world.groups.join("big", ["pc2"]), "group.dynamic"),
        (world.groups.leave("big", ["pc1"]), "group.dynamic"),
        (world.groups.add("x", ["pc1"], where="cpus > 1"), "group.kind"),
        (world.groups.add("x", [], where="cpus > 1", self_join=True), "group.kind"),
        (world.groups.add("x", [], where="speed > 1"), "fact.unknown"),
        (world.groups.add("x", [], where="cpus >"), "condition.syntax"),
        (world.groups.add("x", [], where="cpus"), "condition.invalid"),
    ):
        with pytest.raises(UsageError) as caught:
            await call
        assert caught.value.code == code
    assert [group["name"] for group in await world.groups.list_()] == ["big"]


async def test_machines_join_by_themselves_where_they_may(world: Any) -> None:
    for name in ("pc1", "pc2"):
        await world.join(name)
    await world.groups.add("open", ["pc2"], self_join=True)
    await world.groups.add("shut", [])
    await world.says("pc1", groups=["open", "shut", "none"])
    told = world.tree.of(GroupsTold)[-1]
    assert (told.joined, sorted(told.refused)) == (["open"], ["none", "shut"])
    shown = await world.groups.show("open")
    assert (shown["members"], shown["by_itself"]) == (["pc1", "pc2"], ["pc1"])
    made = await world.groups.add("none", [], self_join=True)
    assert made["members"] == 1, "who asked before is in it now"
    assert (await world.groups.show("none"))["by_itself"] == ["pc1"]
    await world.says("pc2", groups=[])
    await world.says("pc1", groups=[])
    assert (await world.groups.show("none"))["members"] == []
    assert (await world.groups.show("open"))["members"] == ["pc2"], "whom an administrator put there stays"
    assert world.tree.of(GroupsTold)[-1].joined == []
