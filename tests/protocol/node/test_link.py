"""The control link by itself; over both brokers, dying and back, it is tried in tests/brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tiercast_protocol.errors import BrokerLost, UsageError
from tiercast_protocol.node.brokers import Broker, BrokerConfig, open_broker
from tiercast_protocol.node.link import ControlLink
from tiercast_protocol.wire.topics import Topics

T = Topics("r")


async def _nothing(topic: str, payload: bytes) -> None:
    pass


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with open_broker(BrokerConfig(mode="embedded"), folder=tmp_path, region="r", owner="o") as broker:
        yield broker


async def test_before_it_is_up_nothing_can_be_published() -> None:
    link = ControlLink("mqtt://127.0.0.1:1", client_id="n", on_message=_nothing)
    assert not link.connected
    assert link.tcp_info() is None
    with pytest.raises(BrokerLost, match="not connected"):
        await link.publish(T.up("n"), b"x")


def test_an_address_that_is_none() -> None:
    with pytest.raises(UsageError):
        ControlLink("localhost:1883", client_id="n", on_message=_nothing)


async def test_subscribed_later_and_ever_after(broker: Broker) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def heard(topic: str, payload: bytes) -> None:
        got.put_nowait(payload)

    down = asyncio.Event()

    async def on_down() -> None:
        down.set()

    link = ControlLink(broker.url, client_id="o", login=broker.owner_login, on_message=heard, on_down=on_down)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        await link.up.wait()
        await link.subscribe(T.up("+"))
        await link.publish(T.up("n"), b"1")
        assert await got.get() == b"1"
        assert link._client is not None
        link._client._client.socket().shutdown(2)
        await down.wait()
        await link.up.wait()
        await link.publish(T.up("n"), b"2")
        while (again := await got.get()) != b"2":
            assert again == b"1"  # its acknowledgement was lost with the connection
        running.cancel()


async def test_a_refused_subscription_is_a_lost_link(broker: Broker) -> None:
    link = ControlLink(broker.url, client_id="o", login=broker.owner_login, on_message=_nothing)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        await link.up.wait()
        with pytest.raises(BrokerLost, match="refuses the subscription"):
            await link.subscribe("elsewhere/#")
        running.cancel()


@pytest.mark.parametrize("nth", [1, 2], ids=["publishing", "acknowledging"])
async def test_a_socket_that_can_no_longer_be_watched_is_a_lost_link(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """As uvloop has it between a reset and its reader: a gateway ended by that, in one of some hundred resets."""
    downs: asyncio.Queue[None] = asyncio.Queue()
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def heard(topic: str, payload: bytes) -> None:
        got.put_nowait(payload)

    async def on_down() -> None:
        downs.put_nowait(None)

    loop, calls = asyncio.get_running_loop(), 0
    watch = loop.add_writer

    def closed(number: int, *args: object) -> None:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise RuntimeError("the handler is closed")
        watch(number, *args)  # type: ignore[arg-type]

    link = ControlLink(
        broker.url,
        client_id="o",
        login=broker.owner_login,
        subscriptions=[T.up("+")],
        on_message=heard,
        on_down=on_down,
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        await link.up.wait()
        with monkeypatch.context() as patched:
            patched.setattr(loop, "add_writer", closed)
            if nth == 1:
                with pytest.raises(BrokerLost):
                    await link.publish(T.up("n"), b"1")
            else:
                # its own acknowledgement may be lost with the connection
                with suppress(BrokerLost):
                    await link.publish(T.up("n"), b"1")
            await downs.get()
        await link.up.wait()
        await link.publish(T.up("n"), b"2")
        while await got.get() != b"2":
            pass
        running.cancel()


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20, 80])
async def test_cancelled_at_any_moment_it_ends(broker: Broker, turns: int) -> None:
    link = ControlLink(
        broker.url, client_id="o", login=broker.owner_login, subscriptions=T.parent_filters(), on_message=_nothing
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        for _ in range(turns):
            await asyncio.sleep(0.001)
        running.cancel()
    assert not link.connected
