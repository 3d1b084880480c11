"""The envelope around every control message.

Rules
- Encoded as an array, so a field more at the end is ignored by an older reader.
- `body` is the message's own msgpack as one byte string: a tier that does not know `kind` relays the
  body byte for byte, and `hops` is the only thing that a relay changes.
- `sender` is a claim.  Who sent a message is told by its topic; what must not be forged is signed in
  the body (docs/protocol.md, section 7).
"""

from __future__ import annotations

import os
from typing import TypeVar

import msgspec

from tiercast_protocol import PROTOCOL_VERSION
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec

T = TypeVar("T")

#: A message that passed more relays than this goes in a circle.
MAX_HOPS = 32
#: Beyond all times: what databases hold as a number.
_LATEST = 1 << 63


class Envelope(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One control message on its way.

    Attributes:
        v: protocol version of the sender.
        kind: name of the message with its version, "order.v1".
        id: 16 bytes, unique; the receiver acts once per id.
        cause: what set off this unit of work, the same at every tier (a job id, or an envelope's hex id).
        sender: name of the node that made the message.
        to: name of the node that it is for; "" is whoever receives it on this hop.
        expires: milliseconds since 1970 after which it is worthless; 0 is never.
        hops: relays passed so far.
        body: the message's msgpack.
    """

    v: int
    kind: str
    id: bytes
    cause: str
    sender: str
    to: str
    expires: int
    hops: int
    body: bytes

    def __post_init__(self) -> None:
        """Refuse what can't be an envelope."""
        if not 1 <= self.v <= 255 or len(self.id) != 16 or not 0 <= self.hops <= MAX_HOPS:  # noqa: PLR2004 - see above
            raise ValueError("version, id or hops out of range")
        if not self.kind or len(self.kind) > 64 or max(len(self.to), len(self.cause), len(self.sender)) > 255:  # noqa: PLR2004 - bytes of a topic level
            raise ValueError("kind, to, cause or sender out of range")
        if not 0 <= self.expires < _LATEST:
            raise ValueError("expires out of range")


def wrap(kind: str, body: object, *, sender: str, to: str = "", cause: str = "", expires: int = 0) -> Envelope:
    """A new envelope with a fresh id around the message `body`."""
    id_ = os.urandom(16)
    return Envelope(
        v=PROTOCOL_VERSION,
        kind=kind,
        id=id_,
        cause=cause or id_.hex(),
        sender=sender,
        to=to,
        expires=expires,
        hops=0,
        body=codec.encode(body),
    )


def seal(envelope: Envelope) -> bytes:
    """The envelope's bytes."""
    return codec.encode(envelope)


def open_(data: bytes | memoryview) -> Envelope:
    """The envelope in `data`; its body stays undecoded.

    Raises:
        MessageInvalid: anything but a well-formed envelope of a version that we speak.
    """
    envelope = codec.decode(data, Envelope)
    if envelope.v not in {PROTOCOL_VERSION, PROTOCOL_VERSION + 1, max(1, PROTOCOL_VERSION - 1)}:
        raise MessageInvalid(f"protocol version {envelope.v}; this node speaks {PROTOCOL_VERSION}", envelope.kind)
    return envelope


def relayed(envelope: Envelope) -> Envelope:
    """The same message one hop further on.

    Raises:
        MessageInvalid: it passed `MAX_HOPS` relays.
    """
    if envelope.hops >= MAX_HOPS:
        raise MessageInvalid("passed too many relays", envelope.kind)
    return msgspec.structs.replace(envelope, hops=envelope.hops + 1)
