"""Errors say what is wrong in words."""

from __future__ import annotations

from tiercast_mqtt.errors import ConnectionRefused, MalformedPacket, MqttError


def test_a_refusal_says_why_and_is_a_connection_error() -> None:
    error = ConnectionRefused(5)
    assert isinstance(error, ConnectionError)
    assert isinstance(error, MqttError)
    assert str(error) == "connection refused by the broker: not authorised"
    assert str(ConnectionRefused(99)).endswith("code 99")


def test_a_malformed_packet_names_its_reason() -> None:
    assert str(MalformedPacket("QoS 3")) == "malformed packet: QoS 3"
