"""Where nodes say they are, and what administrators want of them."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.trust.parents import Parents, Placing, open_parents, sign_placing
from tiercast_protocol.errors import ProtocolError, SignatureInvalid, UsageError
from tiercast_protocol.wire.messages import Admitted, Dismissed
from tiercast_protocol.wire.moving import ParentsTold, Placed
from tiercast_server.nodes import nodes, placings


async def family(world: Any) -> dict[str, Any]:
    """Two gateways and an endpoint below the first; both gateways have said where they are."""
    made = {
        "west": await world.join("west", "gateway"),
        "east": await world.join("east", "gateway"),
        "pc": await world.join("pc", parent="west"),
    }
    for name in ("west", "east"):
        await said(world, made, name, "server", url=f"mqtt://{name}:1883")
    return made


async def said(
    world: Any, made: dict[str, Any], name: str, parent: str, *, seq: int = 0, generation: int = 1, **more: Any
) -> None:
    world.now[0] += 1000
    placing = Placing(
        region="r", node=name, generation=generation, parent=parent, seq=seq or world.now[0], at=world.now[0], **more
    )
    data, signature = sign_placing(placing, made[name].key)
    await world.moves.placed(Placed(node=name, data=data, signature=signature))
    await world.handover.drain()


def told(world: Any, name: str) -> Parents:
    """The list that the node was told last."""
    found = [m for to, m in world.tree.said if to == name and isinstance(m, ParentsTold)]
    return open_parents(found[-1].data, found[-1].signature, world.region.key.public)


def admitted(world: Any, node: str, gateway: str) -> list[bool]:
    """As what the gateway was told to let the node in: True as a guest."""
    return [m.guest for m in world.tree.of(Admitted) if (m.name, m.parent) == (node, gateway)]


async def shown(world: Any, name: str) -> tuple[str, str]:
    async with world.region.db.read() as connection:
        return (await nodes.get(connection, name)).parent, (await placings.row_of(connection, name)).parent


async def test_a_node_knows_where_else_it_may_go_and_that_one_lets_it_in(world: Any) -> None:
    await family(world)
    parents = told(world, "pc")
    assert (parents.home.name, parents.home.url) == ("west", "mqtt://west:1883")
    assert [(c.name, c.url, c.cost) for c in parents.candidates] == [
        ("east", "mqtt://east:1883", 0),
        ("server", "mqtt://127.0.0.1:1883", 1),
    ]
    assert admitted(world, "pc", "east") == [True]
    assert admitted(world, "pc", "server") == [True]
    assert admitted(world, "pc", "west") == [False]


async def test_a_word_counts_once_and_only_the_newest(world: Any) -> None:
    made = await family(world)
    await said(world, made, "pc", "east", seq=50, reason="west was away")
    assert await shown(world, "pc") == ("west", "east")
    await said(world, made, "pc", "west", seq=49)
    await said(world, made, "pc", "west", seq=50)
    assert await shown(world, "pc") == ("west", "east")
    await said(world, made, "pc", "west", seq=51)
    assert await shown(world, "pc") == ("west", "west")


async def test_nobody_moves_another(world: Any) -> None:
    made = await family(world)
    placing = Placing(region="r", node="pc", generation=1, parent="east", seq=99, at=1)
    data, signature = sign_placing(placing, made["west"].key)
    with pytest.raises(SignatureInvalid):
        await world.moves.placed(Placed(node="pc", data=data, signature=signature))
    data, signature = sign_placing(placing, made["pc"].key)
    with pytest.raises(SignatureInvalid):
        await world.moves.placed(Placed(node="west", data=data, signature=signature))
    with pytest.raises(ProtocolError):
        await world.moves.placed(Placed(node="nobody", data=data, signature=signature))
    assert (await shown(world, "pc"))[1] == ""


async def test_a_move_is_called_and_the_old_parent_shuts_it_out_only_after_it(world: Any) -> None:
    made = await family(world)
    moved = await world.moves.move("pc", "east")
    await world.handover.drain()
    assert (moved["parent"], moved["was"]) == ("east", "west")
    assert told(world, "pc").home.name == "east"
    assert told(world, "pc").called == world.now[0]
    assert admitted(world, "pc", "east") == [True, False]
    assert admitted(world, "pc", "west") == [False]
    await said(world, made, "pc", "east", reason="called home")
    assert admitted(world, "pc", "west") == [False, True]  # a candidate of its new home's neighbour


async def test_calling_home_says_who_is_away(world: Any) -> None:
    made = await family(world)
    await said(world, made, "pc", "east")
    before = told(world, "pc").called
    assert await world.moves.call_home([], below="west") == {"called": ["pc"], "away": ["pc"]}
    await world.handover.drain()
    assert told(world, "pc").called > before
    with pytest.raises(UsageError, match="nobody to call"):
        await world.moves.call_home([])


async def test_a_gateway_that_moves_has_those_below_it_told_again(world: Any) -> None:
    made = await family(world)
    await world.join("deep", "gateway", parent="west")
    world.tree.said.clear()
    await said(world, made, "west", "east", reason="the server was away")
    assert admitted(world, "pc", "west") == [False]


async def test_a_replaced_gateway_is_told_of_its_children_and_they_of_its_address(world: Any) -> None:
    made = await family(world)
    world.tree.said.clear()
    made["west"] = await world.join("west", "gateway", replace=True)
    await world.handover.drain()
    assert admitted(world, "pc", "west") == [False]
    assert told(world, "pc").home.url == ""
    await said(world, made, "west", "server", generation=2, url="mqtt://elsewhere:1883")
    assert told(world, "pc").home.url == "mqtt://elsewhere:1883"


async def test_a_gateway_retires_when_its_last_child_is_elsewhere(world: Any) -> None:
    made = await family(world)
    with pytest.raises(UsageError, match="still has 1 nodes below it"):
        await world.moves.retire("west", "")
    for bad in ("west", "pc", "nobody"):
        with pytest.raises(UsageError):
            await world.moves.retire("west", bad)
    assert await shown(world, "pc") == ("west", "")
    result = await world.moves.retire("west", "east")
    assert (result["moving"], result["removed"]) == (["pc"], False)
    with pytest.raises(UsageError, match="retiring"):
        await world.moves.move("pc", "west")
    await said(world, made, "pc", "east")
    assert [m.name for m in world.tree.of(Dismissed) if not m.parent] == ["west"]
    assert all(c.name != "west" for c in told(world, "pc").candidates)
    with pytest.raises(UsageError, match="No node"):
        await shown(world, "west")


async def test_an_endpoint_retires_at_once(world: Any) -> None:
    await family(world)
    assert (await world.moves.retire("pc", ""))["removed"]


@pytest.mark.parametrize(
    ("what", "args", "code"),
    [
        ("move", ("west", "west"), "tree.cyclic"),
        ("move", ("server", "west"), "node.server"),
        ("move", ("nobody", "west"), "node.unknown"),
        ("move", ("pc", "nobody"), "parent.invalid"),
        ("retire", ("server", ""), "node.server"),
        ("set_candidates", ("west", ["deep"]), "tree.cyclic"),
        ("set_candidates", ("pc", []), "candidates.many"),
        ("set_candidates", ("pc", ["pc"]), "tree.cyclic"),
        ("call_home", (["server"],), "node.server"),
    ],
)
async def test_what_can_not_be_is_refused_and_nothing_happens(
    world: Any, what: str, args: tuple[Any, ...], code: str
) -> None:
    await family(world)
    await world.join("deep", "gateway", parent="west")
    with pytest.raises(UsageError) as raised:
        await getattr(world.moves, what)(*args)
    assert raised.value.code == code
    assert await shown(world, "west") == ("server", "server")


async def test_candidates_that_somebody_named(world: Any) -> None:
    await family(world)
    await world.join("late", "gateway")
    assert (await world.moves.set_candidates("pc", ["server", "east"]))["candidates"] == ["server", "east"]
    await world.handover.drain()
    assert [c.name for c in told(world, "pc").candidates] == ["server", "east"]
    assert (await world.moves.set_candidates("pc", ["server"]))["candidates"] == ["server"]
    await world.handover.drain()
    assert [m.parent for m in world.tree.of(Dismissed) if m.name == "pc"] == ["late", "east"]
    assert set((await world.moves.set_candidates("pc", None))["candidates"]) >= {"east", "server"}
