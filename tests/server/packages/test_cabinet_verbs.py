"""The verbs of cabinets show and change what the caller may."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Verbs
from tiercast_server.packages.cabinet_verbs import add_cabinet_verbs


async def test_from_making_to_deleting(world: Any, call: Any) -> None:
    verbs = Verbs()
    add_cabinet_verbs(verbs, world.region, lambda handler: handler)

    async def do(verb: str, **args: Any) -> Any:
        return await verbs.table[f"cabinet.{verb}"].handler(call(f"cabinet.{verb}", **args))

    await do("add", name="tools")
    await world.package("app", "1")
    assert await do("rights", name="tools", readers=["bob"], writers=["bob"]) == {
        "name": "tools",
        "readers": ["bob"],
        "writers": ["bob"],
    }
    assert {row["name"]: row["readers"] for row in await do("list")}.get("tools", ["bob"]) == ["bob"]
    await do("rename", name="tools", new="office")
    with pytest.raises(UsageError, match="keeps its name"):
        await do("rename", name="main", new="other")
    assert (await do("delete", name="office", into="main"))["name"] == "office"
    assert [row["name"] for row in await do("list")] == ["main"]
