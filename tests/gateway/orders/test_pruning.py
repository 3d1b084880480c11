"""Orders stay at the gateway of a machine while their condition is not true there, by what it said of itself last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.endpoint.lab import USUAL
from tests.support.hop import FakeAbove, order_for, parent_node, until

from tiercast_gateway.orders import pruning
from tiercast_gateway.orders.pruning import Pruning
from tiercast_gateway.subtree import SubTree
from tiercast_gateway.why.verbs import WhyVerbs
from tiercast_protocol.content.facts.inventory import Inventory, sign_inventory
from tiercast_protocol.content.jobs.order import Order, sign_order
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.facts import Inventories, InventoryEntry
from tiercast_protocol.wire.messages import OrderBundle

KEY = PrivateKey.generate()
#: USUAL has four processors.
FALSE, TRUE = "cpus >= 8", "cpus >= 2"


@pytest.fixture
async def top(tmp_path: Path) -> AsyncIterator[SubTree]:
    async with parent_node(tmp_path, children=["pc", "new"], key=KEY, name="top", above=FakeAbove()) as tree:
        await says(tree, "pc", 1)
        yield tree


async def says(tree: SubTree, node: str, seq: int, **facts: Any) -> None:
    said = Inventory(
        region="test",
        node=node,
        generation=1,
        seq=seq,
        at=seq,
        facts=msgspec.structs.replace(USUAL, name=node, **facts),
    )
    data, signature = sign_inventory(said, KEY)
    entry = InventoryEntry(node=node, generation=1, seq=seq, data=data, signature=signature)
    await tree.inventories.take(node, Inventories(entries=[entry]))


def ordered(*nodes: str, job: str = "j1", type_: str = "install", **options: str) -> OrderBundle:
    bundle = order_for(KEY, dict.fromkeys(nodes, b"p" * 32), root=b"r" * 32, job=job, type_=type_)
    order = msgspec.structs.replace(codec.decode(bundle.order, Order), options=options)
    data, signature = sign_order(order, KEY)
    return msgspec.structs.replace(bundle, order=data, signature=signature)


async def passed(tree: SubTree, job: str = "j1") -> list[str]:
    """The children to which the order went."""
    query = "SELECT node FROM order_targets WHERE job = ? AND via != '' ORDER BY node"
    rows = await tree.db.read(lambda c: c.execute(query, (job,)).fetchall())
    return [row[0] for row in rows]


async def test_it_goes_when_the_machine_says_that_it_is_true(top: SubTree) -> None:
    await top.take_order(ordered("pc", "new", condition=FALSE), "j1")
    assert await passed(top) == ["new"], "of whom nothing is known, the machine itself is asked"
    reason = top.pruning.reason("j1", "pc")
    assert reason is not None
    assert (reason.code, reason.node, reason.get("values")) == ("condition.false", "top", "cpus = 4")
    told = await WhyVerbs(top).below("pc", "j1", "pc")
    assert "condition.false" in [one["code"] for one in told["chain"]]
    await says(top, "pc", 2, cpus=16)
    await until(lambda: top.pruning.reason("j1", "pc") is None)
    while await passed(top) != ["new", "pc"]:
        await top.orders.pass_on("j1")


@pytest.mark.parametrize(
    "options",
    [
        {"condition": TRUE},
        {"condition": 'labels.floor == "3"'},
        {"condition": "int(version) / 0 == 1"},
        {"condition": FALSE, "condition_false": "skip"},
        {"package_requires": "other"},
        {"condition": "of a later version ("},
    ],
)
async def test_in_doubt_it_goes(top: SubTree, options: dict[str, str]) -> None:
    await top.take_order(ordered("pc", **options), "j1")
    assert await passed(top) == ["pc"]


async def test_a_restart_keeps_it_and_a_closed_job_is_forgotten(top: SubTree) -> None:
    await top.take_order(ordered("pc", package_condition=FALSE), "j1")
    fresh = Pruning(top.db, "top")
    order = codec.decode(ordered("pc", package_condition=FALSE).order, Order)
    assert await fresh.keeps(order, {"pc": ["pc"], "new": ["new"]}) == {"pc"}
    fresh.job_changed(order, False)
    assert fresh.reason("j1", "pc") is None
    assert await fresh.keeps(msgspec.structs.replace(order, type="cancel"), {"pc": ["pc"]}) == set(), (
        "a cancel always goes"
    )


async def test_what_costs_too_much_goes(top: SubTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "TIME_LIMIT_S", -1)
    await top.take_order(ordered("pc", condition=FALSE), "j1")
    assert await passed(top) == ["pc"]


async def test_a_sub_tree_in_which_nothing_fits_is_kept_whole(top: SubTree) -> None:
    for node in ("a", "b"):
        await top.routes.learn(node, "pc")
        await says_of(top, "pc", node, 1)
    await top.take_order(ordered("a", "b", condition=FALSE), "j1")
    assert await passed(top) == []
    reason = top.pruning.reason("j1", "b")
    assert reason is not None
    assert (reason.code, reason.peer, reason.get("values")) == ("condition.false", "b", "cpus = 4")
    assert top.pruning.reason("j1", "pc") is not None, "why nothing goes to that gateway"
    await says_of(top, "pc", "b", 2, cpus=16)
    await until(lambda: top.pruning.reason("j1", "b") is None)
    while await passed(top) != ["a", "b"]:  # its gateway judges each of them by itself
        await top.orders.pass_on("j1")


async def test_a_sub_tree_of_which_something_is_not_known_is_not_kept(top: SubTree) -> None:
    for node in ("a", "silent"):
        await top.routes.learn(node, "pc")
    await says_of(top, "pc", "a", 1)
    await top.take_order(ordered("a", "silent", condition=FALSE), "j1")
    assert await passed(top) == ["a", "silent"]


async def test_a_job_that_gateways_add_newcomers_to_is_not_kept(top: SubTree) -> None:
    await top.routes.learn("a", "pc")
    await says_of(top, "pc", "a", 1)
    await top.take_order(ordered("a", condition=FALSE, site_target="{}"), "j1")
    assert await passed(top) == ["a"]


async def says_of(tree: SubTree, child: str, node: str, seq: int, **facts: Any) -> None:
    facts_ = msgspec.structs.replace(USUAL, name=node, **facts)
    said = Inventory(region="test", node=node, generation=1, seq=seq, at=seq, facts=facts_)
    data, signature = sign_inventory(said, KEY)
    entry = InventoryEntry(node=node, generation=1, seq=seq, data=data, signature=signature)
    await tree.inventories.take(child, Inventories(entries=[entry]))


async def test_what_a_machine_says_while_it_is_tested_is_not_missed(
    top: SubTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test goes by what it said before; the next one must come."""
    looked: list[str] = []
    test = pruning._test

    def says_meanwhile(*args: Any) -> Any:
        if not looked:
            looked.append("once")
            loop.call_soon_threadsafe(top.pruning.facts_changed, ["pc"])
        return test(*args)

    loop = asyncio.get_running_loop()
    fresh = top.pruning
    again: list[str] = []

    async def pass_on(job: str) -> None:
        again.append(job)

    monkeypatch.setattr(fresh, "pass_on", pass_on)
    monkeypatch.setattr(pruning, "_test", says_meanwhile)
    order = codec.decode(ordered("pc", condition=FALSE).order, Order)
    assert await fresh.keeps(order, {"pc": ["pc"]}) == {"pc"}
    await until(lambda: again == ["j1"])
