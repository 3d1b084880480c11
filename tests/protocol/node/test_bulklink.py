"""The bulk link by itself; over both brokers, dying and back, it is tried in tests/brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiercast_protocol.errors import BrokerLost
from tiercast_protocol.node.brokers import Broker, BrokerConfig, open_broker
from tiercast_protocol.node.bulklink import BulkLink
from tiercast_protocol.wire.topics import Topics

T = Topics("r")


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with open_broker(BrokerConfig(mode="embedded"), folder=tmp_path, region="r", owner="o") as broker:
        yield broker


async def test_before_it_is_up_wishes_are_remembered() -> None:
    link = BulkLink("mqtt://127.0.0.1:1", client_id="n:bulk", on_message=lambda _t, _p: None)
    with pytest.raises(BrokerLost):
        await link.publish("x", b"y")
    with pytest.raises(BrokerLost):
        await link.subscribe(T.group("o", 1))
    assert list(link._subscriptions) == [T.group("o", 1)]
    await link.unsubscribe(T.group("o", 1))
    assert not link._subscriptions
    link.pause()
    link.resume()
    assert link.tcp_info() is None


async def test_frames_of_several_parts_pausing_and_a_handler_that_fails(broker: Broker) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    def heard(topic: str, payload: memoryview) -> None:
        if payload == b"bad":
            raise RuntimeError("boom")
        got.put_nowait(bytes(payload))

    link = BulkLink(
        broker.url, client_id="o:bulk", login=broker.owner_login, subscriptions=[T.report_filter()], on_message=heard
    )
    link.pause()  # before it is up: holds for the connection to come
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        await link.up.wait()
        await link.publish(T.report("n"), b"bad")
        await link.publish(T.report("n"), b"a", memoryview(b"bc"), b"d" * 100_000)
        await asyncio.sleep(0.05)
        assert got.empty()
        link.resume()
        assert await got.get() == b"abc" + b"d" * 100_000
        with pytest.raises(BrokerLost, match="subscribing"):
            await link.subscribe("elsewhere/#")
        running.cancel()


async def test_a_subscription_that_is_refused_does_not_stop_the_others(broker: Broker) -> None:
    """It is a lost link that comes back; whoever wished for it may take it back."""
    link = BulkLink(
        broker.url,
        client_id="o:bulk",
        login=broker.owner_login,
        subscriptions=["elsewhere/#"],
        on_message=lambda _t, _p: None,
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        await asyncio.sleep(0.1)
        assert not link.connected
        await link.unsubscribe("elsewhere/#")
        await link.up.wait()
        running.cancel()
