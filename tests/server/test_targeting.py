"""Who is meant: names must exist, sub-trees and conditions give the role that is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs.target import parse
from tiercast_protocol.errors import UsageError
from tiercast_server.nodes.nodes import Node
from tiercast_server.targeting import Picked, shown


async def _region(world: Any) -> None:
    await world.join("berlin", "gateway")
    await world.join("floor", "gateway", "berlin")
    for name, parent, cpus in (("pc1", "", 1), ("pc2", "berlin", 2), ("pc3", "floor", 4), ("pc4", "floor", 8)):
        await world.join(name, "endpoint", parent)
        await world.says(name, cpus=cpus, labels={"site": parent} if parent else {})
    await world.groups.add("mixed", ["pc1", "berlin"])
    await world.groups.add("big", [], where="cpus >= 4")


@pytest.mark.parametrize(
    ("text", "role", "names"),
    [
        ("node pc1, pc3", "endpoint", "pc1 pc3"),
        ("below server", "endpoint", "pc1 pc2 pc3 pc4"),
        ("below server", "gateway", "berlin floor"),
        ("below berlin", "endpoint", "pc2 pc3 pc4"),
        ("below berlin", "gateway", "floor"),
        ("below floor, berlin minus node pc3", "endpoint", "pc2 pc4"),
        ("group mixed", "endpoint", "berlin pc1"),
        ("group big and below floor", "endpoint", "pc3 pc4"),
        ("not group big", "endpoint", "pc1 pc2"),
        ("where (cpus > 1 && cpus < 8)", "endpoint", "pc2 pc3"),
        ('where (labels.site == "floor")', "endpoint", "pc3 pc4"),
        ('not where (labels.site == "floor")', "endpoint", "pc1 pc2"),
        ("not not not node pc1", "gateway", "berlin floor"),
    ],
)
async def test_who_is_meant(world: Any, text: str, role: str, names: str) -> None:
    await _region(world)
    async with world.region.db.read() as connection:
        whole = await world.targeting.pick(connection, parse(text), role)
        some = await world.targeting.pick(connection, parse(text), role, ["pc1", "pc3", "berlin"])
    found = [node.name for node in whole.nodes]
    assert found == names.split()
    assert [node.name for node in some.nodes] == [name for name in found if name in {"pc1", "pc3", "berlin"}]


async def test_conditions_are_about_endpoints(world: Any) -> None:
    await _region(world)
    async with world.region.db.read() as connection:
        with pytest.raises(UsageError) as caught:
            await world.targeting.pick(connection, parse("below server minus where (cpus > 1)"), "gateway")
    assert caught.value.code == "condition.role"


async def test_what_is_not_known_is_counted(world: Any) -> None:
    await _region(world)
    await world.join("pc5")
    async with world.region.db.read() as connection:
        found = await world.targeting.pick(connection, parse('where (labels.site == "floor")'), "endpoint")
        assert dict(found.unknown) == {"site": 1, "inventory": 1}
        assert (await world.targeting.pick(connection, None, "endpoint")).nodes == []


@given(st.dictionaries(st.text(min_size=1), st.sampled_from(["a", "b", "c"]), max_size=20))
def test_the_sites_of_a_dry_run_are_all_nodes_and_each_once(homes: dict[str, str]) -> None:
    nodes = [Node(name, "endpoint", home, "joined", b"", "", 1, 0, 0, "") for name, home in homes.items()]
    found = shown(Picked(nodes), confirm=False)
    assert sorted(name for site in found["sites"] for name in site["nodes"]) == sorted(homes)
    assert found["targets"] == sum(site["targets"] for site in found["sites"]) == len(homes)
    assert [site["targets"] for site in found["sites"]] == sorted(
        (site["targets"] for site in found["sites"]), reverse=True
    )
