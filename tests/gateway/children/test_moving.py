"""Nodes that come and go: routes, orders, statuses of a tier; a late word never undoes a newer one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.hop import HASH, REGION, FakeAbove, order_for, parent_node

from tiercast_gateway.subtree import SubTree
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.parents import Placing, sign_placing
from tiercast_protocol.errors import ProtocolError
from tiercast_protocol.wire.messages import Admitted, OrderBundle, Status, StatusRecord
from tiercast_protocol.wire.moving import Below, Left, Placed

REGION_KEY = PrivateKey(bytes(32))
KEYS = {name: PrivateKey.generate() for name in ("west", "east", "pc", "deep", "far")}


def admission(name: str, parent: str, role: str = "endpoint", *, guest: bool = False) -> Admitted:
    return Admitted(
        name=name, role=role, parent=parent, public_key=KEYS[name].public, password_hash=HASH, generation=1, guest=guest
    )


def placed(name: str, parent: str, seq: int, *, by: str = "", below: list[Below] | None = None) -> Placed:
    placing = Placing(region=REGION, node=name, generation=1, parent=parent, seq=seq, at=1, reason="test")
    data, signature = sign_placing(placing, KEYS[by or name])
    return Placed(node=name, data=data, signature=signature, below=below or [])


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[SubTree]:
    """A repeater with two gateways below, an endpoint and a gateway with another below the first."""
    async with parent_node(tmp_path, children=[], above=FakeAbove(), key=REGION_KEY) as made:
        for name, parent in (("west", "parent"), ("east", "parent"), ("deep", "west")):
            await made.admit(admission(name, parent, "gateway"))
        await made.admit(admission("pc", "west"))
        await made.admit(admission("far", "deep"))
        yield made


async def sent(tree: SubTree, peer: str, kind: str) -> int:
    return sum(1 for one in await tree.post.pending() if (one.peer, one.kind) == (peer, kind))


async def test_the_common_ancestor_turns_the_way_tells_the_old_side_and_hands_the_order_over(tree: SubTree) -> None:
    await tree.take_order(order_for(REGION_KEY, {"pc": KEYS["pc"].public}, root=b"r" * 32))
    assert await sent(tree, "west", "order.v1") == 1
    word = placed("pc", "east", 5)
    await tree.moves.placed("east", word)
    assert tree.routes.via("pc") == "east"
    assert await sent(tree, "west", "node.left.v1") == 1
    assert await sent(tree, "east", "order.v1") == 1
    assert isinstance(tree.above, FakeAbove)
    assert tree.above.said[-1][0] == word
    await tree.moves.placed("east", word)  # repeated: nothing is handed over twice
    assert await sent(tree, "east", "order.v1") == 1


async def test_what_is_final_is_not_ordered_again(tree: SubTree) -> None:
    await tree.take_order(order_for(REGION_KEY, {"pc": KEYS["pc"].public}, root=b"r" * 32))
    record = StatusRecord(job="j1", revision=1, target="pc", attempt=1, seq=1, state="done", at=1)
    await tree.statuses.take("west", Status(records=[record]))
    await tree.moves.placed("east", placed("pc", "east", 5))
    assert await sent(tree, "east", "order.v1") == 0


async def test_a_gateway_moves_with_all_below_it(tree: SubTree) -> None:
    await tree.moves.placed("east", placed("deep", "east", 5))
    assert {name: tree.routes.via(name) for name in ("deep", "far", "pc")} == {
        "deep": "east",
        "far": "east",
        "pc": "west",
    }


async def test_the_old_side_forgets_and_closes_what_it_had(tree: SubTree) -> None:
    await tree.take_order(order_for(REGION_KEY, {"pc": KEYS["pc"].public}, root=b"r" * 32))
    await tree.moves.left(Left(node="pc", parent="elsewhere", seq=7))
    assert tree.routes.via("pc") is None
    assert await sent(tree, "west", "node.left.v1") == 1
    assert not any(order["open"] for order in await tree.orders.list())
    await tree.moves.placed("west", placed("pc", "west", 6))  # late
    assert tree.routes.via("pc") is None
    await tree.moves.placed("west", placed("pc", "west", 8))  # back again
    assert tree.routes.via("pc") == "west"
    await tree.moves.left(Left(node="pc", parent="elsewhere", seq=7))  # late
    assert tree.routes.via("pc") == "west"


async def test_the_new_parent_knows_the_guest_and_those_below_it(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=[], above=FakeAbove()) as tree:
        await tree.admit(admission("deep", "parent", "gateway", guest=True))
        assert tree.routes.via("deep") is None
        far = Below(node="far", parent="deep", public_key=KEYS["far"].public, generation=1)
        await tree.moves.placed("deep", placed("deep", "parent", 5, below=[far]))
        assert (tree.routes.via("deep"), tree.routes.via("far")) == ("deep", "deep")
        assert [one.node for one in tree.moves.all_below()] == ["deep", "far"]


async def test_nobody_moves_another_and_what_can_not_be_proved_is_only_passed_on(tree: SubTree) -> None:
    with pytest.raises(ProtocolError):
        await tree.moves.placed("east", placed("east", "parent", 9, by="pc"))
    await tree.moves.placed("east", placed("pc", "east", 9, by="east"))
    assert tree.routes.via("pc") == "west"
    assert isinstance(tree.above, FakeAbove)
    assert len(tree.above.said) == 1
    await tree.moves.placed("east", placed("pc", "parent", 9))  # it says that it is here, and is not
    assert tree.routes.via("pc") == "west"


async def test_a_planned_move_turns_the_way_when_it_is_made(tree: SubTree) -> None:
    await tree.admit(admission("pc", "east"))
    assert tree.routes.via("pc") == "west"
    assert await sent(tree, "east", "node.admitted.v1") == 1


async def test_another_machine_of_the_same_name_is_told_what_was_told_before(tree: SubTree) -> None:
    bundle: OrderBundle = order_for(REGION_KEY, {"pc": KEYS["pc"].public}, root=b"r" * 32)
    await tree.take_order(bundle)
    again = Admitted(
        name="west", role="gateway", parent="parent", public_key=b"n" * 32, password_hash=HASH, generation=2
    )
    await tree.admit(again)
    assert await sent(tree, "west", "order.v1") == 2


WORD = st.tuples(st.sampled_from(["west", "east"]), st.integers(1, 30))
WORDS = st.lists(WORD, max_size=12, unique_by=lambda word: word[1])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS)
async def test_in_whatever_order_words_come_the_highest_stands(tree: SubTree, words: list[tuple[str, int]]) -> None:
    known = tree.placings.get("pc")
    base = known.seq if known is not None else 0
    for parent, seq in words:
        await tree.moves.placed(parent, placed("pc", parent, base + seq))
    if words:
        assert tree.routes.via("pc") == max(words, key=lambda word: word[1])[0]
