"""The verbs that move nodes, as they are called."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Verbs
from tiercast_server.nodes.move_verbs import add_move_verbs
from tiercast_server.nodes.presence import Presence


@pytest.fixture
def do(world: Any, call: Any) -> Any:
    verbs = Verbs()
    desk: Any = SimpleNamespace(
        moves=world.moves,
        region=world.region,
        enrolment=world.enrolment,
        presence=Presence(world.region, world.tree),
    )
    add_move_verbs(verbs, desk, lambda handler: handler)

    async def run(verb: str, **args: Any) -> Any:
        handler: Any = verbs.named(verb).handler
        return await handler(call(verb, **args))

    return run


async def test_each_does_what_it_says(world: Any, do: Any) -> None:
    await world.join("west", "gateway")
    await world.join("east", "gateway")
    await world.join("pc", parent="west")
    assert (await do("node.move", name="pc", to="east"))["was"] == "west"
    assert (await do("node.home", names=["pc"]))["called"] == ["pc"]
    assert (await do("node.candidates", name="pc", candidates=["server"]))["candidates"] == ["server"]
    assert "server" in (await do("node.candidates", name="pc", default=True))["candidates"]
    made = await do("node.replace", name="east", ttl_s=60)
    assert made["children"] == ["pc"]
    assert made["token"].startswith("tcj1-")
    assert (await do("node.retire", name="west"))["removed"] in {True, False}


async def test_only_a_gateway_is_replaced(world: Any, do: Any) -> None:
    await world.join("pc")
    with pytest.raises(UsageError, match="no gateway"):
        await do("node.replace", name="pc")
