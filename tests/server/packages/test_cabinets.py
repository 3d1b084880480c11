"""Cabinets: views, of which one always exists."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.packages import cabinets, packages


async def test_make_fill_show_delete(world: Any) -> None:
    await cabinets.add(world.region, "tools", "for the workshop")
    await packages.enter(world.region, "app", "1", "tools", "t")
    assert [(row["name"], row["packages"]) for row in await cabinets.list_(world.region)] == [("main", 0), ("tools", 1)]
    shown = await cabinets.show(world.region, "tools")
    assert (shown["note"], shown["packages"][0]["name"]) == ("for the workshop", "app")
    with pytest.raises(UsageError, match="1 package\\."):
        await cabinets.remove(world.region, "tools")
    await world.library.delete("app")
    await cabinets.remove(world.region, "tools")
    assert [row["name"] for row in await cabinets.list_(world.region)] == ["main"]


async def test_mistakes(world: Any) -> None:
    for call, code in (
        (cabinets.add(world.region, "main", ""), "cabinet.exists"),
        (cabinets.add(world.region, "a/b", ""), "name.invalid"),
        (cabinets.show(world.region, "x"), "cabinet.unknown"),
        (cabinets.remove(world.region, "main"), "cabinet.in-use"),
        (packages.enter(world.region, "app", "1", "x", "t"), "cabinet.unknown"),
    ):
        with pytest.raises(UsageError) as caught:
            await call
        assert caught.value.code == code
