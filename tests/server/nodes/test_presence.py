"""Who is there, asked tier by tier."""

import time
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.nodes import nodes
from tiercast_server.nodes.presence import Presence
from tiercast_server.tree import Child


async def _tree(world: Any) -> Presence:
    await world.join("gw", "gateway")
    await world.join("deep", "gateway", parent="gw")
    await world.join("pc1", parent="deep")
    await world.invite("pc2")
    return Presence(world.region, world.tree)


def _answers(world: Any) -> None:
    world.tree.present = [Child("gw", online=True, since=5)]
    for gateway, child in (("gw", "deep"), ("deep", "pc1")):
        world.tree.answers[gateway, "status"] = {"children": [{"name": child, "online": True, "since": 6}]}


async def test_each_gateway_tells_of_its_own_children(world: Any) -> None:
    presence = await _tree(world)
    _answers(world)
    rows = {row["name"]: row for row in await presence.list_()}
    assert list(rows) == ["server", "deep", "gw", "pc1", "pc2"]
    assert [rows[name]["online"] for name in rows] == [True, True, True, True, False]
    assert (rows["pc1"]["parent"], rows["pc1"]["since"]) == ("deep", 6)
    assert (rows["pc2"]["joined"], rows["pc2"]["generation"]) == (0, 0)


async def test_below_a_silent_gateway_nobody_is_called_online(world: Any) -> None:
    presence = await _tree(world)
    world.tree.present = [Child("gw", online=True, since=5)]
    rows = {row["name"]: row["online"] for row in await presence.list_()}
    assert rows == {"server": True, "deep": False, "gw": True, "pc1": False, "pc2": False}


async def test_below_a_gateway_that_left_all_are_offline_since_it_last_said(world: Any) -> None:
    presence = await _tree(world)
    _answers(world)
    await presence.list_()
    world.tree.present = [Child("gw", online=False, since=7)]
    rows = {row["name"]: row for row in await presence.list_()}
    assert [(rows[n]["online"], rows[n]["since"]) for n in ("gw", "deep", "pc1")] == [
        (False, 7),
        (False, 6),
        (False, 6),
    ]


async def test_the_server_is_there_since_its_start(world: Any) -> None:
    before = time.time_ns() // 1_000_000
    server = (await Presence(world.region, world.tree).list_())[0]
    assert before <= server["since"] <= time.time_ns() // 1_000_000
    assert server["joined"] == world.region.epoch


async def test_one_node(world: Any) -> None:
    presence = await _tree(world)
    shown = await presence.show("gw")
    assert (shown["children"], shown["state"]) == (["deep"], "joined")
    assert (await presence.show("server"))["children"] == ["gw", "pc2"]
    with pytest.raises(UsageError) as caught:
        await presence.show("nobody")
    assert caught.value.code == "node.unknown"


async def test_a_parents_address_is_asked_and_remembered(world: Any) -> None:
    presence = await _tree(world)
    assert await presence.address_of(None) == "mqtt://127.0.0.1:1883"
    async with world.region.db.read() as connection:
        gateway = await nodes.get(connection, "gw")
    with pytest.raises(UsageError) as caught:
        await presence.address_of(gateway)
    assert caught.value.code == "node.silent"
    world.tree.answers["gw", "status"] = {"broker": {"url": "mqtt://gw:7"}}
    assert await presence.address_of(gateway) == "mqtt://gw:7"
    del world.tree.answers["gw", "status"]
    async with world.region.db.read() as connection:
        gateway = await nodes.get(connection, "gw")
    assert await presence.address_of(gateway) == "mqtt://gw:7"
