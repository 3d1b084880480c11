"""A tree of two tiers as it runs: orders down, content down, statuses up."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from tests.support.hop import (
    FakeAbove,
    admitted,
    child_node,
    gateway_node,
    made_package,
    order_for,
    parent_node,
    remember,
    until,
)

from tiercast_protocol.content.jobs.receipt import open_receipt
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.node.fetch import fetch_package
from tiercast_protocol.wire.messages import OrderBundle, PatchOffer, PatchOffers, Status, StatusRecord, body_of

KEY = PrivateKey.generate()


def records(above: FakeAbove, target: str) -> list[StatusRecord]:
    """What was said upward of one target."""
    return [
        r for message, _ in above.said if isinstance(message, Status) for r in message.records if r.target == target
    ]


async def test_an_order_goes_down_its_content_follows_once_and_its_status_comes_up(tmp_path: Path) -> None:
    package, above = made_package(300), FakeAbove()
    above.library = package.chunks
    async with (
        parent_node(tmp_path, children=["mid"], above=above, key=KEY) as top,
        gateway_node(tmp_path, "mid", top, KEY) as mid,
    ):
        for leaf in ("one", "two"):
            await top.admit(admitted(leaf, "mid"))
        await until(lambda: mid.enrolment.known("one") and mid.enrolment.known("two"))
        url = mid.broker.children_url
        async with (
            child_node(tmp_path, "one", url, parent="mid") as one,
            child_node(tmp_path, "two", url, parent="mid") as two,
        ):
            for leaf in (one, two):
                leaf.post.on("order.v1", remember(leaf.received))
            await top.take_order(order_for(KEY, {"one": b"1" * 32, "two": b"2" * 32}, root=package.root), "j1")
            await until(lambda: bool(one.received and two.received))
            for leaf in (one, two):
                bundle = body_of(leaf.received[0][1], OrderBundle)
                assert [target.node for target in bundle.targets] == [leaf.name]
                assert leaf.received[0][1].cause == "j1"
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                tasks.create_task(fetch_package(package.root, one.upstream, one.store))
                tasks.create_task(fetch_package(package.root, two.upstream, two.store))
            for digest, stored in package.chunks.items():
                assert await one.store.get(digest) == stored
                assert await two.store.get(digest) == stored
            # one copy over the upper link, and each chunk asked for above exactly once
            assert top.streams.bytes_out == package.stored
            assert sorted(above.wanted) == sorted(package.chunks)
            await until(lambda: any(r.state == "held" for r in records(above, "mid")))
            held = records(above, "mid")[-1]
            assert (held.done, held.total) == (package.size, package.size)
            now = time.time_ns() // 1_000_000
            done = StatusRecord(job="j1", revision=1, target="one", attempt=1, seq=5, state="done", at=now)
            lie = StatusRecord(job="j1", revision=1, target="two", attempt=1, seq=5, state="failed", at=now)
            await one.post.send("mid", Status(records=[done, lie]))
            await until(lambda: bool(records(above, "one")))
            assert records(above, "one") == [done]
            assert not records(above, "two")
            assert await mid.orders.needed() == {package.root}
            done2 = StatusRecord(job="j1", revision=1, target="two", attempt=1, seq=9, state="done", at=now)
            await two.post.send("mid", Status(records=[done2]))
            await until(lambda: bool(records(above, "two")))
            assert await mid.orders.needed() == set()


async def test_a_gateway_preloads_and_purges_what_it_is_ordered_to(tmp_path: Path) -> None:
    package, above, own = made_package(100), FakeAbove(), PrivateKey.generate()
    above.library = package.chunks
    async with (
        parent_node(tmp_path, children=["mid"], above=above, key=KEY) as top,
        gateway_node(tmp_path, "mid", top, KEY, own_key=own) as mid,
    ):
        await top.take_order(order_for(KEY, {"mid": own.public}, type_="preload", root=package.root))
        await until(lambda: any(r.state == "done" for r in records(above, "mid")))
        final = records(above, "mid")[-1]
        receipt = open_receipt(final.receipt, final.signature, own.public)
        assert (receipt.state, receipt.node, receipt.root) == ("done", "mid", package.root)
        assert all(mid.depot.size(d) == len(s) for d, s in package.chunks.items())
        purge = order_for(KEY, {"mid": own.public}, type_="purge", root=package.root, job="j2")
        await top.take_order(purge)
        await until(lambda: any(r.job == "j2" and r.state == "done" for r in records(above, "mid")))
        assert mid.depot.usage().chunks == 0


async def test_an_order_that_the_region_did_not_sign_goes_nowhere(tmp_path: Path) -> None:
    async with parent_node(tmp_path, key=KEY) as top:
        for forged in (
            order_for(PrivateKey.generate(), {"one": b"1" * 32}, root=b"r" * 32),
            order_for(KEY, {"one": b"1" * 32}, root=b"r" * 32, region="other"),
        ):
            with pytest.raises(SignatureInvalid):
                await top.take_order(forged)
        assert await top.orders.list() == []


async def test_an_order_waits_for_the_route_to_its_target(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=[], key=KEY) as top:
        await top.take_order(order_for(KEY, {"late": b"1" * 32}, root=b"r" * 32))
        assert (await top.orders.list())[0]["waiting"] == ["no route to late"]
        await top.admit(admitted("late", "parent"))
        assert (await top.orders.list())[0]["waiting"] == []
        async with child_node(tmp_path, "late", top.broker.children_url) as late:
            late.post.on("order.v1", remember(late.received))
            await until(lambda: bool(late.received))


async def test_a_patch_made_after_the_order_is_offered_to_those_that_wait(tmp_path: Path) -> None:
    package = made_package(3)
    offer = PatchOffer(base=b"b" * 32, result=package.root, patch=b"p" * 32, size=1, plain=100)
    other = PatchOffer(base=b"b" * 32, result=b"o" * 32, patch=b"q" * 32, size=1, plain=100)
    async with (
        parent_node(tmp_path, children=["mid"], key=KEY) as top,
        gateway_node(tmp_path, "mid", top, KEY) as mid,
    ):
        await top.admit(admitted("one", "mid"))
        await until(lambda: mid.enrolment.known("one"))
        async with child_node(tmp_path, "one", mid.broker.children_url, parent="mid") as one:
            one.post.on("order.v1", remember(one.received))
            one.post.on("patch.offer.v1", remember(one.received))
            await top.take_order(order_for(KEY, {"one": b"1" * 32}, root=package.root), "j1")
            await until(lambda: bool(one.received))
            assert body_of(one.received[0][1], OrderBundle).offers == []
            await top.take_offers([offer, other])
            await until(lambda: len(one.received) > 1)
            assert body_of(one.received[1][1], PatchOffers).offers == [offer]
            assert mid.offers.leading_to(package.root) == [offer]
            # a later order carries it by itself, and what is no news is not said again
            await top.take_offers([offer])
            await top.take_order(order_for(KEY, {"one": b"1" * 32}, root=package.root, revision=2), "j1")
            await until(lambda: len(one.received) > 2)
            assert body_of(one.received[2][1], OrderBundle).offers == [offer]
