"""Site-held groups at a gateway: who says or changes something is added with nobody above, once, over kills."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from tests.support.hop import HASH, REGION, FakeAbove, parent_node, until

from tiercast_gateway.subtree import SubTree
from tiercast_protocol.content.facts.inventory import Facts, Inventory, sign_inventory
from tiercast_protocol.content.jobs import vouching as v
from tiercast_protocol.content.jobs.order import Order, open_order, sign_order
from tiercast_protocol.content.jobs.regrouped import Regrouped, sign_regrouped
from tiercast_protocol.content.sealed import merkle
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.wire.facts import Inventories, InventoryEntry
from tiercast_protocol.wire.messages import Admitted, OrderTarget
from tiercast_protocol.wire.site import GroupsTold, SiteJoined, SiteOrder

KEY, OWN, INNER = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
PCS = {name: PrivateKey.generate() for name in ("a", "b")}
GROUPS = {"old": v.Group(where='version == "11"'), "testers": v.Group(self_join=True)}


def site_order(
    text: str = "group old, testers", *, job: str = "j1", type_: str = "install", revision: int = 1, **more: Any
) -> SiteOrder:
    leaves = [v.voucher_leaf("berlin", OWN.public, 1), v.voucher_leaf("inner", INNER.public, 1)]
    tree, now = merkle.Tree(leaves), time.time_ns() // 1_000_000
    definition = v.definition_text(v.Definition(target=text, groups=GROUPS))
    order = Order(
        region=more.get("region", REGION),
        epoch=1,
        job=job,
        revision=revision,
        type=type_,
        package="tool",
        version="1.0",
        package_revision=1,
        root=b"r" * 32,
        issued=more.get("issued", now - 1000),
        expires=now + 3_600_000,
        targets_root=tree.root,
        target_count=2,
        options={v.SITE: definition} if type_ != "cancel" else {},
    )
    data, signature = sign_order(order, more.get("key", KEY))
    found = [OrderTarget(node=name, index=n, proof=tree.proof(n)) for n, name in enumerate(("berlin", "inner"))]
    return SiteOrder(order=data, signature=signature, vouchers=found)


async def says(tree: SubTree, name: str, version: str, seq: int, groups: tuple[str, ...] = (), **more: Any) -> None:
    texts = dict.fromkeys(("os", "distribution", "kernel", "architecture", "python", "agent"), "x")
    numbers = dict.fromkeys(("cpus", "memory", "disk_free", "disk_total"), 1)
    facts = Facts(name=name, version=version, **texts, **numbers)  # type: ignore[arg-type]
    word = Inventory(region=REGION, node=name, generation=1, seq=seq, at=1, facts=facts, groups=list(groups))
    data, signature = sign_inventory(word, more.get("key", PCS[name]))
    entry = InventoryEntry(node=name, generation=1, seq=seq, data=data, signature=signature)
    await tree.inventories.take(name, Inventories(entries=[entry]))


def admitted(name: str, key: PrivateKey, role: str = "endpoint") -> Admitted:
    return Admitted(name=name, role=role, parent="berlin", public_key=key.public, password_hash=HASH, generation=1)


def site(folder: Path, above: FakeAbove) -> Any:
    return parent_node(folder, children=(), key=KEY, own_key=OWN, name="berlin", above=above)


async def with_machines(tree: SubTree) -> None:
    for name, key in PCS.items():
        await tree.admit(admitted(name, key))
    await tree.admit(admitted("inner", INNER, "gateway"))


def told(above: FakeAbove) -> list[str]:
    found = [message for message, _ in above.said if isinstance(message, SiteJoined)]
    return [v.open_voucher(one.data, one.signature).node for message in found for one in message.entries]


async def ordered(tree: SubTree) -> list[str]:
    return [one.peer for one in await tree.post.pending() if one.kind == "order.v1"]


def groups_told(members: list[str], *, at: int = 5, text: str = "group old and group fixed", **more: Any) -> GroupsTold:
    groups = {**GROUPS, "fixed": v.Group(members=members)}
    word = Regrouped(
        region=more.get("region", REGION),
        job="j1",
        at=at,
        expires=time.time_ns() // 1_000_000 + 3_600_000,
        definition=v.definition_text(v.Definition(target=text, groups=groups)),
    )
    data, signature = sign_regrouped(word, more.get("key", KEY))
    return GroupsTold(data=data, signature=signature)


async def test_what_was_changed_of_a_group_at_the_centre_holds_from_then_on(tmp_path: Path) -> None:
    above = FakeAbove(parent="top")
    async with site(tmp_path, above) as tree:
        await with_machines(tree)
        await tree.sites.take(site_order("group old and group fixed"), "j1")
        await says(tree, "a", "11", 1)
        await says(tree, "b", "11", 1)
        for wrong in (groups_told(["a", "b"], key=OWN), groups_told(["a", "b"], region="other")):
            with pytest.raises(SignatureInvalid):
                await tree.sites.regroup(wrong)
        await tree.sites.regroup(groups_told(["a"]))
        await until(lambda: told(above) == ["a"])
        await tree.sites.regroup(groups_told([], at=9))
        await tree.sites.regroup(groups_told(["b"], at=8))
    async with site(tmp_path, above) as tree:
        await says(tree, "b", "11", 2)
        await tree.sites.regroup(groups_told(["b"], at=8))
        assert await tree.sites.shown("j1") == [{"node": "a", "at": ANY, "told": True}], "the older word is overtaken"
        await tree.sites.regroup(groups_told(["b"], at=10))
        await until(lambda: told(above) == ["a", "b"])


async def test_whoever_comes_to_be_meant_is_ordered_with_nobody_above_and_once(tmp_path: Path) -> None:
    above = FakeAbove(parent="top", connected=False)
    async with site(tmp_path, above) as tree:
        await with_machines(tree)
        await says(tree, "a", "12", 1)
        await tree.sites.take(site_order(), "j1")
        assert [one.peer for one in await tree.post.pending() if one.kind == "site.order.v1"] == ["inner"]
        await says(tree, "a", "11", 2)
        await until(lambda: told(above) == ["a"])
        await says(tree, "b", "12", 1, ("testers",))
        await until(lambda: told(above) == ["a", "b"])
        await until_ordered(tree, "a", "b")
        assert [row["node"] for row in await tree.sites.shown("j1")] == ["a", "b"]
        bundle = next(iter(await tree.orders.list()))
        assert (bundle["job"], bundle["targets"]) == ("j1", 2)
        await says(tree, "a", "12", 3)
        await says(tree, "a", "11", 4)
    async with site(tmp_path, above) as tree:
        await says(tree, "a", "11", 5)
        await tree.sites._ask(None)
        assert told(above) == ["a", "b"]
        assert sorted(await ordered(tree)) == ["a", "b"]


async def until_ordered(tree: SubTree, *names: str) -> None:
    async with asyncio.timeout(60):
        while sorted(await ordered(tree)) != list(names):  # noqa: ASYNC110 - the outbox sets no event
            await asyncio.sleep(0.01)


async def test_the_bundle_is_one_that_an_endpoint_obeys(tmp_path: Path) -> None:
    async with site(tmp_path, FakeAbove(parent="top")) as tree:
        await with_machines(tree)
        sent: list[Any] = []
        send_all = tree.post.send_all

        async def spied(messages: Any, **more: Any) -> Any:
            sent.extend(messages)
            return await send_all(messages, **more)

        tree.post.send_all = spied  # type: ignore[method-assign]
        await says(tree, "a", "11", 1)
        message = site_order()
        await tree.sites.take(message, "j1")
        await until(lambda: bool(sent))
        ((peer, bundle),) = sent
        order = open_order(bundle.order, bundle.signature, KEY.public)
        assert (peer, bundle.targets[0].node) == ("a", "a")
        assert v.check_vouched(order, bundle.targets[0], PCS["a"].public, 1).by == "berlin"


async def test_who_was_written_down_before_a_kill_and_not_ordered_is_ordered_after(tmp_path: Path) -> None:
    above = FakeAbove(parent="top")
    async with site(tmp_path, above) as tree:
        await with_machines(tree)
        await says(tree, "a", "11", 1)

        async def killed(*_: Any) -> None:
            raise OSError("killed just here")

        tree.sites._order = killed  # type: ignore[method-assign]
        await tree.sites.take(site_order(), "j1")
        async with asyncio.timeout(60):
            while not await tree.sites.shown("j1"):  # noqa: ASYNC110 - the database sets no event
                await asyncio.sleep(0.01)
        assert (told(above), await ordered(tree)) == ([], [])
    async with site(tmp_path, above) as tree:
        await until(lambda: told(above) == ["a"])
        await until_ordered(tree, "a")


async def test_who_lies_or_is_a_target_or_has_a_newer_job_is_not_added(tmp_path: Path) -> None:
    above = FakeAbove(parent="top")
    now = time.time_ns() // 1_000_000
    async with site(tmp_path, above) as tree:
        await with_machines(tree)
        await says(tree, "b", "11", 1, key=PrivateKey.generate())
        await says(tree, "a", "11", 1)
        await tree.sites.take(site_order(job="j2", issued=now - 500), "j2")
        await until_ordered(tree, "a")
        await tree.sites.take(site_order(job="j1", issued=now - 900), "j1")
        await tree.sites.take(site_order(job="j3", type_="cancel", revision=2), "j3")
        await says(tree, "a", "11", 2)
        await tree.sites._ask(None)
        assert await tree.sites.shown("j1") == []
        assert told(above) == ["a"]


async def test_the_end_is_heard_and_strangers_are_not(tmp_path: Path) -> None:
    above = FakeAbove(parent="top")
    async with site(tmp_path, above) as tree:
        await with_machines(tree)
        with pytest.raises(SignatureInvalid):
            await tree.sites.take(site_order(key=OWN), "j1")
        with pytest.raises(SignatureInvalid):
            await tree.sites.take(site_order(region="other"), "j1")
        await tree.sites.take(site_order(), "j1")
        await tree.sites.take(site_order(type_="cancel", revision=2), "j1")
        await says(tree, "a", "11", 1)
    async with site(tmp_path, above) as tree:
        await says(tree, "b", "11", 1)
        await tree.sites._ask(None)
        assert (told(above), await ordered(tree)) == ([], [])
