"""One message on its way through the broker: one object, shared by all who get it.

Rules
- `payload` and `frame` are never changed after they arrived; every subscriber's socket is fed from the same bytes.
- A QoS 0 message goes out as it came in, header and all (`frame`).
- What a message costs counts its bytes and the objects around it, so that a flood of empty ones is bounded too.
"""

from __future__ import annotations

from tiercast_mqtt.codec import publish_head
from tiercast_mqtt.packets import Buffer

#: Bytes charged for the Python objects of a queued message.
OVERHEAD = 512
#: Payloads up to this size are joined with their head: one system call instead of two.
_JOIN = 16 * 1024


class Message:
    """A message as published.  `retain` is what the publisher asked for."""

    __slots__ = ("cost", "frame", "payload", "qos", "retain", "topic")

    def __init__(
        self, topic: str, payload: Buffer, *, qos: int = 0, retain: bool = False, frame: Buffer | None = None
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.frame = frame
        self.cost = len(payload) + len(topic) + OVERHEAD

    def pieces(self, *, qos: int, retained: bool, dup: bool = False, packet_id: int = 0) -> tuple[Buffer, ...]:
        """What goes on the wire, piece by piece.  `retained`: sent because of a new subscription."""
        if not qos and not retained:
            if self.frame is None:
                head = publish_head(self.topic, len(self.payload))
                if len(self.payload) > _JOIN:
                    return (head, self.payload)
                self.frame = head + self.payload
            return (self.frame,)
        head = publish_head(self.topic, len(self.payload), qos=qos, retain=retained, dup=dup, packet_id=packet_id)
        return (head, self.payload) if len(self.payload) > _JOIN else (head + self.payload,)
