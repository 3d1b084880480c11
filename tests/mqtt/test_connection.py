"""One client's connection: what comes first, and the name in a certificate."""

from __future__ import annotations

import ssl
from typing import Any, cast

import pytest

from tiercast_mqtt import codec
from tiercast_mqtt.connection import common_name
from tiercast_mqtt.packets import Connect, Publish, Subscribe


class Certificate:
    def __init__(self, *names: str) -> None:
        self.names = names

    def getpeercert(self) -> dict[str, Any]:
        if not self.names:
            return {}
        return {"subject": ((("organizationName", "x"),), *((("commonName", name),) for name in self.names))}


def test_one_common_name_or_none() -> None:
    def name(certificate: Certificate | None) -> str:
        return common_name(cast("ssl.SSLObject", certificate))

    assert name(Certificate("anna")) == "anna"
    assert name(Certificate("anna", "bob")) == ""
    assert name(Certificate()) == ""
    assert name(None) == ""


@pytest.mark.parametrize(
    "first", [codec.PINGREQ_BYTES, codec.encode(Publish("a", b"x")), b"\x20\x02\x00\x00", b"GET / HTTP/1.1\r\n"]
)
async def test_nothing_but_connect_comes_first(kit: Any, first: bytes) -> None:
    one = await kit.raw(await kit.broker())
    await one.send(first)
    assert await one.ended() == b""


async def test_a_second_connect_ends_it(kit: Any) -> None:
    one = await kit.raw(await kit.broker())
    await one.connect("c")
    await one.send(Connect("c"))
    assert await one.ended() == b""


async def test_packets_in_the_same_write_as_connect_are_taken(kit: Any) -> None:
    one = await kit.raw(await kit.broker())
    await one.send(
        codec.encode(Connect("c")) + codec.encode(Subscribe(1, (("a", 1),))) + codec.encode(Publish("a", b"x" * 20_000))
    )
    kinds = [type(await one.packet()).__name__ for _ in range(3)]
    assert kinds == ["Connack", "Suback", "Publish"]


async def test_answers_go_before_messages(kit: Any) -> None:
    broker = await kit.broker()
    one = await kit.raw(broker)
    await one.connect("c")
    await one.send(Publish("a/1", b"x", retain=True), Publish("a/2", b"y" * 30_000, retain=True))
    await one.send(Subscribe(1, (("a/#", 0),)))
    kinds = [type(await one.packet()).__name__ for _ in range(3)]
    assert kinds == ["Suback", "Publish", "Publish"]
