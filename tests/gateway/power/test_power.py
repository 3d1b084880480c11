"""Settings of waking, and magic packets on a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiercast_gateway.config import GatewaySettings
from tiercast_gateway.power.power import Asleep, PowerSettings, WakeOnLan, _of
from tiercast_gateway.power.waking import Limits
from tiercast_protocol.content.jobs.power import magic_packet
from tiercast_protocol.errors import ConfigError, UsageError
from tiercast_protocol.node import config

MAC = "52:54:00:12:34:56"


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(60)
        yield heard


def test_a_packet_goes_where_the_settings_say(ear: socket.socket) -> None:
    port = ear.getsockname()[1]
    waker = PowerSettings(wake_to=(f"127.0.0.1:{port}",), secure_on={"pc-1": "01:02:03:04:05:06"}).waker()
    waker.wake(Asleep("pc-1", {MAC: "10.1.0.5/24"}))
    assert ear.recv(1500) == magic_packet(MAC, "01:02:03:04:05:06")
    waker.wake(Asleep("pc-2", {MAC: ""}))
    assert ear.recv(1500) == magic_packet(MAC)


def test_else_to_the_networks_of_the_machine() -> None:
    assert _of("10.1.0.5/24") == [("10.1.0.255", 9), ("255.255.255.255", 9)]
    assert _of("") == [("255.255.255.255", 9)]


def test_what_can_not_be_sent_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        WakeOnLan().wake(Asleep("pc-1", {}))
    assert caught.value.code == "power.address"
    with pytest.raises(OSError, match=r"."):
        WakeOnLan(("256.1.1.1",)).wake(Asleep("pc-1", {MAC: ""}))
    with pytest.raises(ValueError, match="no address"):
        WakeOnLan(("somewhere",))


def test_limits_come_from_the_settings() -> None:
    assert PowerSettings().limits() == Limits()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('by = "amt"', "no adapter"),
        ('by = "magic"', '"wol"'),
        ('wake_to = ["berlin"]', "addresses of IPv4"),
        ('secure_on = {pc-1 = "x"}', "six bytes"),
        ("at_once = 0", "1 or more"),
    ],
)
def test_mistakes_are_told_at_the_start(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "gateway.toml").write_text(f"[power]\n{text}\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "gateway.toml", GatewaySettings)
    assert told in str(caught.value)
