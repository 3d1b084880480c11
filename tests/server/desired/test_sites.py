"""Gateways are told what is required of their children, and what they say is shown."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.wire.drift import Assigned, DriftTold
from tiercast_server.desired import view as assignment_view
from tiercast_server.desired.apply import Asked, Desired
from tiercast_server.desired.document import read


async def region_of(world: Any, target: str = "below server", *, prune: bool = False, **more: Any) -> None:
    if not world.nodes:
        await world.package("app", "1")
        for gateway in ("berlin", "paris"):
            await world.join(gateway, "gateway")
        for name, parent in (("pc1", "berlin"), ("pc2", "paris"), ("pc3", "server")):
            await world.join(name, parent=parent)
            await world.says(name, packages={"app": "1"})
    one = {"name": "a", "target": target, "has": "app", **more}
    wanted = {"assignments": [] if prune else [{**one, "table": one}]}
    await Desired(world.assignments).apply(read(wanted), Asked("ann", prune=prune))


async def told(world: Any) -> list[tuple[str, str, list[str]]]:
    """What gateways are told by the next look: gateway, requirement, nodes."""
    world.tree.said.clear()
    await world.assignments.look()
    await world.handover.drain()
    return [(to, message.requires, message.nodes) for to, message in world.tree.said if isinstance(message, Assigned)]


async def test_each_gateway_is_told_of_its_children_once(world: Any) -> None:
    await region_of(world)
    assert await told(world) == [("berlin", "app", ["pc1"]), ("paris", "app", ["pc2"])]
    assert await told(world) == []
    await region_of(world, "below server", has="app >= 1", paused=True)
    assert await told(world) == [("berlin", "app >= 1", ["pc1"]), ("paris", "app >= 1", ["pc2"])]
    await region_of(world, "node pc2")
    assert await told(world) == [("berlin", "", []), ("paris", "app", ["pc2"])]
    await region_of(world, prune=True)
    assert await told(world) == [("paris", "", [])]
    assert await told(world) == []


async def test_what_they_say_is_shown_as_far_as_they_were_asked(world: Any) -> None:
    await region_of(world)
    await told(world)
    word = next(message for _, message in world.tree.said if isinstance(message, Assigned))

    async def says(*, sign: bool = True, **more: Any) -> list[dict[str, Any]]:
        said = {"node": "berlin", "name": "a", "of": word.seq, "at": 5, "counts": {"holds": 1, "odd": 7}, **more}
        word_ = DriftTold(**said)
        signed = word_.signed(world.nodes["berlin"].key) if sign else word_
        await world.assignments.told(signed)
        found = await assignment_view.show(world.region, world.targeting, "a")
        return [one for one in found["sites"] if one["at"]]

    assert await says(of=1) == []
    assert await says(sign=False) == [], "whoever said that, the gateway did not sign it"
    assert await says(node="paris") == [], "another gateway's word under its name"
    assert await says(node="pc3") == []
    assert await says(at=-1) == []
    (site,) = await says(some=[("pc1", "missing", ""), ("pc9", "odd", "")])
    assert (site["gateway"], site["counts"], site["away"]) == ("berlin", {"holds": 1}, [["pc1", "missing", ""]])
    (site,) = await says(at=4, counts={})
    assert site["counts"] == {"holds": 1}, "an older word changes nothing"


async def test_a_gateway_that_was_replaced_is_told_again(world: Any) -> None:
    await region_of(world)
    await told(world)
    await world.join("berlin", "gateway", replace=True)
    assert ("berlin", "app", ["pc1"]) in await told(world)
