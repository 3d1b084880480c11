"""Who is heard on a node's own broker, and who is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.hop import HASH, PASSWORD, REGION, FakeAbove, admitted, child_node, parent_node, until

from tiercast_mqtt.bulk import BulkClient
from tiercast_mqtt.errors import ConnectionRefused
from tiercast_protocol.node.address import parse_address
from tiercast_protocol.wire.envelope import seal, wrap
from tiercast_protocol.wire.messages import (
    KIND_OF,
    Answer,
    Dismissed,
    Gone,
    Hello,
    Status,
    StatusRecord,
    TokenIssued,
)


async def connected(url: str, name: str) -> BulkClient:
    """A client of the broker, which reads in its own time who may come."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await connect(url, name)
            except ConnectionRefused:
                await asyncio.sleep(0.01)


async def connect(url: str, name: str) -> BulkClient:
    address = parse_address(url)
    return await BulkClient.connect(
        host=address.host,
        port=address.port,
        client_id=f"{name}:test",
        username=name,
        password=PASSWORD,
        tls=None,
        on_message=lambda _topic, _payload: None,
        on_lost=lambda _error: None,
    )


async def test_a_child_comes_and_goes_and_both_sides_know(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["one"]) as tree:
        async with child_node(tmp_path, "one", tree.broker.children_url) as child:
            await until(lambda: tree.children.online("one"))
            await until(lambda: child.upstream.groups.epoch == tree.children.get("one").lane)
        await until(lambda: not tree.children.online("one"))


async def test_after_our_own_connection_was_cut_everybody_is_found_again(tmp_path: Path) -> None:
    async with (
        parent_node(tmp_path, children=["one"]) as tree,
        child_node(tmp_path, "one", tree.broker.children_url) as child,
    ):
        await until(lambda: tree.children.online("one"))
        before = tree.children.get("one").lane
        client = tree.downlink._bulk._client
        assert client is not None
        await client.close()
        await until(lambda: tree.children.get("one").lane != before and tree.children.online("one"))
        await until(lambda: child.upstream.groups.epoch == tree.children.get("one").lane)


async def test_bad_messages_and_strangers_cost_nothing(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["one"]) as tree:
        client = await connected(tree.broker.children_url, "one")
        up, report, will = tree.topics.up("one"), tree.topics.report("one"), tree.topics.will("one")
        for topic in (up, report, will):
            for payload in (b"", b"\xc1", b"\x91" * 50_000, b"x" * 200_000):
                await client.publish(topic, payload)
        await client.publish(up, seal(wrap("hello.v1", Gone(boot=b"x"), sender="one")))
        await client.publish(report, seal(wrap("hello.v1", Hello(boot=b"x"), sender="one")))
        await client.publish(up, seal(wrap("hello.v1", Hello(boot=b"x"), sender="two")))
        await until(lambda: tree.children.online("one"))  # by its topic, whatever it says that it is
        assert not tree.children.online("two")
        await client.close()


async def test_a_node_that_joins_is_heard_until_its_token_is_over(tmp_path: Path) -> None:
    above = FakeAbove()
    async with parent_node(tmp_path, children=[], above=above) as tree:
        await tree.issue_token(TokenIssued(token_id="t", password_hash=HASH, parent="parent", expires=10**15))
        client = await connected(tree.broker.children_url, "join-t")
        await client.publish(tree.topics.up("join-t"), seal(wrap("enrol.request.v1", Gone(boot=b""), sender="join-t")))
        await until(lambda: len(above.forwarded) == 1)
        await client.publish(tree.topics.report("join-t"), b"x")
        await until(lambda: tree.downlink.strangers == 1)
        record = StatusRecord(job="j", revision=1, target="join-t", attempt=1, seq=1, state="fetching", at=1)
        for message in (Hello(boot=b"x"), Status(records=[record]), Answer(query=b"x")):
            await client.publish(tree.topics.up("join-t"), seal(wrap(KIND_OF[type(message)], message, sender="join-t")))
        await until(lambda: tree.downlink.strangers == 4)
        assert len(above.forwarded) == 1
        assert not await tree.statuses.records("j")
        await tree.enrolment.prune(10**15)
        assert tree.routes.via("join-t") is None
        await client.close()


async def test_a_dismissed_child_is_cut_off_and_forgotten(tmp_path: Path) -> None:
    async with (
        parent_node(tmp_path, children=["one"]) as tree,
        child_node(tmp_path, "one", tree.broker.children_url) as child,
    ):
        await until(lambda: tree.children.online("one"))
        await tree.dismiss(Dismissed(name="one"))
        async with asyncio.timeout(60):
            await until(lambda: not child.upstream.connected)
        assert tree.children.all() == []
        assert tree.routes.via("one") is None
        assert REGION
        await tree.admit(admitted("one", "parent"))
        await until(lambda: child.upstream.connected)
