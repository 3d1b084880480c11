"""Brokers that die, freeze, come back empty or refuse: the links go on by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from tiercast_protocol.errors import BrokerLost
from tiercast_protocol.node import link as link_module
from tiercast_protocol.node.brokers import Broker
from tiercast_protocol.node.link import BulkLink, ControlLink
from tiercast_protocol.wire.topics import Topics

from .conftest import OWNER, REGION, Connect, Heard, until, watched

T = Topics(REGION)


async def _again(control: ControlLink, heard: Heard, topic: str) -> None:
    """Publish until heard, as an outbox does."""
    n = 0
    async with asyncio.timeout(60):
        while True:
            n += 1
            try:
                await control.publish(topic, str(n).encode())
                await asyncio.wait_for(heard.messages.get(), 0.5)
            except (BrokerLost, TimeoutError):
                await asyncio.sleep(0.05)
                continue
            return


async def test_messages_both_ways(connected: Connect) -> None:
    async with connected(OWNER) as (owner, bulk, heard), connected("n1") as (node, node_bulk, own):
        await node.publish(T.up("n1"), b"up")
        assert await heard.next() == (T.up("n1"), b"up")
        await owner.publish(T.down(OWNER, "n1"), b"down")
        assert await own.next() == (T.down(OWNER, "n1"), b"down")
        await bulk.publish(T.bulk(OWNER, "n1"), b"a" * 500_000, memoryview(b"b" * 400_000))
        topic, payload = await own.next()
        assert topic == T.bulk(OWNER, "n1")
        assert payload == b"a" * 500_000 + b"b" * 400_000
        await node_bulk.subscribe(T.group(OWNER, 3))
        await bulk.publish(T.group(OWNER, 3), b"group")
        assert await own.next() == (T.group(OWNER, 3), b"group")
        await node_bulk.unsubscribe(T.group(OWNER, 3))
        info = node_bulk.tcp_info()
        assert info is not None
        assert info.received > 900_000


async def test_killed_and_back_empty(broker: Broker, connected: Connect) -> None:
    async with watched(broker), connected(OWNER) as (_, bulk, heard), connected("n1") as (node, node_bulk, own):
        await node_bulk.subscribe(T.group(OWNER, 3))
        first = broker.pid
        assert first is not None
        for _ in range(2):
            before = broker.pid
            assert before is not None
            os.kill(before, signal.SIGKILL)
            await _again(node, heard, T.up("n1"))
            async with asyncio.timeout(60):  # it serves a moment before we say so
                while broker.pid in {None, before}:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(60):  # the group was joined again without being asked for
            while own.nothing:
                with contextlib.suppress(BrokerLost):
                    await bulk.publish(T.group(OWNER, 3), b"group")
                await asyncio.sleep(0.05)
        assert await own.next() == (T.group(OWNER, 3), b"group")
        assert heard.ups == heard.downs + 1 == 3


async def test_gone_for_a_while(broker: Broker, connected: Connect) -> None:
    async with connected(OWNER) as (_, _, heard), connected("n1") as (node, _, own):
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        await until(lambda: not node.connected)
        with pytest.raises(BrokerLost, match="not connected"):
            await node.publish(T.up("n1"), b"x")
        assert own.downs == 1
        async with watched(broker):
            await _again(node, heard, T.up("n1"))


async def test_frozen_and_thawed(broker: Broker, connected: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "PUBLISH_TIMEOUT", 0.5)
    async with connected(OWNER) as (_, _, heard), connected("n1") as (node, _, _):
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            with pytest.raises(BrokerLost, match="not acknowledged"):
                await node.publish(T.up("n1"), b"while frozen")
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        assert (await heard.next())[1] == b"while frozen"
        await _again(node, heard, T.up("n1"))


async def test_frozen_for_good_is_replaced(broker: Broker, connected: Connect) -> None:
    async with watched(broker), connected(OWNER) as (_, _, heard), connected("n1") as (node, _, _):
        before = broker.pid
        assert before is not None
        os.kill(before, signal.SIGSTOP)
        await _again(node, heard, T.up("n1"))
        assert broker.pid != before


async def test_a_publish_that_waits_hears_of_the_loss_at_once(broker: Broker, connected: Connect) -> None:
    async with connected("n1") as (node, _, _):
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(_refused(node))
            await asyncio.sleep(0.1)
            started = loop.time()
            os.kill(broker.pid, signal.SIGKILL)
            await task
        assert loop.time() - started < link_module.PUBLISH_TIMEOUT / 2


async def _refused(node: ControlLink) -> None:
    with pytest.raises(BrokerLost):
        await node.publish(T.up("n1"), b"x")


async def test_a_refused_publish_looks_like_any_other_and_is_not_heard(connected: Connect) -> None:
    async with connected(OWNER) as (_, _, heard), connected("n1") as (node, _, _):
        await node.publish(T.up("n2"), b"forged")  # no error: only an application's acknowledgement tells
        await node.publish(T.up("n1"), b"own")
        assert await heard.next() == (T.up("n1"), b"own")
        assert node.connected


async def test_a_will_tells_of_every_end_orderly_or_not(broker: Broker, connected: Connect) -> None:
    async with connected(OWNER) as (_, _, heard):
        async with connected("n2", will=(T.will("n2"), b"gone")):
            pass
        assert await heard.next() == (T.will("n2"), b"gone")
        async with connected("n1", will=(T.will("n1"), b"gone")) as (node, _, _):
            sock = node._client._client.socket()  # type: ignore[union-attr]
            sock.shutdown(2)
            assert await heard.next() == (T.will("n1"), b"gone")


async def test_what_came_while_away_is_delivered_on_return(broker: Broker, connected: Connect) -> None:
    async with connected("n1"):
        pass
    async with connected(OWNER) as (owner, _, _):
        for n in range(5):
            await owner.publish(T.down(OWNER, "n1"), str(n).encode())
        async with connected("n1") as (_, _, own):
            assert [(await own.next())[1] for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_slow_handler_keeps_order_and_the_broker_waits(broker: Broker, connected: Connect) -> None:
    gate = asyncio.Event()
    got: list[bytes] = []

    async def slow(topic: str, payload: bytes) -> None:
        await gate.wait()
        got.append(payload)

    link = ControlLink(
        broker.children_url, client_id="n1", login=("n1", "pw-n1"), subscriptions=[T.down(OWNER, "n1")], on_message=slow
    )
    async with connected(OWNER) as (owner, _, _), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        await link.up.wait()
        for n in range(200):
            await owner.publish(T.down(OWNER, "n1"), str(n).encode())
        assert link._client is not None
        assert len(link._client.messages) <= 32  # what is in flight, no more
        gate.set()
        await until(lambda: len(got) == 200)
        running.cancel()
    assert got == [str(n).encode() for n in range(200)]


async def test_a_handler_that_fails_costs_its_message_only(broker: Broker, connected: Connect) -> None:
    got: list[bytes] = []

    async def fragile(topic: str, payload: bytes) -> None:
        if payload == b"bad":
            raise RuntimeError("boom")
        got.append(payload)

    link = ControlLink(
        broker.children_url,
        client_id="n1",
        login=("n1", "pw-n1"),
        subscriptions=[T.down(OWNER, "n1")],
        on_message=fragile,
    )
    async with connected(OWNER) as (owner, _, _), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        await link.up.wait()
        for payload in (b"bad", b"good"):
            await owner.publish(T.down(OWNER, "n1"), payload)
        await until(lambda: bool(got))
        running.cancel()
    assert got == [b"good"]


async def test_a_refused_login_is_said_so_and_tried_again(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    async def nothing(topic: str, payload: bytes) -> None:
        pass

    control = ControlLink(broker.children_url, client_id="n1", login=("n1", "wrong"), on_message=nothing)
    bulk = BulkLink(broker.children_url, client_id="n1:bulk", login=("n1", "wrong"), on_message=lambda _t, _p: None)
    said = ""
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(link.run()) for link in (control, bulk)]
        while said.count("broker refuses the login") < 4:
            await asyncio.sleep(0.05)
            said += capsys.readouterr().out
        for task in running:
            task.cancel()
    assert "wrong" not in said.replace("wrong user name or password", "")
    assert not control.connected


async def test_paused_bulk_resumes_where_it_was(connected: Connect) -> None:
    async with connected(OWNER) as (_, bulk, _), connected("n1") as (_, node_bulk, own):
        node_bulk.pause()
        for n in range(10):
            await bulk.publish(T.bulk(OWNER, "n1"), bytes([n]) * 50_000)
        await asyncio.sleep(0.1)
        assert own.messages.qsize() <= 2  # what was on its way into the process
        node_bulk.resume()
        assert [(await own.next())[1][0] for _ in range(10)] == list(range(10))


async def test_the_state_folder_holds_nothing_after_the_end(broker: Broker, folder: Path) -> None:
    assert broker.url.startswith("unix://")
    assert (folder / "broker.sock").is_socket()
