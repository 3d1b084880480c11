"""Bytes as the standard prints them."""

from __future__ import annotations

import pytest

from tiercast_mqtt import encoding
from tiercast_mqtt.packets import Connect, Publish, Subscribe, Will


@pytest.mark.parametrize(
    ("length", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (16_383, "ff7f"), (16_384, "808001"), (268_435_455, "ffffff7f")],
)
def test_lengths_as_in_the_tables_of_the_standard(length: int, encoded: str) -> None:
    assert encoding.encode_length(length).hex() == encoded


@pytest.mark.parametrize("length", [-1, 268_435_456])
def test_a_length_that_cannot_be_written_is_our_mistake(length: int) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        encoding.encode_length(length)


def test_golden_connect() -> None:
    packet = Connect("ab", True, 60, "u", b"p", Will("w", b"x", 1, True))
    assert encoding.encode(packet).hex() == "101a00044d51545404ee003c00026162000177000178000175000170"


def test_golden_publish_and_its_head() -> None:
    whole = encoding.encode(Publish("a/b", b"hi", qos=1, retain=True, dup=True, packet_id=10))
    assert whole.hex() == "3b090003612f62000a6869"
    assert encoding.publish_head("a/b", 2, qos=1, retain=True, dup=True, packet_id=10) + b"hi" == whole


def test_golden_subscribe() -> None:
    assert encoding.encode(Subscribe(1, (("a/#", 1),))).hex() == "820800010003612f2301"


def test_a_field_above_its_size_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        encoding.encode(Connect("x" * 65_536))
