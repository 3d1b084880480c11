"""One client's session: what it subscribed to, what waits for it, what it has not acknowledged.  A pure machine.

Rules
- Everything that waits is counted in bytes against one limit: QoS 0 and QoS 1, queued and in flight.
- When it is full the newest message is dropped and counted; what is in the queue stays in order.
- QoS 1 goes before QoS 0: bulk never delays control.  It may use a quarter more than the limit, so that bulk cannot
  crowd it out.
- A client that is away keeps its QoS 1 messages when its session is persistent, within a smaller limit.
- After a reconnect what was in flight is sent again first, in order, with DUP and its old packet identifier.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tiercast_mqtt.limits import Limits
from tiercast_mqtt.message import Message
from tiercast_mqtt.packets import Buffer

_LAST_ID = 65_535


@dataclass(frozen=True, slots=True)
class Attached:
    """The client is connected (again)."""

    clean: bool


@dataclass(frozen=True, slots=True)
class Detached:
    """The client's connection is gone."""


@dataclass(frozen=True, slots=True)
class Routed:
    """A message for this client, at this QoS; `retained` because of a new subscription."""

    message: Message
    qos: int
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The client has the message with this packet identifier."""

    packet_id: int


Event = Attached | Detached | Routed | Acknowledged


@dataclass(frozen=True, slots=True)
class Transmit:
    """There is something to send: call `take` while the connection has room."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The message was dropped; count its bytes."""

    message: Message


Command = Transmit | Drop
_TRANSMIT: list[Command] = [Transmit()]


class _Sure:
    """A QoS 1 message on its way; `packet_id` 0 until it is first sent."""

    __slots__ = ("message", "packet_id", "retained")

    def __init__(self, message: Message, *, retained: bool) -> None:
        self.message = message
        self.retained = retained
        self.packet_id = 0


@dataclass(eq=False)
class Session:
    """State of one client identifier.  `user` never changes: another user's client gets another session or none."""

    client_id: str
    user: str | None
    limits: Limits
    clean: bool = True
    attached: bool = False
    left_at: float = 0.0
    filters: dict[str, int] = field(default_factory=dict)
    #: What the access policy said of topics that this client wrote to; emptied when the policy changes.
    may_write: dict[str, bool] = field(default_factory=dict)
    #: Bytes that wait: queued and in flight.
    bytes: int = 0
    _plain: deque[tuple[Message, bool]] = field(default_factory=deque)
    _sure: deque[_Sure] = field(default_factory=deque)
    _in_flight: dict[int, _Sure] = field(default_factory=dict)
    _last_id: int = 0

    def handle(self, event: Event) -> list[Command]:
        """Take one event; time does not matter here."""
        match event:
            case Routed():
                return self._routed(event)
            case Acknowledged(packet_id):
                entry = self._in_flight.pop(packet_id, None)
                if entry is None:
                    return []
                self.bytes -= entry.message.cost
                return _TRANSMIT if self._sure else []
            case Attached(clean):
                return self._attach(clean=clean)
            case Detached():
                self.attached = False
                self._forget_plain()
                if self.clean:
                    self._forget_sure()
                return []

    def take(self) -> tuple[Buffer, ...] | None:
        """The next packet to write, in pieces; None when there is nothing that may be sent now."""
        if self._sure and len(self._in_flight) < self.limits.in_flight:
            entry = self._sure.popleft()
            # Only what was sent before has an identifier already (section 4.4: sent again, with DUP).
            dup = bool(entry.packet_id)
            if not dup:
                entry.packet_id = self._new_id()
            self._in_flight[entry.packet_id] = entry
            return entry.message.pieces(qos=1, retained=entry.retained, dup=dup, packet_id=entry.packet_id)
        if self._plain:
            message, retained = self._plain.popleft()
            self.bytes -= message.cost
            return message.pieces(qos=0, retained=retained)
        return None

    def _routed(self, event: Routed) -> list[Command]:
        message = event.message
        cost = message.cost
        if not event.qos:
            if not self.attached:
                return []
            if self.bytes + cost > self.limits.queue_bytes:
                return [Drop(message)]
            self._plain.append((message, event.retained))
        else:
            limit = self.limits.queue_bytes * 5 // 4 if self.attached else self.limits.offline_bytes
            if self.bytes + cost > limit:
                return [Drop(message)]
            self._sure.append(_Sure(message, retained=event.retained))
        self.bytes += cost
        return _TRANSMIT if self.attached else []

    def _attach(self, *, clean: bool) -> list[Command]:
        self.attached = True
        self._forget_plain()
        if clean or self.clean:
            self._forget_sure()
        self.clean = clean
        again = list(self._in_flight.values())
        self._in_flight.clear()
        self._sure.extendleft(reversed(again))
        return _TRANSMIT if self._sure else []

    def _forget_plain(self) -> None:
        self.bytes -= sum(message.cost for message, _ in self._plain)
        self._plain.clear()

    def _forget_sure(self) -> None:
        self._sure.clear()
        self._in_flight.clear()
        self.bytes = sum(message.cost for message, _ in self._plain)

    def _new_id(self) -> int:
        # Those to be sent again stand at the front and keep their identifiers, so none of them is left here.
        while True:
            self._last_id = self._last_id % _LAST_ID + 1
            if self._last_id not in self._in_flight:
                return self._last_id
