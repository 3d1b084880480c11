"""The embedded broker against everything that others were found to get wrong (one test per row of the comparison).

Raw sockets where the bytes matter, paho and aiomqtt where a client that others wrote matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
import pytest

from tiercast_mqtt import codec
from tiercast_mqtt.errors import MalformedPacket
from tiercast_mqtt.limits import Limits
from tiercast_mqtt.packets import Connect, Puback, Publish, Suback, Subscribe, Unsubscribe, Will
from tiercast_mqtt.settings import Listener, Tls

MIB = 1024 * 1024


def subscribe(*filters: str, qos: int = 0, packet_id: int = 1) -> Subscribe:
    return Subscribe(packet_id, tuple((filter_, qos) for filter_ in filters))


async def code(kit: Any, broker: Any, client_id: str, **fields: Any) -> int:
    one = await kit.raw(broker)
    result: int = await one.connect(client_id, **fields)
    return result


# == who is let in =====================================================================================


@pytest.fixture
def by_certificate(kit: Any, authority: Callable[..., Any]) -> Any:
    async def start() -> Any:
        own = authority()
        cert, key = own.issue("broker")
        broker = await kit.broker(
            listen=(Listener(tls=Tls(cert, key, own.path, True)),), acl_file=kit.acl("pattern readwrite %u/#\n")
        )
        return broker, own

    return start


async def test_the_certificate_names_the_client(kit: Any, by_certificate: Any) -> None:
    broker, own = await by_certificate()
    one = await kit.raw(broker, own.client("anna"))
    assert await one.connect("anna-1", clean=False) == 0
    await one.send(subscribe("anna/x", "bob/x"))
    assert await one.packet() == Suback(1, (0, 0x80))
    # A user name may only repeat it.
    other = await kit.raw(broker, own.client("anna"))
    assert await other.connect("anna-2", username="bob", password=b"x") == 5


async def test_another_certificate_gets_nobodys_session(kit: Any, by_certificate: Any) -> None:
    broker, own = await by_certificate()
    victim = await kit.raw(broker, own.client("victim"))
    assert await victim.connect("victim-id", clean=False) == 0
    await victim.send(subscribe("victim/x", qos=1))
    await victim.packet()
    thief = await kit.raw(broker, own.client("thief"))
    assert await thief.connect("victim-id", clean=False) == 2
    await thief.ended()
    assert await victim.silent()
    victim.close()
    await kit.until(lambda: not broker.hub.sessions["victim-id"].attached)
    thief = await kit.raw(broker, own.client("thief"))
    assert await thief.connect("victim-id", clean=False) == 2
    assert "victim/x" in broker.hub.sessions["victim-id"].filters


async def test_no_certificate_or_a_strangers_gets_nothing(
    kit: Any, by_certificate: Any, authority: Callable[..., Any]
) -> None:
    broker, own = await by_certificate()
    stranger = authority("stranger")
    cert, key = stranger.issue("victim")
    forged = own.client()
    forged.load_cert_chain(cert, key)
    for context in (own.client(), forged):
        with contextlib.suppress(ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            one = await kit.raw(broker, context)
            assert await one.connect("victim-id", clean=False) != 0
    assert not broker.hub.sessions


async def test_a_wrong_password_touches_no_session(kit: Any) -> None:
    broker = await kit.broker(users_file=kit.users(anna="a", bob="b"))
    victim = await kit.raw(broker)
    assert await victim.connect("anna", clean=False, username="anna", password=b"a") == 0
    await victim.send(subscribe("x", qos=1))
    await victim.packet()
    for fields in ({"password": b"wrong"}, {"password": b"wrong", "clean": True}, {}):
        assert await code(kit, broker, "anna", username="anna", **fields) == 5
    # Nor does somebody else with a right password of their own.
    assert await code(kit, broker, "anna", username="bob", password=b"b") == 2
    assert await victim.silent()
    victim.close()
    await kit.until(lambda: not broker.hub.sessions["anna"].attached)
    assert await code(kit, broker, "anna", username="anna", password=b"wrong", clean=True) == 5
    publisher = await kit.raw(broker)
    assert await publisher.connect("bob", username="bob", password=b"b") == 0
    await publisher.send(Publish("x", b"kept", qos=1, packet_id=1))
    assert await publisher.packet() == Puback(1)
    back = await kit.raw(broker)
    assert await back.connect("anna", clean=False, username="anna", password=b"a") == 0
    assert back.present
    message = await back.packet()
    assert isinstance(message, Publish)
    assert bytes(message.payload) == b"kept"


@pytest.mark.parametrize("client_id", ["+", "#", "a/+/b"])
async def test_ids_that_are_wildcards_are_refused(kit: Any, client_id: str) -> None:
    assert await code(kit, await kit.broker(), client_id) == 2


async def test_another_version_is_told_so(kit: Any) -> None:
    one = await kit.raw(await kit.broker())
    await one.send(b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00")
    assert await one.ended() == b"\x20\x02\x00\x01"


# == access ============================================================================================

POLICY = """
user anna
topic readwrite anna/#
topic write shared/#
user bob
topic read shared/#
topic read $SYS/#
pattern write %u/up
"""


@pytest.fixture
async def guarded(kit: Any) -> Any:
    return await kit.broker(
        users_file=kit.users(anna="a", bob="b"), acl_file=kit.acl(POLICY), client_id_is_username=True
    )


async def login(kit: Any, broker: Any, name: str, suffix: str = "", **fields: Any) -> Any:
    one = await kit.raw(broker)
    assert await one.connect(name + suffix, username=name, password=name[0].encode(), **fields) == 0
    return one


async def test_access_to_live_messages(kit: Any, guarded: Any) -> None:
    bob = await login(kit, guarded, "bob")
    await bob.send(subscribe("shared/#", "anna/#", "#"))
    assert await bob.packet() == Suback(1, (0, 0x80, 0))
    anna = await login(kit, guarded, "anna")
    await anna.send(
        Publish("anna/secret", b"1"), Publish("shared/x", b"2"), Publish("bob/up", b"3", qos=1, packet_id=1)
    )
    # Refused, and acknowledged like any other (MQTT 3.1.1 knows no other answer).
    assert await anna.packet() == Puback(1)
    message = await bob.packet()
    assert isinstance(message, Publish)
    assert (message.topic, bytes(message.payload)) == ("shared/x", b"2")
    await bob.send(Publish("shared/y", b"no"))
    assert await bob.silent()
    assert guarded.counters.messages_denied == 2


async def test_access_to_retained_messages(kit: Any, guarded: Any) -> None:
    anna = await login(kit, guarded, "anna")
    await anna.send(Publish("anna/secret", b"1", retain=True), Publish("shared/x", b"2", retain=True))
    assert await anna.silent()
    bob = await login(kit, guarded, "bob", clean=False)
    assert await bob.silent()  # nothing comes without a subscription
    await bob.send(subscribe("#", "anna/secret"))
    assert await bob.packet() == Suback(1, (0, 0x80))
    message = await bob.packet()
    assert message == Publish("shared/x", b"2", retain=True)
    assert await bob.silent()
    # Whoever may not write may not forge a retained one.
    await bob.send(Publish("shared/x", b"forged", retain=True), Publish("$SYS/broker/uptime", b"9", retain=True))
    assert await bob.silent()
    again = await login(kit, guarded, "bob", "/2")
    await again.send(subscribe("shared/x"))
    await again.packet()
    assert await again.packet() == Publish("shared/x", b"2", retain=True)


async def test_a_forged_will_is_refused_at_connect(kit: Any, guarded: Any) -> None:
    fields = {"username": "bob", "password": b"b"}
    assert await code(kit, guarded, "bob", will=Will("shared/x", b"forged"), **fields) == 5
    assert await code(kit, guarded, "bob", will=Will("bob/up", b"own"), **fields) == 0


async def test_an_id_that_is_anothers_name_is_refused(kit: Any, guarded: Any) -> None:
    for client_id, expected in (("anna", 2), ("anna/bulk", 2), ("bob/bulk", 0), ("bob:bulk", 0), ("bobby", 2)):
        assert await code(kit, guarded, client_id, username="bob", password=b"b") == expected


async def test_filters_are_limited(kit: Any) -> None:
    broker = await kit.broker(limits=Limits(filters=3, topic_levels=4, topic_bytes=50))
    one = await kit.raw(broker)
    await one.connect("c")
    await one.send(subscribe("1", "a/b/c/d/e", "x" * 51, "2", "3", "4"))
    assert await one.packet() == Suback(1, (0, 0x80, 0x80, 0, 0, 0x80))
    await one.send(Unsubscribe(2, ("1",)), subscribe("4", packet_id=3))
    await one.packet()
    assert await one.packet() == Suback(3, (0,))
    await one.send(Publish("a/b/c/d/e", b""))
    await one.ended()


# == sessions ==========================================================================================


async def test_what_was_not_acknowledged_comes_again(kit: Any) -> None:
    broker = await kit.broker()
    one = await kit.raw(broker)
    await one.connect("c", clean=False)
    await one.send(subscribe("x", qos=1))
    await one.packet()
    publisher = await kit.raw(broker)
    await publisher.connect("p")
    for number in range(1, 6):
        await publisher.send(Publish("x", b"%d" % number, qos=1, packet_id=number))
    first = [await one.packet() for _ in range(5)]
    one.close()
    await kit.until(lambda: not broker.hub.sessions["c"].attached)
    await publisher.send(Publish("x", b"6", qos=1, packet_id=6), Publish("x", b"never kept"))
    back = await kit.raw(broker)
    assert await back.connect("c", clean=False) == 0
    assert back.present
    again = [await back.packet() for _ in range(6)]
    assert [bytes(packet.payload) for packet in again] == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert [packet.packet_id for packet in again[:5]] == [packet.packet_id for packet in first]
    assert [packet.dup for packet in again] == [True] * 5 + [False]
    await back.send(*(Puback(packet.packet_id) for packet in again))
    assert await back.silent()
    assert broker.hub.sessions["c"].bytes == 0


@pytest.mark.parametrize("clean", [True, False])
async def test_a_client_id_is_taken_over(kit: Any, clean: bool) -> None:
    broker = await kit.broker()
    watcher = await kit.raw(broker)
    await watcher.connect("w")
    await watcher.send(subscribe("will"))
    await watcher.packet()
    old = await kit.raw(broker)
    await old.connect("c", clean=clean, will=Will("will", b"gone"))
    await old.send(subscribe("x"))
    await old.packet()
    new = await kit.raw(broker)
    assert await new.connect("c", clean=clean) == 0
    assert new.present is (not clean)
    await old.ended()
    assert await watcher.packet() == Publish("will", b"gone")
    if clean:
        await new.send(subscribe("x"))
        await new.packet()
    await watcher.send(Publish("x", b"heard"))
    assert await new.packet() == Publish("x", b"heard")
    assert len(broker.hub.sessions) == 2


async def test_wills_are_published_unless_the_client_says_goodbye(kit: Any) -> None:
    broker = await kit.broker()
    watcher = await kit.raw(broker)
    await watcher.connect("w")
    await watcher.send(subscribe("will/#", qos=1))
    await watcher.packet()
    polite = await kit.raw(broker)
    await polite.connect("1", will=Will("will/polite", b""))
    await polite.send(codec.DISCONNECT_BYTES)
    await polite.ended()
    for name, qos in (("cut", 0), ("malformed", 1)):
        one = await kit.raw(broker)
        await one.connect(name, will=Will(f"will/{name}", b"x", qos, True))
        if name == "cut":
            one.close()
        else:
            await one.send(b"\xff\x00")
        message = await watcher.packet()
        assert isinstance(message, Publish)
        assert (message.topic, message.qos, message.retain) == (f"will/{name}", qos, False)
    late = await kit.raw(broker)
    await late.connect("late")
    await late.send(subscribe("will/cut"))
    await late.packet()
    assert await late.packet() == Publish("will/cut", b"x", retain=True)


async def test_qos_one_beyond_the_queue_is_dropped_and_counted(kit: Any) -> None:
    limits = Limits(packet_bytes=100_000, queue_bytes=200_000, offline_bytes=100_000)
    broker = await kit.broker(limits=limits)
    one = await kit.raw(broker)
    await one.connect("c", clean=False)
    await one.send(subscribe("x", qos=1))
    await one.packet()
    one.close()
    await kit.until(lambda: not broker.hub.sessions["c"].attached)
    publisher = await kit.bulk(broker)
    for _ in range(20):
        await publisher.publish("x", bytes(10_000), qos=1)
    session = broker.hub.sessions["c"]
    assert 0 < session.bytes <= limits.offline_bytes
    assert broker.counters.messages_dropped == 20 - session.bytes // 10_000


# == bounds ============================================================================================


async def test_keep_alive_is_enforced(kit: Any) -> None:
    broker = await kit.broker()
    quiet, slow = await kit.raw(broker), await kit.raw(broker)
    await quiet.connect("quiet", keepalive=1)
    await slow.connect("slow", keepalive=1)
    ended = asyncio.ensure_future(quiet.ended())  # noqa: TID251 - awaited below
    # Bytes of a packet that takes long to arrive are life too.
    packet = codec.encode(Publish("x", bytes(40)))
    for byte in packet:
        await slow.send(bytes((byte,)))
        await asyncio.wait([ended], timeout=0.06)
    await slow.send(codec.PINGREQ_BYTES)
    assert codec.encode(await slow.packet()) == codec.PINGRESP_BYTES
    await ended
    assert broker.counters.keepalive_expired == 1


@pytest.mark.parametrize("tls", [False, True])
async def test_a_thousand_silent_sockets_are_gone_after_the_time_out(
    kit: Any, authority: Callable[..., Any], tls: bool
) -> None:
    cert, key = authority().issue("broker")
    listener = Listener(tls=Tls(cert, key) if tls else None)
    broker = await kit.broker(
        listen=(listener,), limits=Limits(connect_timeout_s=3, unauthenticated=2000, connections=2000)
    )
    port = broker.listening[0]["port"]
    sockets = []
    for _ in range(1000):
        one = socket.socket()
        one.setblocking(False)
        sockets.append(one)
        with contextlib.suppress(BlockingIOError):
            one.connect(("127.0.0.1", port))
        if len(sockets) % 50 == 0:
            await asyncio.sleep(0)
    try:
        if not tls:
            await kit.until(lambda: len(broker._waiting) == 1000)
        dead = set()
        await kit.until(lambda: _closed(sockets, dead) == 1000)
        assert not broker._connections
    finally:
        for one in sockets:
            one.close()


def _closed(sockets: list[socket.socket], dead: set[int]) -> int:
    for number, one in enumerate(sockets):
        if number not in dead:
            try:
                if one.recv(100) == b"":
                    dead.add(number)
            except BlockingIOError:
                pass
            except OSError:
                dead.add(number)
    return len(dead)


async def test_the_oldest_silent_connection_makes_room_and_clients_stay(kit: Any) -> None:
    broker = await kit.broker(limits=Limits(unauthenticated=5))
    client = await kit.raw(broker)
    await client.connect("c")
    silent = [await kit.raw(broker) for _ in range(8)]
    await asyncio.gather(*(one.ended() for one in silent[:3]))
    assert await silent[3].connect("d") == 0
    assert await client.silent()


async def test_connections_are_limited(kit: Any) -> None:
    broker = await kit.broker(limits=Limits(connections=3))
    for number in range(3):
        assert await code(kit, broker, f"c{number}") == 0
    one = await kit.raw(broker)
    assert await one.ended() == b""


def test_a_client_that_reads_no_answers_is_not_read_from_on_uvloop(on_uvloop: Callable[..., None]) -> None:
    on_uvloop(_reads_no_answers)


async def test_a_client_that_reads_no_answers_is_not_read_from(kit: Any) -> None:
    await _reads_no_answers(kit)


async def _reads_no_answers(kit: Any) -> None:
    broker = await kit.broker()
    # A UNIX socket's buffers are small: it is soon full.
    one = await kit.raw(kit.folder / "broker.sock")
    await one.connect("c")
    one.reader._limit = 1
    writing = asyncio.ensure_future(one.send(codec.PINGREQ_BYTES * 4_000_000))  # noqa: TID251 - cancelled below
    (connection,) = broker._connections
    await kit.until(lambda: connection._halted)
    assert connection._control_size < 2 * broker.limits.control_bytes
    writing.cancel()
    other = await kit.raw(broker)
    await other.connect("d")
    assert await other.silent()


JUNK = [
    bytes.fromhex(text)
    for text in (
        "30050003ff2f62",
        "30050003610062",
        "36080003612f62000a68",
        "34080003612f62000a68",
        "30050003612f2b",
        "c100",
        "8206000100012b03",
        "8002000100",
        "20020000",
        "f000",
        "0000",
        "62020001",
        "100c00044d5154540402003c0000",
        "30ffffffff01",
    )
]


@pytest.mark.parametrize("junk", JUNK, ids=[junk.hex() for junk in JUNK])
async def test_malformed_packets_close_the_connection(kit: Any, junk: bytes) -> None:
    broker = await kit.broker()
    one = await kit.raw(broker)
    await one.connect("c")
    await one.send(junk)
    await one.ended()
    assert broker.counters.packets_malformed == 1


async def test_random_packets_never_harm_the_broker(kit: Any, caplog: pytest.LogCaptureFixture) -> None:
    broker = await kit.broker()
    dice = random.Random(7)
    witness = await kit.raw(broker)
    await witness.connect("witness")
    for number in range(150):
        one = await kit.raw(broker)
        if number % 2:
            await one.connect(f"c{number}")
        with contextlib.suppress(ConnectionError):
            for _ in range(4):
                body = dice.randbytes(dice.randrange(60))
                await one.send(bytes((dice.randrange(256),)) + codec.encode_length(len(body)) + body)
        one.close()
    assert await witness.silent()
    await kit.until(lambda: len(broker._connections) == 1)
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_announced_giants_cost_nothing(kit: Any, process: Callable[..., Any]) -> None:
    broker = process()
    before = broker.rss()
    ones = [await kit.raw(broker.port) for _ in range(8)]
    for number, one in enumerate(ones[:4]):
        await one.connect(f"c{number}")
    for one in ones:
        await one.send(b"\x30\xff\xff\xff\x7f" if one in ones[:4] else b"\x10\xff\xff\xff\x7f")
    for one in ones:
        await one.ended()
    assert broker.rss() - before < 8


async def test_a_connect_larger_than_strangers_may_send_is_refused(kit: Any) -> None:
    broker = await kit.broker()
    one = await kit.raw(broker)
    await one.send(Connect("c", will=Will("x", bytes(20_000))))
    await one.ended()
    assert broker.counters.packets_malformed == 1


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_stopped_subscriber_costs_its_limit_and_harms_nobody(
    kit: Any, process: Callable[..., Any], authority: Callable[..., Any], secure: bool
) -> None:
    own = authority()
    cert, key = own.issue("broker")
    tls = {"cert": str(cert), "key": str(key)} if secure else None
    broker = process(limits={"queue_bytes": 8 * MIB}, listen=[{"host": "127.0.0.1", "port": 0, "tls": tls}])
    context = own.client() if secure else None
    stopped, running = await kit.raw(broker.port, context), []
    await stopped.connect("stopped")
    await stopped.send(subscribe("x"))
    await stopped.packet()
    stopped.writer.transport.pause_reading()
    reader = await kit.bulk(broker.port, "reader", tls=context, on_message=lambda _, view: running.append(len(view)))
    await reader.subscribe("x")
    publisher = await kit.bulk(broker.port, "publisher", tls=context)
    before, frame = broker.rss(), bytes(256 * 1024)
    for number in range(800):
        await publisher.publish("x", frame)
        if number % 16 == 15:
            # As credit does: never further ahead than this of a reader that reads.
            await kit.until(lambda number=number: len(running) > number - 8)
    await kit.until(lambda: len(running) == 800)
    assert broker.rss() - before < 24
    # Control still gets through to it, before the bulk that waits.
    stopped.writer.transport.resume_reading()
    await stopped.send(subscribe("control", packet_id=9))
    got = [await stopped.packet()]
    while not isinstance(got[-1], Suback):
        got.append(await stopped.packet())


async def test_dropped_bytes_are_told(kit: Any) -> None:
    broker = await kit.broker(sys_interval_s=0.5, limits=Limits(packet_bytes=300_000, queue_bytes=300_000))
    stopped = await kit.raw(broker)
    await stopped.connect("stopped")
    await stopped.send(subscribe("x"))
    await stopped.packet()
    stopped.writer.transport.pause_reading()
    watcher = await kit.bulk(broker, "watcher")
    await watcher.subscribe("$SYS/broker/bytes/dropped")
    publisher = await kit.bulk(broker, "publisher")
    for _ in range(100):
        await publisher.publish("x", bytes(200_000))
    await kit.until(lambda: any(int(payload) for _, payload in kit.messages))
    assert broker.counters.messages_dropped > 10


# == TLS, and clients that others wrote ================================================================


async def test_large_frames_over_tls_do_not_stall(kit: Any, authority: Callable[..., Any]) -> None:
    own = authority()
    cert, key = own.issue("broker")
    broker = await kit.broker(listen=(Listener(tls=Tls(cert, key)),))
    got: list[int] = []
    reader = await kit.bulk(broker, "r", tls=own.client(), on_message=lambda _, view: got.append(len(view)))
    await reader.subscribe("x")
    writer = await kit.bulk(broker, "w", tls=own.client())
    for number in range(40):
        await writer.publish("x", bytes(900 * 1024))
        await kit.until(lambda number=number: len(got) > number - 4)
    await kit.until(lambda: got == [900 * 1024] * 40)


async def test_certificates_are_reloaded(kit: Any, authority: Callable[..., Any]) -> None:
    own = authority()
    cert, key = own.issue("broker")
    broker = await kit.broker(listen=(Listener(tls=Tls(cert, key)),))
    for path, newer in zip((cert, key), own.issue("newer"), strict=True):
        path.write_bytes(Path(newer).read_bytes())
    assert broker.reload()
    one = await kit.raw(broker, own.client())
    subject = one.writer.get_extra_info("peercert")["subject"]
    assert subject == ((("commonName", "newer"),),)


async def test_aiomqtt_speaks_with_it(kit: Any) -> None:
    broker = await kit.broker(users_file=kit.users(anna="a"), acl_file=kit.acl("user anna\ntopic a/#\n"))
    port = int(broker.listening[0]["port"])
    login_ = {"username": "anna", "password": "a"}
    async with (
        aiomqtt.Client("127.0.0.1", port, identifier="1", clean_session=False, **login_) as one,
        aiomqtt.Client("127.0.0.1", port, identifier="2", **login_) as other,
    ):
        await one.subscribe("a/+", qos=1)
        for number in range(50):
            await other.publish("a/x", b"%d" % number * 1000, qos=1)
        async with asyncio.timeout(60):
            got = [(await anext(one.messages)).payload async for _ in _times(50)]
        assert got == [b"%d" % number * 1000 for number in range(50)]
        codes = await one.subscribe("b/+", qos=1)
        assert [refused.value for refused in codes] == [0x80]
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client("127.0.0.1", port, identifier="3", username="anna", password="wrong"):
            pass


async def _times(count: int) -> Any:
    for number in range(count):
        yield number


async def test_paho_speaks_with_it(kit: Any) -> None:
    broker = await kit.broker()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="paho", clean_session=False)
    got: list[tuple[str, bytes, bool]] = []
    subscribed, seen = threading.Event(), threading.Event()
    client.on_connect = lambda *_: client.subscribe([("a/#", 2), ("b", 0)])
    client.on_subscribe = lambda *_: subscribed.set()

    def received(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        got.append((message.topic, message.payload, message.retain))
        if len(got) == 3:
            seen.set()

    client.on_message = received
    own = await kit.bulk(broker)
    client.will_set("will", b"x")
    await own.subscribe("will")
    client.connect("127.0.0.1", int(broker.listening[0]["port"]), keepalive=10)
    client.loop_start()
    try:
        assert await asyncio.to_thread(subscribed.wait, 60)
        await own.publish("a/1", b"one", qos=1)
        await own.publish("b", b"x" * 700_000)
        await asyncio.to_thread(client.publish("a/2", b"own", qos=1).wait_for_publish, 60)
        assert await asyncio.to_thread(seen.wait, 60)
    finally:
        client.disconnect()
        client.loop_stop()
    assert sorted(got) == [("a/1", b"one", False), ("a/2", b"own", False), ("b", b"x" * 700_000, False)]
    assert kit.messages == []


async def test_a_reload_cuts_the_removed_without_their_wills(kit: Any) -> None:
    users = kit.users(anna="a", bob="b")
    broker = await kit.broker(users_file=users, acl_file=kit.acl("pattern readwrite #\n"))
    anna = await login(kit, broker, "anna")
    await anna.send(subscribe("will"))
    await anna.packet()
    bob = await login(kit, broker, "bob", clean=False, will=Will("will", b"x"))
    users.write_text("".join(line for line in users.read_text().splitlines(True) if line.startswith("anna")))
    assert broker.reload()
    await bob.ended()
    assert "bob" not in broker.hub.sessions
    assert await anna.silent()
    users.unlink()
    assert not broker.reload()
    assert await anna.silent()


def test_malformed_is_the_only_error_of_the_codec() -> None:
    with pytest.raises(MalformedPacket):
        codec.decode(0xFF, memoryview(b""))
