"""The bulk client, against the embedded broker and against real mosquitto, and against brokers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tiercast_mqtt import codec
from tiercast_mqtt.bulk import BulkClient
from tiercast_mqtt.errors import ConnectionRefused
from tiercast_mqtt.packets import Connack, Publish
from tiercast_mqtt.settings import Listener, Tls

Where = tuple[int, Path]


@pytest.fixture(params=["loop", "thread"], autouse=True)
def _reading(request: pytest.FixtureRequest, kit: Any) -> None:
    """Whoever reads, all of it holds."""
    if request.param == "thread":
        kit.taker = lambda _payload: (None, False)


@pytest.fixture(params=["embedded", "mosquitto"])
async def where(request: pytest.FixtureRequest, kit: Any) -> AsyncIterator[Where]:
    """A broker's TCP port and UNIX socket; anna has the password "a" and may not touch `forbidden`."""
    users, acl = kit.users(anna="a"), kit.acl("user anna\ntopic readwrite a/#\ntopic read $SYS/#\n")
    if request.param == "embedded":
        broker = await kit.broker(users_file=users, acl_file=acl)
        yield int(broker.listening[0]["port"]), Path(str(broker.listening[1]["path"]))
    else:
        start = request.getfixturevalue("mosquitto")
        mosquitto = start(
            f"password_file {users}",
            f"acl_file {acl}",
            "allow_anonymous false",
            "max_packet_size 1114112",
            "user root",
        )
        yield mosquitto.port, mosquitto.path


ANNA = {"username": "anna", "password": "a"}


@pytest.mark.parametrize("local", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("qos", [0, 1])
async def test_messages_of_every_size_arrive_whole_and_in_order(kit: Any, where: Where, local: bool, qos: int) -> None:
    client = await kit.bulk(where[local], **ANNA)
    assert await client.subscribe("a/#", qos) == qos
    sizes = [0, 1, 127, 8180, 8192, 16_384, 70_000, 262_144, 900_000, 3]
    parts = [(bytes([number]) * 20, memoryview(bytes(size))) for number, size in enumerate(sizes)]
    for part in parts:
        await client.publish("a/x", *part, qos=qos)
    await kit.until(lambda: len(kit.messages) == len(sizes))
    assert kit.messages == [("a/x", part[0] + part[1]) for part in parts]
    assert client.fileno() > 0
    await client.close()
    assert client.fileno() == -1
    assert kit.lost == [None]


async def test_unsubscribed_topics_are_silent(kit: Any, where: Where) -> None:
    client = await kit.bulk(where[0], **ANNA)
    await client.subscribe("a/1")
    await client.subscribe("a/2")
    await client.unsubscribe("a/1")
    await client.publish("a/1", b"no")
    await client.publish("a/2", b"yes")
    await kit.until(lambda: bool(kit.messages))
    assert kit.messages == [("a/2", b"yes")]


async def test_a_wrong_password_is_refused_with_its_code(kit: Any, where: Where) -> None:
    with pytest.raises(ConnectionRefused) as caught:
        await kit.bulk(where[0], username="anna", password="wrong")
    assert caught.value.code in {4, 5}
    assert kit.lost == []


async def test_pings_keep_a_quiet_client(kit: Any, where: Where) -> None:
    client = await kit.bulk(where[0], keepalive=2, **ANNA)
    await client.subscribe("a/x")
    with pytest.raises(TimeoutError):
        await kit.until(lambda: bool(kit.lost), timeout=4)
    await client.publish("a/x", b"still here")
    await kit.until(lambda: bool(kit.messages))


async def test_a_paused_client_gets_nothing_and_loses_nothing(kit: Any, where: Where) -> None:
    reader = await kit.bulk(where[0], "reader", **ANNA)
    await reader.subscribe("a/x")
    writer = await kit.bulk(where[0], "writer", **ANNA)
    reader.pause()
    for number in range(200):
        await writer.publish("a/x", b"%d" % number, bytes(5000))
    await writer.publish("a/x", b"last", qos=1)
    assert kit.messages == []
    reader.resume()
    await kit.until(lambda: len(kit.messages) == 201)
    assert [int(payload.rstrip(b"\0")) for _, payload in kit.messages[:-1]] == list(range(200))


async def test_pausing_within_a_message_stops_after_it(kit: Any, where: Where) -> None:
    got: list[bytes] = []

    def one_at_a_time(_topic: str, view: memoryview) -> None:
        got.append(bytes(view))
        reader.pause()

    reader: BulkClient = await kit.bulk(where[0], "reader", on_message=one_at_a_time, **ANNA)
    await reader.subscribe("a/x")
    writer = await kit.bulk(where[0], "writer", **ANNA)
    for number in range(5):
        await writer.publish("a/x", b"%d" % number)
    for number in range(5):
        await kit.until(lambda number=number: len(got) == number + 1)
        await writer.publish("a/y", b"", qos=1)
        assert len(got) == number + 1
        reader.resume()
    assert got == [b"0", b"1", b"2", b"3", b"4"]


async def test_many_publishers_of_one_client_do_not_mix_their_frames(kit: Any, where: Where) -> None:
    client = await kit.bulk(where[0], **ANNA)
    await client.subscribe("a/#")

    async def publish(number: int) -> None:
        for _ in range(6):
            await client.publish(f"a/{number}", *[bytes([number]) * 50_000] * 4)

    async with asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(publish(number))
    await kit.until(lambda: len(kit.messages) == 36)
    assert all(payload == bytes([int(topic[2:])]) * 200_000 for topic, payload in kit.messages)


async def test_over_tls(kit: Any, mosquitto: Callable[..., Any], authority: Callable[..., Any]) -> None:
    own = authority()
    cert, key = own.issue("broker")
    broker = mosquitto("user root", tls=(cert, key))
    client = await kit.bulk(broker.port, tls=own.client())
    await client.subscribe("x")
    await client.publish("x", bytes(900_000))
    await kit.until(lambda: bool(kit.messages))
    assert kit.messages == [("x", bytes(900_000))]


async def test_a_refused_subscription_is_a_permission_error(kit: Any) -> None:
    broker = await kit.broker(acl_file=kit.acl("pattern read a\n"))
    client = await kit.bulk(broker)
    with pytest.raises(PermissionError, match="forbidden"):
        await client.subscribe("forbidden")
    assert await client.subscribe("a") == 0


async def test_a_lost_broker_is_told_once_and_fails_what_waits(kit: Any) -> None:
    broker = await kit.broker()
    client = await kit.bulk(broker)
    publishing = asyncio.ensure_future(_publish_for_ever(client))  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    await broker.stop()
    await kit.until(lambda: len(kit.lost) == 1)
    with pytest.raises(ConnectionError):
        await publishing
    with pytest.raises(ConnectionError):
        await client.subscribe("x")
    with pytest.raises(ConnectionError):
        await client.publish("x", b"", qos=1)
    assert isinstance(kit.lost[0], Exception)
    assert not client.connected
    await client.close()
    assert len(kit.lost) == 1


async def _publish_for_ever(client: BulkClient) -> None:
    while True:
        await client.publish("x", bytes(500_000))


class Fake:
    """A broker that says what a test tells it to."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        await reader.read(1000)
        for answer in self.answers:
            writer.write(answer)
        await writer.drain()


@pytest.fixture
async def fake(kit: Any) -> Any:
    async def start(*answers: bytes) -> int:
        one = Fake(*answers)
        server = await asyncio.start_server(one, "127.0.0.1", 0)
        kit.stack.callback(server.close)
        kit.stack.callback(lambda: [writer.transport.abort() for writer in one.writers])
        return int(server.sockets[0].getsockname()[1])

    return start


ACCEPT = codec.encode(Connack(0))


async def test_a_broker_that_never_answers(kit: Any, fake: Any) -> None:
    with pytest.raises(ConnectionError, match="no answer"):
        await kit.bulk(await fake(), timeout=0.2)


async def test_a_callback_that_raises_ends_the_connection_and_is_told(kit: Any) -> None:
    def fail(_topic: str, _view: memoryview) -> None:
        raise RuntimeError("a mistake of ours")

    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    client = await kit.bulk(await kit.broker(), on_message=fail)
    await client.subscribe("x")
    await client.publish("x", bytes(20_000))
    await kit.until(lambda: len(kit.lost) == 1)
    assert "a mistake of ours" in str(kit.lost[0])


async def test_where_the_broker_is_must_be_said(kit: Any) -> None:
    with pytest.raises(ValueError, match="host and port"):
        await kit.bulk(1, port=None)


async def test_nobody_there(kit: Any) -> None:
    with pytest.raises(ConnectionError):
        await kit.bulk(kit.folder / "nobody.sock")


@pytest.mark.parametrize(
    "nonsense",
    [b"HTTP/1.1 400\r\n", b"\x20\x02\x02\x00", codec.encode(Publish("a", b"early")), b"\x20\xff\xff\xff\x7f"],
)
async def test_a_peer_that_is_no_broker(kit: Any, fake: Any, nonsense: bytes) -> None:
    with pytest.raises(ConnectionError):
        await kit.bulk(await fake(nonsense))
    assert kit.lost == []


@pytest.mark.parametrize(
    "nonsense", [ACCEPT, b"\x90\x03\x00\x07\x00", b"\x30\xff\xff\xff\x7f", b"\xe0\x00", b"\x34\x05\x00\x01a\x00\x01"]
)
async def test_nonsense_after_the_greeting_ends_it(kit: Any, fake: Any, nonsense: bytes) -> None:
    client = await kit.bulk(await fake(ACCEPT, nonsense))
    await kit.until(lambda: len(kit.lost) == 1)
    assert "malformed" in str(kit.lost[0])
    assert not client.connected


async def test_a_silent_broker_is_lost(kit: Any, fake: Any) -> None:
    await kit.bulk(await fake(ACCEPT), keepalive=1)
    await kit.until(lambda: len(kit.lost) == 1)
    assert "silent" in str(kit.lost[0])


@pytest.mark.parametrize("way", ["tcp", "unix", "tls"])
def test_all_of_it_on_uvloop(on_uvloop: Callable[..., None], authority: Callable[..., Any], way: str) -> None:
    async def story(kit: Any) -> None:
        own = authority()
        cert, key = own.issue("broker")
        listeners = {
            "tcp": Listener(),
            "unix": Listener(path=kit.folder / "uv.sock"),
            "tls": Listener(tls=Tls(cert, key)),
        }
        broker = await kit.broker(listen=(listeners[way],), users_file=kit.users(anna="a"))
        given = dict(ANNA) | ({"tls": own.client()} if way == "tls" else {})
        target = kit.folder / "uv.sock" if way == "unix" else broker
        reader = await kit.bulk(target, "reader", **given)
        assert await reader.subscribe("x", 1) == 1
        writer = await kit.bulk(target, "writer", **given)
        reader.pause()
        for number in range(60):
            await writer.publish("x", b"%d" % number, bytes(100_000), qos=number % 2)
        assert kit.messages == []
        reader.resume()
        await kit.until(lambda: len(kit.messages) == 60)
        assert {len(payload) // 1000 for _, payload in kit.messages} == {100}
        with pytest.raises(ConnectionRefused):
            await kit.bulk(target, **(given | {"password": "wrong"}))
        assert reader.fileno() > 0
        # Several packets that are one write apart, read byte for byte the same.
        for size in (0, 8180, 8192, 900_000):
            await writer.publish("x", bytes(size))
        await kit.until(lambda: len(kit.messages) == 64)
        await broker.stop()
        await kit.until(lambda: len(kit.lost) == 2)
        with pytest.raises(ConnectionError):
            await writer.publish("x", b"")

    on_uvloop(story)


async def test_back_pressure_reaches_the_publisher(kit: Any, fake: Any) -> None:
    client = await kit.bulk(await fake(ACCEPT))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await _publish_for_ever(client)
    assert client.transport is not None
    assert client.transport.get_write_buffer_size() <= 2 * 500_000
    assert client.connected


async def test_a_subscription_goes_with_the_connection(kit: Any, where: Where) -> None:
    """On a link of 100 ms it costs no round trip of its own."""
    client = await kit.bulk(where[0], subscriptions=("a/x", "a/y"), **ANNA)
    await client.publish("a/x", b"1")
    await client.publish("a/y", b"2")
    await kit.until(lambda: kit.messages == [("a/x", b"1"), ("a/y", b"2")])
    assert await client.subscribe("a/z") == 0
    await client.close()


async def test_a_refused_first_subscription_or_login_ends_the_connection(kit: Any) -> None:
    broker = await kit.broker(users_file=kit.users(anna="a"), acl_file=kit.acl("user anna\ntopic readwrite a/#\n"))
    with pytest.raises(PermissionError, match="forbidden"):
        await kit.bulk(broker, subscriptions=("a/x", "forbidden"), **ANNA)
    with pytest.raises(ConnectionRefused):
        await kit.bulk(broker, subscriptions=("a/x",), username="anna", password="wrong")


async def _trickle(kit: Any) -> int:
    """Large messages come by the segment, with a turn of the loop for each; how often the client read."""
    go: asyncio.Queue[bytes] = asyncio.Queue()
    large, small = codec.encode(Publish("a", bytes(300_000))), codec.encode(Publish("a", b"small"))

    async def broker(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPT)
        while data := await go.get():
            for at in range(0, len(data), 1448):
                writer.write(data[at : at + 1448])
                for _ in range(3):
                    await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    kit.stack.callback(server.close)
    client = await kit.bulk(int(server.sockets[0].getsockname()[1]))
    reads = 0
    updated = client.buffer_updated

    def counted(nbytes: int) -> None:
        nonlocal reads
        reads += 1
        updated(nbytes)

    client.buffer_updated = counted
    sizes: list[int] = []
    for rest in (b"", small, large[:100]):  # nothing behind it, the next one, the beginning of the next one
        before = client.bytes_received
        go.put_nowait(large + rest)
        sizes += [300_000, 5] if rest == small else [300_000]
        await kit.until(lambda want=tuple(sizes): tuple(len(payload) for _, payload in kit.messages) == want)
        await kit.until(lambda before=before, rest=rest: client.bytes_received == before + len(large + rest))
    go.put_nowait(large[100:])
    await kit.until(lambda: len(kit.messages) == len(sizes) + 1)
    go.put_nowait(large[:50_000])
    go.put_nowait(b"")  # a broker that goes in the middle of a message is noticed
    await kit.until(lambda: len(kit.lost) == 1)
    return reads


async def test_a_large_message_that_trickles_wakes_rarely_and_what_follows_comes(kit: Any) -> None:
    reads = await _trickle(kit)
    assert reads < 4 * 300_000 / 1448 / 4, "one wake for many segments"


def test_a_message_that_trickles_on_uvloop(on_uvloop: Callable[..., None]) -> None:
    async def story(kit: Any) -> None:
        await _trickle(kit)

    on_uvloop(story)
