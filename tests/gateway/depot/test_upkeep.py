"""A gateway's depot is mended by its parent, and a parent's by those below it."""

from __future__ import annotations

from pathlib import Path

from tests.support.depots import until_told
from tests.support.hop import FakeAbove, gateway_node, made_package, parent_node, until

from tiercast_gateway.verbs import add_common_verbs
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.control.verbs import Verbs

KEY = PrivateKey.generate()


async def test_what_the_top_lost_a_gateway_below_gives_back(tmp_path: Path) -> None:
    package = made_package(4, size=200_000)
    above = FakeAbove()
    async with (
        parent_node(tmp_path, children=["mid"], key=KEY, name="top", above=above) as top,
        gateway_node(tmp_path, "mid", top, KEY) as mid,
    ):
        add_common_verbs(Verbs(), mid)
        for digest, stored in package.chunks.items():
            await top.depot.put(digest, stored)
            await mid.depot.put(digest, stored)
        await top.depot.know(package.root, "tool", "1.0", 1)
        await until(lambda: top.upkeep.holders() == ["mid"])
        gone = list(package.chunks)[:3]
        await top.depot.store.evict(gone)
        await top.upkeep.repair.note(dict.fromkeys(gone, "damaged"), seek=True)
        await until(lambda: all(top.depot.size(d) is not None for d in gone))

        async def healed() -> bool:
            return bool((await top.upkeep.figures())["healed_by"] == {"mid": 3})

        await until_told(healed)
        assert set(above.unwanted) == set(gone)
