"""The access policy at both brokers: publish, subscribe, will and retained, by each who may not.

MQTT 3.1.1 acknowledges a refused publish like any other, so what is checked is that nobody hears it:
after the forbidden message comes an allowed one on the same connections, and that one is the next heard.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tiercast_mqtt.bulk import BulkClient
from tiercast_mqtt.password import hash_password
from tiercast_protocol.node.broker import connect_once
from tiercast_protocol.node.brokers import Broker
from tiercast_protocol.wire.topics import Topics

from .conftest import OWNER, PASSWORDS, REGION, Connect, until

T = Topics(REGION)
FORBIDDEN_TO_N1 = [
    T.up("n2"),
    T.report("n2"),
    T.will("n2"),
    T.down(OWNER, "n1"),
    T.down(OWNER, "n2"),
    T.bulk(OWNER, "n2"),
    T.group(OWNER, 1),
    f"{REGION}/x",
    "tiercast/1/other/n1/up",
    "tiercast/1",
]


@pytest.mark.parametrize("topic", FORBIDDEN_TO_N1)
async def test_a_node_can_not_publish_under_another_name(connected: Connect, topic: str) -> None:
    async with (
        connected(OWNER, filters=(f"tiercast/1/{REGION}/#",)) as (_, _, heard),
        connected("n2", filters=(f"tiercast/1/{REGION}/+/to/n2/#", T.group(OWNER, 1))) as (_, _, second),
        connected("n1") as (control, _, _),
    ):
        await control.publish(topic, b"forged")
        await control.publish(T.up("n1"), b"own")
        assert await heard.next() == (T.up("n1"), b"own")
        assert second.nothing


@pytest.mark.parametrize(
    "filter_", ["#", "tiercast/#", f"tiercast/1/{REGION}/#", T.up("+"), T.down("+", "n2"), T.bulk("+", "+")]
)
async def test_a_node_reads_only_what_is_for_it(broker: Broker, connected: Connect, filter_: str) -> None:
    client, got = await _bare(broker, "n1")
    try:
        try:
            await client.subscribe(filter_)
        except PermissionError:
            return  # refused outright, which is as good
        await client.subscribe(T.bulk(OWNER, "n1"))
        async with connected(OWNER) as (control, bulk, _), connected("n2") as (other, _, second):
            await other.publish(T.up("n2"), b"for the owner")
            await control.publish(T.down(OWNER, "n2"), b"for n2")
            assert (await second.next())[1] == b"for n2"
            await bulk.publish(T.bulk(OWNER, "n1"), b"for n1")
            await until(lambda: bool(got) and got[-1][1] == b"for n1")
        assert {payload for _, payload in got} == {b"for n1"}
    finally:
        await client.close()


async def test_a_will_is_judged_like_a_message(broker: Broker, connected: Connect) -> None:
    async with connected(OWNER, filters=(f"tiercast/1/{REGION}/#",)) as (_, _, heard):
        for topic, payload in ((T.will("n2"), b"forged"), (T.will("n1"), b"own")):
            await _die_with_will(broker, "n1", topic, payload)
        assert await heard.next() == (T.will("n1"), b"own")


async def test_a_joining_node_reaches_its_enrolment_and_nothing_else(connected: Connect) -> None:
    async with (
        connected(OWNER, filters=(f"tiercast/1/{REGION}/#",)) as (owner, _, heard),
        connected("join-t1") as (joining, _, own),
    ):
        await joining.publish(T.up("n1"), b"forged")
        await joining.publish(T.up("join-t1"), b"request")
        assert await heard.next() == (T.up("join-t1"), b"request")
        await owner.publish(T.down(OWNER, "n1"), b"not for it")
        await owner.publish(T.down(OWNER, "join-t1"), b"reply")
        assert await own.next() == (T.down(OWNER, "join-t1"), b"reply")


async def test_retained_is_not_a_way_around(broker: Broker, connected: Connect) -> None:
    """A forged retained message reaches nobody who subscribes later; a lawful one may be refused or kept."""
    client, _ = await _bare(broker, "n1")
    transport = client.transport
    assert transport is not None
    topic = T.down(OWNER, "n2").encode()
    body = len(topic).to_bytes(2, "big") + topic + b"forged"
    transport.write(bytes([0x31, len(body)]) + body)  # PUBLISH, QoS 0, retain
    await asyncio.sleep(0)
    async with connected(OWNER) as (owner, _, _), connected("n2") as (_, _, heard):
        await owner.publish(T.down(OWNER, "n2"), b"own")
        assert await heard.next() == (T.down(OWNER, "n2"), b"own")
    await client.close()


@pytest.mark.parametrize(
    ("name", "password"), [("n1", "wrong"), ("n1", None), ("stranger", "x"), (None, None), ("", ""), ("n2", "pw-n1")]
)
async def test_strangers_stay_outside(broker: Broker, name: str | None, password: str | None) -> None:
    with pytest.raises(ConnectionError):
        await _bare(broker, name, password)


async def test_set_users_lets_in_and_shuts_out(broker: Broker, connected: Connect) -> None:
    async with connected("n1") as (first, _, _), connected(OWNER) as (owner, _, _):
        await broker.set_users({"n2": hash_password(PASSWORDS["n2"]), "n9": hash_password("late")})
        async with asyncio.timeout(60):
            while True:  # the reload is a signal: it takes its moment
                try:
                    await connect_once(broker.children_url, ("n9", "late"), 20)
                    break
                except ConnectionError:
                    await asyncio.sleep(0.02)
            await until(lambda: not first.connected)
        with pytest.raises(ConnectionError):
            await connect_once(broker.children_url, ("n1", PASSWORDS["n1"]), 20)
        await connect_once(broker.children_url, ("n2", PASSWORDS["n2"]), 20)
        assert owner.connected


async def test_files_are_for_nobody_else(broker: Broker, folder: Path) -> None:
    for path in folder.iterdir():
        assert path.is_socket() or path.stat().st_mode & 0o077 == 0, path
    assert "pw-n1" not in (folder / "users").read_text()


async def _bare(
    broker: Broker, name: str | None, password: str | None = ""
) -> tuple[BulkClient, list[tuple[str, bytes]]]:
    host, _, port = broker.children_url.removeprefix("mqtt://").rpartition(":")
    got: list[tuple[str, bytes]] = []
    client = await BulkClient.connect(
        host=host,
        port=int(port),
        client_id=f"{name}:bare",
        username=name,
        password=PASSWORDS[name] if password == "" and name else password,
        on_message=lambda topic, payload: got.append((topic, bytes(payload))),
        on_lost=lambda _: None,
    )
    return client, got


async def _die_with_will(broker: Broker, name: str, topic: str, payload: bytes) -> None:
    """Connect with a will, by hand, and vanish."""
    host, _, port = broker.children_url.removeprefix("mqtt://").rpartition(":")

    def text(value: str | bytes) -> bytes:
        raw = value.encode() if isinstance(value, str) else value
        return len(raw).to_bytes(2, "big") + raw

    flags = 0x80 | 0x40 | 0x08 | 0x04 | 0x02  # user, password, will of QoS 1, clean
    body = text("MQTT") + bytes([4, flags, 0, 30]) + text(f"{name}:x") + text(topic) + text(payload)
    body += text(name) + text(PASSWORDS[name])
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(bytes([0x10, len(body)]) + body)
    assert len(body) < 128
    connack = await reader.read(4)  # a broker may refuse a connection with a will that is not allowed
    writer.transport.abort()
    assert connack[:2] in {b"\x20\x02", b""}
