"""What orders say of power, and the packet that wakes."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.jobs.power import Power, broadcast_of, magic_packet, read_power, wanted_at
from tiercast_protocol.errors import UsageError

MAC = bytes.fromhex("525400123456")


def test_the_packet_that_wakes() -> None:
    assert magic_packet("52:54:00:12:34:56") == b"\xff" * 6 + MAC * 16
    assert magic_packet("52-54-00-12-34-56", "01:02:03:04:05:06")[-6:] == bytes(range(1, 7))
    assert magic_packet("52:54:00:12:34:56", "10.0.0.255")[102:] == bytes([10, 0, 0, 255])
    for wrong in (("52:54:00:12:34", ""), ("", ""), ("52:54:00:12:34:56", "1.2.3.999"), ("52:54:00:12:34:56", "x")):
        with pytest.raises(UsageError) as caught:
            magic_packet(*wrong)
        assert caught.value.code == "power.mac"


def test_networks_have_broadcast_addresses() -> None:
    assert broadcast_of("10.1.2.5/24") == "10.1.2.255"
    assert broadcast_of("nothing") == broadcast_of("") == broadcast_of("fe80::1/64") == ""


def test_what_an_order_says() -> None:
    assert read_power({}) == Power()
    assert read_power({"wake": True, "wake_before_s": 60, "sleep_after": True}) == Power(True, 60, True)


@pytest.mark.parametrize(
    "wrong",
    [{"wake": 1}, {"wake_before_s": 5}, {"wake": True, "wake_before_s": 90_000}, {"sleep_after": True}, {"wake": "x"}],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        read_power(wrong)
    assert caught.value.code == "power.invalid"


def test_machines_are_woken_in_time() -> None:
    assert wanted_at({"wake": True}) == 0
    assert wanted_at({"wake": True, "distribute_at": 5_000_000}) == 5_000_000
    assert wanted_at({"wake": True, "install_at": 5_000_000}) == 0, "what is fetched before may be fetched now"
    assert wanted_at({"wake": True, "install_at": 5_000_000, "wake_before_s": 600}) == 4_400_000
    assert wanted_at({"wake": True, "wake_before_s": 600}) == 0
    assert wanted_at({"wake": "?"}) == 0
