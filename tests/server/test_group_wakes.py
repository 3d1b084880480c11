"""Groups whose machines are woken for every job: marked in their orders."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import OrderBundle
from tiercast_server.jobs.checks import Request


async def test_who_is_in_such_a_group_is_marked_in_his_order(world: Any) -> None:
    for name in ("pc1", "pc2"):
        await world.join(name)
    await world.groups.add("night", ["pc1"])
    assert await world.groups.set_wake("night", wake=True) == {"name": "night", "wake": True}
    assert (await world.groups.show("night"))["wake"] is True

    async def marked() -> dict[str, bool]:
        said = len(world.tree.said)
        options = {"text": "hello", "title": ""}
        await world.jobs.create(Request(type="message", package="", by="ann", targets=("pc1", "pc2"), options=options))
        await world.handover.drain()
        bundles = [message for _, message in world.tree.said[said:] if isinstance(message, OrderBundle)]
        return {target.node: target.wake for bundle in bundles for target in bundle.targets}

    assert await marked() == {"pc1": True, "pc2": False}
    await world.groups.set_wake("night", wake=False)
    assert await marked() == {"pc1": False, "pc2": False}
    with pytest.raises(UsageError) as caught:
        await world.groups.set_wake("nigth", wake=True)
    assert (caught.value.code, "night" in caught.value.todo) == ("group.unknown", True)
    await world.groups.set_wake("night", wake=True)
    await world.groups.remove("night")
    assert await marked() == {"pc1": False, "pc2": False}
