"""The packets of MQTT 3.1.1 as values, one frozen class per packet that this package speaks.

Rules
- QoS 2 and its packets (PUBREC, PUBREL, PUBCOMP) do not exist here.
- `payload` of a received PUBLISH is a view into the receive buffer; whoever keeps it copies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
SUBSCRIBE: Final = 8
SUBACK: Final = 9
UNSUBSCRIBE: Final = 10
UNSUBACK: Final = 11
PINGREQ: Final = 12
PINGRESP: Final = 13
DISCONNECT: Final = 14

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when the connection ends without DISCONNECT."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """First packet of a client.  `keepalive` in seconds, 0 switches it off."""

    client_id: str
    clean: bool = True
    keepalive: int = 0
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None


@dataclass(frozen=True, slots=True)
class Connack:
    """Answer to CONNECT; `code` 0 accepts."""

    code: int
    session_present: bool = False


@dataclass(frozen=True, slots=True)
class Publish:
    """A message.  `packet_id` is 0 for QoS 0."""

    topic: str
    payload: Buffer
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0


@dataclass(frozen=True, slots=True)
class Puback:
    """The receiver of a QoS 1 message has it."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Filters with the greatest QoS wanted (0 to 2: asking for 2 is allowed, 1 is granted)."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Suback:
    """One code per filter: granted QoS, or 0x80 for refused."""

    packet_id: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Filters to forget."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unsuback:
    """Answer to UNSUBSCRIBE."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class Pingreq:
    """The client is alive."""


@dataclass(frozen=True, slots=True)
class Pingresp:
    """The broker is alive."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The client leaves in order: no will."""


Packet = (
    Connect | Connack | Publish | Puback | Subscribe | Suback | Unsubscribe | Unsuback | Pingreq | Pingresp | Disconnect
)
