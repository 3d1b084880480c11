"""One client's connection at the broker: packets in, packets out, nothing decided here.

Rules
- Nothing but CONNECT is taken first, within a time and a size; a second CONNECT ends the connection.
- One packet at a time is handed to the transport: what else waits, waits in the session, where it is counted and may
  be dropped.  (The transport of Python 3.11 copies what it cannot send at once, so it is given as little as possible.)
- Answers (CONNACK, SUBACK, PUBACK, PINGRESP) go before messages and are never dropped; a client that does not read
  them is not read from either.
- Every byte that arrives shows life, so a large packet on a thin link does not break keep-alive.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Protocol, cast

from tiercast_mqtt import codec
from tiercast_mqtt.errors import MalformedPacket
from tiercast_mqtt.limits import Limits
from tiercast_mqtt.message import Message
from tiercast_mqtt.packets import (
    CONNECT,
    PUBLISH,
    Buffer,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from tiercast_mqtt.session import Session
from tiercast_mqtt.stream import PacketStream

#: Zero as the high mark would stall under TLS.
WRITE_HIGH, WRITE_LOW = 1, 0
BAD_LEVEL = 1


class Owner(Protocol):
    """What a connection needs of its broker."""

    limits: Limits

    def made(self, connection: Connection) -> None:
        """It stands, and has said nothing yet."""

    def ended(self, connection: Connection) -> None:
        """It is gone."""

    def malformed(self, connection: Connection, error: MalformedPacket) -> None:
        """It broke the protocol and is being closed."""

    def connect(self, connection: Connection, packet: Connect) -> None:
        """CONNECT; answered by `accepted` or `refused`."""

    def publish(self, connection: Connection, packet: Publish, message: Message) -> None:
        """PUBLISH; acknowledged by the connection."""

    def puback(self, connection: Connection, packet_id: int) -> None:
        """PUBACK."""

    def subscribe(self, connection: Connection, packet: Subscribe) -> tuple[int, ...]:
        """SUBSCRIBE; the codes for SUBACK."""
        raise NotImplementedError

    def unsubscribe(self, connection: Connection, packet: Unsubscribe) -> None:
        """UNSUBSCRIBE."""

    def sent(self, size: int) -> None:
        """A message of `size` bytes was handed to the socket."""


class Connection(PacketStream):
    """See the rules above.  `session` is None until CONNECT was accepted."""

    def __init__(self, owner: Owner, *, certificate_names: bool = False) -> None:
        super().__init__(limit=owner.limits.connect_bytes, opening=CONNECT)
        self.owner = owner
        self.loop = asyncio.get_running_loop()
        self.session: Session | None = None
        self.will: Message | None = None
        self.keepalive = 0
        self.made_at = self.heard_at = self.loop.time()
        #: The client said DISCONNECT: its will is not published.
        self.orderly = False
        #: When it was closed in order; it is cut when that takes too long.
        self.closed_at: float | None = None
        self.certificate_name: str | None = None
        self._certificate_names = certificate_names
        self._control: list[bytes] = []
        self._control_size = 0
        self._full = False
        self._flushing = False

    # -- asyncio ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: accepted, and shaken hands with where there is TLS."""
        super().connection_made(transport)
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_LOW)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._certificate_names:
            self.certificate_name = common_name(transport.get_extra_info("ssl_object"))
        self.made_at = self.heard_at = self.loop.time()
        self.owner.made(self)

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: bytes arrived."""
        self.heard_at = self.loop.time()
        # All answers to what arrived together go out together.
        super().buffer_updated(nbytes)
        if self._control:
            self.flush()

    def pause_writing(self) -> None:
        """asyncio: the socket takes no more for now."""
        self._full = True

    def resume_writing(self) -> None:
        """asyncio: everything handed over is sent."""
        self._full = False
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio: gone, for whatever reason."""
        self.stop()
        self._control.clear()
        self.owner.ended(self)

    # -- out -------------------------------------------------------------------------------------------

    def answer(self, data: bytes) -> None:
        """Send an answer, before any message that waits."""
        self._control.append(data)
        self._control_size += len(data)
        if not self._parsing:
            self.flush()
        if self._control_size > self.owner.limits.control_bytes:
            self.halt()

    def flush(self) -> None:
        """Write as much as the socket takes."""
        transport = self.transport
        if self._flushing or self._full or transport is None or transport.is_closing():
            return
        # A full socket may call back while we write; that must not start a second round inside the first.
        self._flushing = True
        try:
            while not self._full:
                if self._control:
                    data = b"".join(self._control)
                    self._control.clear()
                    self._control_size = 0
                    transport.write(data)
                    self.proceed()
                    continue
                pieces = None if self.session is None else self.session.take()
                if pieces is None:
                    break
                self._write(transport, pieces)
        finally:
            self._flushing = False

    def _write(self, transport: asyncio.Transport, pieces: tuple[Buffer, ...]) -> None:
        size = 0
        for piece in pieces:
            transport.write(piece)
            size += len(piece)
        self.owner.sent(size)

    def close(self) -> None:
        """Close when what was handed over is sent; the broker cuts a peer that does not take it in time."""
        self.stop()
        if self.closed_at is None and self.transport is not None:
            self.closed_at = self.loop.time()
            if self._control:
                # A last answer goes out even while the socket is full (with TLS: of its own session tickets).
                self.transport.write(b"".join(self._control))
                self._control.clear()
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.stop()
        if self.transport is not None:
            self.transport.abort()

    # -- in --------------------------------------------------------------------------------------------

    def accepted(self, session: Session, *, keepalive: int, present: bool) -> None:
        """CONNECT is accepted: larger packets are taken from now on."""
        self.session = session
        self.keepalive = keepalive
        self.packet_limit = self.owner.limits.packet_bytes
        self.answer(codec.encode(Connack(0, present)))

    def refused(self, code: int) -> None:
        """CONNECT is refused."""
        self.answer(codec.encode(Connack(code)))
        self.close()

    def packet_arrived(self, first: int, body: memoryview, packet: memoryview, *, owned: bool) -> None:
        """A packet from the client."""
        session = self.session
        if session is None:
            self._first_packet(first, body)
            return
        if first >> 4 == PUBLISH:
            if not owned:
                # The small buffer is used again: one copy, shared by all who get the message.
                whole = memoryview(bytes(packet))
                body, packet = whole[len(packet) - len(body) :], whole
            publish = codec.decode(first, body)
            assert isinstance(publish, Publish)  # noqa: S101 - for the type checker
            frame = packet if first == PUBLISH << 4 else None
            message = Message(publish.topic, publish.payload, qos=publish.qos, retain=publish.retain, frame=frame)
            self.owner.publish(self, publish, message)
            if publish.qos:
                self.answer(codec.puback(publish.packet_id))
            return
        self._control_packet(first, body)

    def _first_packet(self, first: int, body: memoryview) -> None:
        try:
            packet = codec.decode(first, body)
        except codec.UnknownLevel:
            self.refused(BAD_LEVEL)
            return
        assert isinstance(packet, Connect)  # noqa: S101 - for the type checker
        self.owner.connect(self, packet)

    def _control_packet(self, first: int, body: memoryview) -> None:
        packet = codec.decode(first, body)
        match packet:
            case Puback(packet_id):
                self.owner.puback(self, packet_id)
            case Pingreq():
                self.answer(codec.PINGRESP_BYTES)
            case Subscribe(packet_id, _):
                codes = self.owner.subscribe(self, packet)
                self.answer(codec.encode(Suback(packet_id, codes)))
            case Unsubscribe(packet_id, _):
                self.owner.unsubscribe(self, packet)
                self.answer(codec.encode(Unsuback(packet_id)))
            case Disconnect():
                self.orderly = True
                self.close()
            case _:
                raise MalformedPacket(f"packet type {first >> 4} from a client")

    def stream_broken(self, error: MalformedPacket) -> None:
        """The client sent what is not allowed."""
        self.owner.malformed(self, error)
        self.abort()


def common_name(tls: ssl.SSLObject | None) -> str:
    """The common name of the verified peer's certificate; "" when there is none, or more than one."""
    certificate = None if tls is None else tls.getpeercert()
    subject = certificate.get("subject", ()) if certificate else ()
    # The stubs cannot say how deep a subject is nested: a tuple of tuples of (name, value).
    names = [pair[1] for part in subject for pair in part if pair[0] == "commonName"]
    return str(names[0]) if len(names) == 1 else ""
