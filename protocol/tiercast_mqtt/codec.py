"""MQTT 3.1.1 between bytes and values: pure, strict, without a copy of any payload.

Rules
- Whatever MQTT 3.1.1 forbids raises `MalformedPacket`; nothing else is ever raised for bytes from a peer.
- The length of a packet is judged on its header alone (`peek`), before anybody allocates for it.
- Bad UTF-8, U+0000, reserved flags, QoS 3, packet identifier 0 and bytes left over are malformed.  QoS 2 is refused.
- A payload is never copied: what is decoded is a view.
- The other direction is `encoding`; its names are here too.
"""

from __future__ import annotations

from collections.abc import Callable

from tiercast_mqtt.encoding import (
    DISCONNECT_BYTES,
    MAX_REMAINING,
    PINGREQ_BYTES,
    PINGRESP_BYTES,
    encode,
    encode_length,
    puback,
    publish_head,
)
from tiercast_mqtt.errors import MalformedPacket
from tiercast_mqtt.packets import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    Buffer,
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
from tiercast_mqtt.topics import check_filter, check_topic

__all__ = [
    "DISCONNECT_BYTES",
    "MAX_REMAINING",
    "PINGREQ_BYTES",
    "PINGRESP_BYTES",
    "REFUSED",
    "UnknownLevel",
    "decode",
    "encode",
    "encode_length",
    "peek",
    "puback",
    "publish_head",
]

#: Code in SUBACK for a refused subscription.
REFUSED = 0x80
_MORE = 0x80
_TWO = 2


# == lengths and headers ===============================================================================


def peek(buffer: Buffer, start: int, end: int, limit: int) -> tuple[int, int] | None:
    """Sizes of the packet that begins at `start`: (bytes of its header, bytes of its body).

    None when the header is not complete yet.
    Raises MalformedPacket when the length takes more than four bytes, or the whole packet exceeds `limit` bytes.
    """
    length = 0
    for index in range(4):
        position = start + 1 + index
        if position >= end:
            return None
        byte = buffer[position]
        length |= (byte & 0x7F) << (7 * index)
        if not byte & _MORE:
            header = 2 + index
            if header + length > limit:
                raise MalformedPacket(f"{header + length} bytes where at most {limit} are allowed")
            return header, length
    raise MalformedPacket("the length takes more than four bytes")


# == decoding ==========================================================================================


class _Reader:
    """Reads a body from its start; whatever is not there is malformed."""

    __slots__ = ("_at", "_body", "_end")

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0
        self._end = len(body)

    def left(self) -> int:
        return self._end - self._at

    def take(self, count: int) -> memoryview:
        at = self._at
        if at + count > self._end:
            raise MalformedPacket("shorter than it says")
        self._at = at + count
        return self._body[at : at + count]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        part = self.take(2)
        return part[0] << 8 | part[1]

    def packet_id(self) -> int:
        number = self.number()
        if not number:
            raise MalformedPacket("packet identifier 0")
        return number

    def binary(self) -> bytes:
        return bytes(self.take(self.number()))

    def text(self) -> str:
        part = self.take(self.number())
        try:
            text = str(part, "utf-8")
        except UnicodeDecodeError as error:
            raise MalformedPacket("text that is not UTF-8") from error
        if "\0" in text:
            raise MalformedPacket("U+0000 in text")
        return text

    def rest(self) -> memoryview:
        return self._body[self._at :]

    def done(self) -> None:
        if self._at != self._end:
            raise MalformedPacket(f"{self._end - self._at} bytes too many")


def decode(first: int, body: memoryview) -> Packet:
    """The packet whose first byte is `first` and which holds `body` after its length.

    `Publish.payload` is a view into `body`.  Raises MalformedPacket.
    """
    kind, flags = first >> 4, first & 0x0F
    if kind == PUBLISH:
        return _decode_publish(flags, body)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise MalformedPacket(f"packet type {kind} is not spoken here")
    expected = 2 if kind in {SUBSCRIBE, UNSUBSCRIBE} else 0
    if flags != expected:
        raise MalformedPacket(f"flags {flags} on packet type {kind}")
    reader = _Reader(body)
    packet = decoder(reader)
    reader.done()
    return packet


def _decode_publish(flags: int, body: memoryview) -> Publish:
    qos = flags >> 1 & 3
    if qos >= _TWO:
        raise MalformedPacket("QoS 2 is not spoken here" if qos == _TWO else "QoS 3")
    dup = bool(flags & 8)
    if dup and not qos:
        raise MalformedPacket("DUP on a message of QoS 0")
    reader = _Reader(body)
    topic = reader.text()
    check_topic(topic)
    packet_id = reader.packet_id() if qos else 0
    return Publish(topic, reader.rest(), qos, bool(flags & 1), dup, packet_id)


def _decode_connect(reader: _Reader) -> Connect:
    name = reader.text()
    level = reader.byte()
    if name not in {"MQTT", "MQIsdp"}:
        raise MalformedPacket("not MQTT")
    if (name, level) != ("MQTT", 4):
        raise UnknownLevel(f"protocol level {level}")
    flags = reader.byte()
    if flags & 1:
        raise MalformedPacket("reserved flag of CONNECT")
    will_qos, will_retain = flags >> 3 & 3, bool(flags & 0x20)
    has_will, has_username, has_password = bool(flags & 4), bool(flags & 0x80), bool(flags & 0x40)
    if will_qos > _TWO or (not has_will and (will_qos or will_retain)):
        raise MalformedPacket("flags of the will")
    if has_password and not has_username:
        raise MalformedPacket("password without user name")
    keepalive = reader.number()
    client_id = reader.text()
    will = None
    if has_will:
        topic = reader.text()
        check_topic(topic)
        # QoS 2 is never spoken here; a will is published at 1 instead, as a subscription to 2 is granted 1.
        will = Will(topic, reader.binary(), min(will_qos, 1), will_retain)
    username = reader.text() if has_username else None
    password = reader.binary() if has_password else None
    return Connect(client_id, bool(flags & 2), keepalive, username, password, will)


class UnknownLevel(MalformedPacket):
    """CONNECT of another version of MQTT: to be answered with code 1."""


def _decode_connack(reader: _Reader) -> Connack:
    flags = reader.byte()
    if flags > 1:
        raise MalformedPacket("reserved flags of CONNACK")
    return Connack(reader.byte(), bool(flags))


def _decode_puback(reader: _Reader) -> Puback:
    return Puback(reader.packet_id())


def _decode_subscribe(reader: _Reader) -> Subscribe:
    packet_id = reader.packet_id()
    filters = []
    while reader.left():
        filter_ = reader.text()
        check_filter(filter_)
        qos = reader.byte()
        if qos > _TWO:
            raise MalformedPacket("QoS 3 or reserved bits in a subscription")
        filters.append((filter_, qos))
    if not filters:
        raise MalformedPacket("SUBSCRIBE without a filter")
    return Subscribe(packet_id, tuple(filters))


def _decode_suback(reader: _Reader) -> Suback:
    packet_id = reader.packet_id()
    codes = tuple(reader.rest())
    reader.take(len(codes))
    if not codes or any(code > _TWO and code != REFUSED for code in codes):
        raise MalformedPacket("codes of SUBACK")
    return Suback(packet_id, codes)


def _decode_unsubscribe(reader: _Reader) -> Unsubscribe:
    packet_id = reader.packet_id()
    filters = []
    while reader.left():
        filter_ = reader.text()
        check_filter(filter_)
        filters.append(filter_)
    if not filters:
        raise MalformedPacket("UNSUBSCRIBE without a filter")
    return Unsubscribe(packet_id, tuple(filters))


def _decode_unsuback(reader: _Reader) -> Unsuback:
    return Unsuback(reader.packet_id())


_DECODERS: dict[int, Callable[[_Reader], Packet]] = {
    CONNECT: _decode_connect,
    CONNACK: _decode_connack,
    PUBACK: _decode_puback,
    SUBSCRIBE: _decode_subscribe,
    SUBACK: _decode_suback,
    UNSUBSCRIBE: _decode_unsubscribe,
    UNSUBACK: _decode_unsuback,
    PINGREQ: lambda _: Pingreq(),
    PINGRESP: lambda _: Pingresp(),
    DISCONNECT: lambda _: Disconnect(),
}
