"""MQTT 3.1.1 packets as bytes: pure, and without a copy of any payload where `publish_head` is used.

Rules
- A payload is not copied: `publish_head` gives what stands before it, whoever writes appends the payload.
- What MQTT cannot say (a field above 65,535 bytes, a packet above 256 MiB) is our own mistake: ValueError.
"""

from __future__ import annotations

import struct

from tiercast_mqtt.packets import (
    CONNACK,
    CONNECT,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
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
)

#: The greatest remaining length that four length bytes can say (section 2.2.3).
MAX_REMAINING = 268_435_455
MAX_TEXT = 65_535
_MORE = 0x80
_U16 = struct.Struct("!H")

PINGREQ_BYTES = b"\xc0\x00"
PINGRESP_BYTES = b"\xd0\x00"
DISCONNECT_BYTES = b"\xe0\x00"


def encode_length(length: int) -> bytes:
    """The remaining length as 1 to 4 bytes (section 2.2.3)."""
    if not 0 <= length <= MAX_REMAINING:
        raise ValueError(f"a packet of {length} bytes cannot be written in MQTT")
    encoded = bytearray()
    while True:
        length, low = length >> 7, length & 0x7F
        if not length:
            encoded.append(low)
            return bytes(encoded)
        encoded.append(low | _MORE)


def _binary(data: bytes) -> bytes:
    if len(data) > MAX_TEXT:
        raise ValueError(f"a field of {len(data)} bytes cannot be written in MQTT")
    return _U16.pack(len(data)) + data


def _text(text: str) -> bytes:
    return _binary(text.encode())


def publish_head(
    topic: str, size: int, *, qos: int = 0, retain: bool = False, dup: bool = False, packet_id: int = 0
) -> bytes:
    """Everything of a PUBLISH that stands before its payload of `size` bytes."""
    encoded = topic.encode()
    length = 2 + len(encoded) + size + (2 if qos else 0)
    head = bytes((PUBLISH << 4 | dup << 3 | qos << 1 | retain,)) + encode_length(length) + _binary(encoded)
    return head + _U16.pack(packet_id) if qos else head


def puback(packet_id: int) -> bytes:
    """PUBACK as bytes."""
    return b"\x40\x02" + _U16.pack(packet_id)


def encode(packet: Packet) -> bytes:  # noqa: C901, PLR0911 - one line per packet
    """The packet as bytes.  Raises ValueError for what MQTT cannot say."""
    match packet:
        case Publish(topic, payload, qos, retain, dup, packet_id):
            head = publish_head(topic, len(payload), qos=qos, retain=retain, dup=dup, packet_id=packet_id)
            return head + payload
        case Connect():
            return _encode_connect(packet)
        case Connack(code, present):
            return bytes((CONNACK << 4, 2, present, code))
        case Puback(packet_id):
            return puback(packet_id)
        case Subscribe(packet_id, filters):
            body = _U16.pack(packet_id) + b"".join(_text(filter_) + bytes((qos,)) for filter_, qos in filters)
            return bytes((SUBSCRIBE << 4 | 2,)) + encode_length(len(body)) + body
        case Suback(packet_id, codes):
            return bytes((SUBACK << 4,)) + encode_length(2 + len(codes)) + _U16.pack(packet_id) + bytes(codes)
        case Unsubscribe(packet_id, names):
            body = _U16.pack(packet_id) + b"".join(map(_text, names))
            return bytes((UNSUBSCRIBE << 4 | 2,)) + encode_length(len(body)) + body
        case Unsuback(packet_id):
            return bytes((UNSUBACK << 4, 2)) + _U16.pack(packet_id)
        case Pingreq():
            return PINGREQ_BYTES
        case Pingresp():
            return PINGRESP_BYTES
        case Disconnect():
            return DISCONNECT_BYTES


def _encode_connect(packet: Connect) -> bytes:
    will = packet.will
    flags = packet.clean << 1
    fields = [_text(packet.client_id)]
    if will is not None:
        flags |= 4 | will.qos << 3 | will.retain << 5
        fields += [_text(will.topic), _binary(will.payload)]
    if packet.username is not None:
        flags |= 0x80
        fields.append(_text(packet.username))
    if packet.password is not None:
        flags |= 0x40
        fields.append(_binary(packet.password))
    body = b"\x00\x04MQTT\x04" + bytes((flags,)) + _U16.pack(packet.keepalive) + b"".join(fields)
    return bytes((CONNECT << 4,)) + encode_length(len(body)) + body
