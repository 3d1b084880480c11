"""Packets are values."""

from __future__ import annotations

import dataclasses

import pytest

from tiercast_mqtt import packets


def test_packets_are_frozen_values() -> None:
    assert packets.Puback(3) == packets.Puback(3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        packets.Puback(3).packet_id = 4  # type: ignore[misc]


def test_a_client_is_clean_and_without_a_will_unless_it_says_otherwise() -> None:
    packet = packets.Connect("one")
    assert packet.clean
    assert packet.will is None
    assert packet.keepalive == 0
