"""Reading in a thread: what the taker sees and keeps, what the loop gets, how it ends; test_bulk.py holds for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tiercast_mqtt import codec
from tiercast_mqtt.packets import Connack
from tiercast_mqtt.settings import Listener, Tls
from tiercast_mqtt.threaded import ThreadedClient

SIZES = [0, 10, 8180, 8192, 70_000, 900_000, 3]


class Taker:
    """Finishes with messages that begin with 1, and remembers what it saw and where."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.threads: set[str] = set()

    def __call__(self, payload: memoryview) -> tuple[object, bool]:
        self.seen.append(bytes(payload))
        self.threads.add(threading.current_thread().name)
        return len(self.seen), bytes(payload[:1]) == b"\1"


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "bulk"]


async def reading(kit: Any, taker: Any, **given: Any) -> tuple[ThreadedClient, ThreadedClient]:
    """A client that reads in a thread and has subscribed, and one that publishes."""
    broker = await kit.broker()
    reader = await kit.bulk(broker, "reader", **given)
    assert reader.read_in_thread(taker)
    await reader.subscribe("x")
    return reader, await kit.bulk(broker, "writer")


async def _all_of_it(kit: Any) -> None:
    taker = Taker()
    got: list[tuple[object, bytes]] = []

    def arrived(_topic: str, view: memoryview) -> None:
        got.append((reader.taken, bytes(view)))

    reader, writer = await reading(kit, taker, on_message=arrived)
    sent = [bytes([number % 2]) * size for number, size in enumerate(SIZES * 3)]
    for payload in sent:
        await writer.publish("x", payload)
    await kit.until(lambda: len(got) == len(sent))
    assert taker.seen == sent
    assert taker.threads == {"bulk"}
    kept = [b"" if payload[:1] == b"\1" else payload for payload in sent]
    assert got == [(number + 1, payload) for number, payload in enumerate(kept)]
    assert reader.taken is None
    await reader.close()
    assert threads() == []


async def test_the_taker_sees_all_and_what_it_finished_has_no_bytes_left(kit: Any) -> None:
    await _all_of_it(kit)


def test_the_same_on_uvloop(on_uvloop: Callable[..., None]) -> None:
    on_uvloop(_all_of_it)


async def test_what_is_lent_is_not_read_into_until_it_is_given_back(kit: Any) -> None:
    lent: list[tuple[memoryview, Callable[[], None]]] = []

    def keep(_topic: str, view: memoryview) -> None:
        give_back = reader.lend()
        assert give_back is not None
        lent.append((view, give_back))

    reader, writer = await reading(kit, Taker(), on_message=keep)
    sent = [bytes([number + 2]) * 300_000 for number in range(5)]
    for payload in sent:
        await writer.publish("x", payload)
    await kit.until(lambda: len(lent) == 5)
    assert [bytes(view) for view, _ in lent] == sent
    assert reader.drop_spares() == 0
    for _, give_back in lent:
        give_back()
    assert reader.drop_spares() > 5 * 300_000
    lent.clear()


async def test_who_halts_gets_nothing_more_and_loses_nothing(kit: Any) -> None:
    taker = Taker()
    reader, writer = await reading(kit, taker)
    reader.pause()
    sent = [b"\1" * 10, *[b"%d" % number + bytes(200_000) for number in range(20)]]
    for payload in sent:
        await writer.publish("x", payload)
    await writer.publish("y", b"", qos=1)  # the broker has it all now
    assert kit.messages == []
    assert len(taker.seen) < 20, "what it did read before is less than all"
    reader.resume()
    await kit.until(lambda: len(kit.messages) == 21)
    assert [payload for _, payload in kit.messages] == [b"", *sent[1:]]


async def test_a_taker_that_fails_ends_the_connection_and_is_the_reason(kit: Any) -> None:
    def fail(_payload: memoryview) -> tuple[object, bool]:
        raise OSError("a mistake of ours")

    _, writer = await reading(kit, fail)
    await writer.publish("x", b"1")
    await kit.until(lambda: len(kit.lost) == 1)
    assert "a mistake of ours" in str(kit.lost[0])
    await kit.until(lambda: threads() == [])


async def test_a_taker_that_takes_long_holds_up_neither_pings_nor_the_end(kit: Any) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(_payload: memoryview) -> tuple[object, bool]:
        begun.set()
        go.wait()
        return None, False

    broker = await kit.broker()
    reader = await kit.bulk(broker, "reader", keepalive=1)
    assert reader.read_in_thread(slow)
    await reader.subscribe("x")
    writer = await kit.bulk(broker, "writer")
    try:
        await writer.publish("x", b"1")
        await kit.until(begun.is_set)
        loop = asyncio.get_running_loop()
        since = loop.time()
        await kit.until(lambda: loop.time() > since + 2.2)  # the broker would count as silent after 1.5
        assert kit.lost == []
        await reader.close()
        assert kit.lost == [None]
    finally:
        go.set()
    await kit.until(lambda: threads() == [])


async def test_nonsense_ends_it_once(kit: Any) -> None:
    async def broker(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kit.stack.callback(writer.transport.abort)
        await stream.read(1000)
        writer.write(codec.encode(Connack(0)))
        await stream.read(1000)
        writer.write(b"\x36\x00nonsense")

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    kit.stack.callback(server.close)
    client = await kit.bulk(int(server.sockets[0].getsockname()[1]))
    assert client.read_in_thread(Taker())
    with pytest.raises(ConnectionError):
        await client.subscribe("x")
    await kit.until(lambda: len(kit.lost) == 1)
    assert "QoS 3" in str(kit.lost[0])
    await kit.until(lambda: threads() == [])


@pytest.mark.parametrize("way", ["unix", "tls"])
async def test_elsewhere_the_loop_reads_on(kit: Any, authority: Callable[..., Any], way: str) -> None:
    own = authority()
    listener = Listener(path=kit.folder / "b.sock") if way == "unix" else Listener(tls=Tls(*own.issue("broker")))
    broker = await kit.broker(listen=(listener,))
    client = await kit.bulk(
        kit.folder / "b.sock" if way == "unix" else broker, **({"tls": own.client()} if way == "tls" else {})
    )
    assert not client.read_in_thread(Taker())
    await client.subscribe("x")
    await client.publish("x", bytes(100_000))
    await kit.until(lambda: len(kit.messages) == 1)
    assert threads() == []


async def test_only_one_thread_reads_and_none_after_the_end(kit: Any) -> None:
    reader, _ = await reading(kit, Taker())
    assert not reader.read_in_thread(Taker())
    await reader.close()
    await reader.close()
    assert not reader.read_in_thread(Taker())
    assert threads() == []
    assert kit.lost == [None]
