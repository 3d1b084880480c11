"""Inventories: the node's own word, the newest, and what follows from it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tiercast_protocol.errors import UsageError


async def test_the_newest_word_of_the_node_stands(world: Any) -> None:
    await world.join("pc1")
    old = world.word("pc1", cpus=1)
    assert await world.says("pc1", cpus=2) == 1
    assert await world.inventories.take([old]) == 0
    shown = await world.inventories.show("pc1")
    assert (shown["facts"]["cpus"], shown["received"]) == (2, world.now[0])
    assert [one["node"] for one in (await world.inventories.list_())["nodes"]] == ["pc1"]


async def test_words_that_are_not_the_nodes_own_are_refused(world: Any) -> None:
    for name in ("pc1", "pc2"):
        await world.join(name)
    good = world.word("pc1")
    change = msgspec.structs.replace
    forged = [
        change(world.word("pc2"), node="pc1"),
        change(good, signature=bytes(64)),
        change(good, seq=good.seq + 7),
        change(good, generation=2),
        change(good, node="nobody"),
    ]
    assert await world.inventories.take(forged) == 0
    assert world.inventories.refused == len(forged)
    assert await world.inventories.take([*forged, good]) == 1, "what is forged beside it takes nothing from it"


async def test_a_machine_that_left_is_forgotten_and_one_that_came_again_is_believed(world: Any) -> None:
    await world.join("pc1")
    await world.says("pc1")
    await world.enrolment.remove("pc1")
    assert (await world.inventories.list_())["nodes"] == []
    await world.join("pc1")
    assert await world.says("pc1") == 1


async def test_who_said_nothing_is_told_of(world: Any) -> None:
    await world.join("gw", "gateway")
    await world.invite("pc1")
    for name, code, word in (
        ("gw", "inventory.none", "gateway"),
        ("pc1", "inventory.none", "not joined"),
        ("x", "node.unknown", "x"),
    ):
        with pytest.raises(UsageError, match=word) as caught:
            await world.inventories.show(name)
        assert caught.value.code == code


async def test_the_list_takes_an_expression(world: Any) -> None:
    for name, cpus in (("pc1", 1), ("pc2", 4), ("pc3", 8)):
        await world.join(name)
        await world.says(name, cpus=cpus)
    await world.join("pc4")
    found = await world.inventories.list_("where (cpus > 2) minus node pc3")
    assert ([one["node"] for one in found["nodes"]], found["unknown"]) == (["pc2"], {"inventory": 1})
    with pytest.raises(UsageError):
        await world.inventories.list_("where (cpus)")


async def test_a_long_list_comes_in_parts(world: Any) -> None:
    names = [f"pc{number}" for number in range(12)]
    for name in names:
        await world.join(name)
        await world.says(name, packages={f"p{number}": "1" * 255 for number in range(500)})
    found: list[str] = []
    answers, after = 0, ""  # each of 130 KB
    while True:
        page = await world.inventories.list_("not node pc4", after)
        found += [one["node"] for one in page["nodes"]]
        answers += 1
        if not (after := page["next"]):
            break
    assert found == sorted(name for name in names if name != "pc4")
    assert answers == 2
