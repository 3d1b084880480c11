"""Lists of software in the region: kept once, asked for where they lack, seen by conditions that ask for them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from tiercast_protocol.content.facts import software as lists
from tiercast_protocol.content.facts.condition import compile_condition
from tiercast_protocol.wire.facts import InventoryAsk, SoftwareList
from tiercast_server.database.tables import software_lists
from tiercast_server.inventories import software

OLD, NEW = {"openssl": "3.0.9", "zlib": "1"}, {"openssl": "3.0.11", "zlib": "1"}
ONE, WHOLE = lists.packed(OLD)
TWO, _ = lists.packed(NEW)
STEP = SoftwareList(digest=TWO, data=lists.difference(OLD, NEW), base=ONE)


async def test_groups_and_targets_ask_for_software(world: Any) -> None:
    for name in ("pc1", "pc2", "pc3"):
        await world.join(name)
    await world.groups.add("old", [], where='compare(software["openssl"], "3.0.10") < 0')
    words = [world.word(name, listed=ONE) for name in ("pc1", "pc2")]
    await world.inventories.take([*words, world.word("pc3")], [SoftwareList(digest=ONE, data=WHOLE)])
    assert (await world.groups.show("old"))["members"] == ["pc1", "pc2"]
    await world.inventories.take([world.word("pc2", listed=TWO)], [STEP])
    assert (await world.groups.show("old"))["members"] == ["pc1"]
    found = await world.inventories.list_('where (software["openssl"] == "3.0.11")')
    assert ([one["node"] for one in found["nodes"]], found["unknown"]) == (["pc2"], {"software": 1})
    shown = await world.inventories.show("pc2", whole=True)
    assert shown["software"] == [["openssl", "3.0.11"], ["zlib", "1"]]
    await world.groups.add("zlib", [], where='"zlib" in software && size(software) > 1')
    assert (await world.groups.show("zlib"))["members"] == ["pc1", "pc2"]


async def test_a_list_that_lacks_is_asked_for_and_settles_groups_when_it_comes(world: Any) -> None:
    asked: list[InventoryAsk] = []

    async def ask(message: InventoryAsk) -> None:
        asked.append(message)

    world.inventories.ask = ask
    await world.join("pc1")
    await world.groups.add("new", [], where='software["openssl"] == "3.0.11"')
    await world.inventories.take([world.word("pc1", listed=TWO)], [STEP])
    assert asked == [InventoryAsk(lists=[TWO])], "what the step begins with is not here"
    assert (await world.groups.show("new"))["members"] == []
    await world.inventories.take([], [SoftwareList(digest=ONE, data=WHOLE), STEP])
    assert (await world.groups.show("new"))["members"] == ["pc1"]
    await world.inventories.take([], [SoftwareList(digest=bytes(32), data=WHOLE), SoftwareList(digest=ONE, data=b"x")])
    assert len(asked) == 1


async def test_a_list_that_nobody_names_goes(world: Any) -> None:
    await world.join("pc1")
    await world.inventories.take([world.word("pc1", listed=ONE)], [SoftwareList(digest=ONE, data=WHOLE)])
    await world.inventories.take([world.word("pc1", listed=TWO)], [STEP])
    async with world.region.db.write() as connection:
        assert await software.lacking(connection, ["pc1"]) == set()
        await software.sweep(connection)
        assert (await connection.execute(select(func.count()).select_from(software_lists))).scalar() == 1
        assert await software.packed(connection, {ONE.hex()}) == {}


async def test_only_what_is_asked_for_is_told(world: Any) -> None:
    await world.join("pc1")
    await world.inventories.take([world.word("pc1", listed=ONE)], [SoftwareList(digest=ONE, data=WHOLE)])
    async with world.region.db.read() as connection:
        for condition, told in (
            ("cpus > 1", ""),
            ('software["openssl"] == "3"', '"software":{"openssl":"3.0.9"}'),
            ("size(software) > 1", '"software":{"openssl":"3.0.9","zlib":"1"}'),
        ):
            rows = await software.rows_for(connection, [compile_condition(condition)])
            assert told in rows[0][1]
            assert bool(told) == ("software" in rows[0][1])
