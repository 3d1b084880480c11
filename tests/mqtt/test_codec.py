"""Round trip, fuzz and every forbidden packet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_mqtt import codec
from tiercast_mqtt.errors import MalformedPacket
from tiercast_mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
TOPIC = st.text(st.characters(exclude_characters="\0+#", exclude_categories=["Cs"]), min_size=1, max_size=40)
FILTER = st.one_of(TOPIC, TOPIC.map(lambda topic: f"+/{topic}/#"), st.just("#"), st.just("+/+"))
IDS = st.integers(1, 65_535)
BYTES = st.binary(max_size=300)


@st.composite
def connects(draw: st.DrawFn) -> Connect:
    will = draw(st.none() | st.builds(Will, TOPIC, BYTES, st.integers(0, 1), st.booleans()))
    username = draw(st.none() | TEXT)
    password = None if username is None else draw(st.none() | BYTES)
    return Connect(draw(TEXT), draw(st.booleans()), draw(st.integers(0, 65_535)), username, password, will)


@st.composite
def publishes(draw: st.DrawFn) -> Publish:
    qos = draw(st.integers(0, 1))
    dup = bool(qos) and draw(st.booleans())
    return Publish(draw(TOPIC), draw(BYTES), qos, draw(st.booleans()), dup, draw(IDS) if qos else 0)


PACKETS: st.SearchStrategy[Packet] = st.one_of(
    connects(),
    publishes(),
    st.builds(Connack, st.integers(0, 255), st.booleans()),
    st.builds(Puback, IDS),
    st.builds(Subscribe, IDS, st.lists(st.tuples(FILTER, st.integers(0, 2)), min_size=1, max_size=4).map(tuple)),
    st.builds(Suback, IDS, st.lists(st.sampled_from([0, 1, 2, 128]), min_size=1, max_size=4).map(tuple)),
    st.builds(Unsubscribe, IDS, st.lists(FILTER, min_size=1, max_size=4).map(tuple)),
    st.builds(Unsuback, IDS),
    st.sampled_from([Pingreq(), Pingresp(), Disconnect()]),
)


def decode(data: bytes) -> Packet:
    sizes = codec.peek(data, 0, len(data), codec.MAX_REMAINING)
    assert sizes is not None
    header, body = sizes
    assert header + body == len(data)
    return codec.decode(data[0], memoryview(data)[header:])


@given(PACKETS)
def test_every_packet_comes_back_as_it_was(packet: Packet) -> None:
    back = decode(codec.encode(packet))
    if isinstance(back, Publish):
        assert isinstance(back.payload, memoryview)
    assert back == packet


@given(st.integers(0, 255), st.binary(max_size=200))
def test_any_bytes_decode_or_are_malformed(first: int, body: bytes) -> None:
    try:
        packet = codec.decode(first, memoryview(body))
    except MalformedPacket:
        return
    # What is accepted is sayable again.
    codec.encode(packet)


@given(PACKETS, st.data())
def test_a_damaged_packet_decodes_or_is_malformed(packet: Packet, data: st.DataObject) -> None:
    encoded = bytearray(codec.encode(packet))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] = data.draw(st.integers(0, 255))
    try:
        sizes = codec.peek(encoded, 0, len(encoded), 4096)
        if sizes is not None and sum(sizes) <= len(encoded):
            codec.decode(encoded[0], memoryview(encoded)[sizes[0] : sum(sizes)])
    except MalformedPacket:
        pass


@given(PACKETS)
def test_a_truncated_body_is_never_taken_for_a_whole_one(packet: Packet) -> None:
    encoded = codec.encode(packet)
    sizes = codec.peek(encoded, 0, len(encoded), codec.MAX_REMAINING)
    assert sizes is not None
    for end in range(sizes[0]):
        assert codec.peek(encoded, 0, end, codec.MAX_REMAINING) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("36080003612f62000a68", "QoS 3"),
        ("34080003612f62000a68", "QoS 2"),
        ("38060003612f6268", "DUP"),
        ("30050003ff2f62", "UTF-8"),
        ("30050003eda080", "UTF-8"),
        ("300500036100ff", "UTF-8"),
        ("30050003610062", "U\\+0000"),
        ("30050003612f2b", "wildcard"),
        ("30020000", "empty topic"),
        ("32050003612f62", "shorter"),
        ("3207000361626300000", "identifier 0"),
        ("800800010003612f2301", "flags"),
        ("820800010003612f2303", "QoS 3"),
        ("820800010003612b6201", "wildcard"),
        ("820800010003232f6201", "#"),
        ("82020001", "without a filter"),
        ("a2020001", "without a filter"),
        ("c00100", "too many"),
        ("c100", "flags"),
        ("0000", "not spoken"),
        ("f000", "not spoken"),
        ("50020001", "not spoken"),
        ("20020200", "reserved"),
        ("9003000103", "codes"),
        ("101000044d5154540403003c00026162", "reserved flag"),
        ("101000044d5154540408003c00026162", "flags of the will"),
        ("101000044d5154540440003c00026162", "password without"),
        ("101000044d5154580402003c00026162", "not MQTT"),
        ("101100044d5154540402003c0002616200", "too many"),
    ],
)
def test_what_the_standard_forbids_is_malformed(data: str, reason: str) -> None:
    raw = bytes.fromhex(data[: len(data) // 2 * 2])
    with pytest.raises(MalformedPacket, match=reason):
        codec.decode(raw[0], memoryview(raw)[2:])


def test_another_version_is_told_apart() -> None:
    with pytest.raises(codec.UnknownLevel):
        codec.decode(0x10, memoryview(b"\x00\x04MQTT\x05\x02\x00\x3c\x00\x00"))
    with pytest.raises(codec.UnknownLevel):
        codec.decode(0x10, memoryview(b"\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02ab"))


def test_the_size_is_judged_on_the_header() -> None:
    announced = bytes.fromhex("30ffffff7f")
    with pytest.raises(MalformedPacket, match="268435460 bytes where at most 1000"):
        codec.peek(announced, 0, len(announced), 1000)
    assert codec.peek(announced, 0, len(announced), 268_435_460) == (5, 268_435_455)
    with pytest.raises(MalformedPacket, match="four bytes"):
        codec.peek(bytes.fromhex("30ffffffff"), 0, 5, 1000)
