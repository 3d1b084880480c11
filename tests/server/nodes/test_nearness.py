"""Names that were mistyped."""

from collections.abc import Coroutine
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.nodes import nodes
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.packages import cabinets, packages


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("berln", "Did you mean 'Berlin'? "),
        ("BERLIN", "Did you mean 'Berlin'? "),
        ("pc-3", "Did you mean 'pc-1' or 'pc-2'? "),
        ("quite-else", ""),
    ],
)
def test_the_nearest_are_offered(name: str, said: str) -> None:
    found = suggestion(name, ["Berlin", "pc-1", "pc-2"])
    assert sorted(found) == sorted(said)  # equally near names come in any order


async def test_every_kind_of_name_is_helped_with(world: Any) -> None:
    await world.join("berlin")
    await world.groups.add("sales", [])
    await world.package("editor", "1", {"a": b"1"})

    async def resolve() -> None:
        async with world.region.db.read() as connection:
            await nodes.resolve(connection, ["berlim"], ["salse"])

    async def get() -> None:
        async with world.region.db.read() as connection:
            await nodes.get(connection, "berli")

    async def package() -> None:
        async with world.region.db.read() as connection:
            await packages.matching(connection, "edtor")

    tried: list[tuple[Coroutine[Any, Any, Any], list[str]]] = [
        (resolve(), ["'berlin'", "'sales'"]),
        (get(), ["'berlin'"]),
        (package(), ["'editor'"]),
        (world.groups.show("sale"), ["'sales'"]),
        (cabinets.show(world.region, "mian"), ["'main'"]),
    ]
    for work, said in tried:
        with pytest.raises(UsageError) as caught:
            await work
        assert all(f"Did you mean {one}?" in caught.value.todo for one in said), caught.value.todo
