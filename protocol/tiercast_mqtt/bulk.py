"""A thin MQTT 3.1.1 client for large messages: clean session, QoS 0 (and 1), nothing between socket and caller.

Rules
- A received payload is handed to `on_message` as a view into the receive buffer, valid only during the call.
- `publish` writes piece by piece (`writelines` would join them first) and returns when the connection's own buffer is
  below its mark: so the broker's pace is the publisher's pace.
- PINGREQ goes out at half the keep-alive interval; a broker that is silent for one and a half intervals is lost.
- `on_lost` is called once, after a connection that stood has ended: with None after `close()`, else with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self, cast

from tiercast_mqtt import codec, packets
from tiercast_mqtt.errors import ConnectionRefused, MalformedPacket
from tiercast_mqtt.packets import (
    Connack,
    Connect,
    Packet,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from tiercast_mqtt.stream import PacketStream
from tiercast_mqtt.topics import check_filter, check_topic

#: The greatest packet taken from a broker, bytes.
PACKET_LIMIT = 4 * 1024 * 1024
#: Above `high` bytes waiting for the socket, publishers wait until `low` (zero would stall under TLS).
WRITE_HIGH, WRITE_LOW = 64 * 1024, 1
#: Parts smaller than this are joined before they are written: one system call instead of many.
JOIN = 16 * 1024
_LAST_ID = 65_535
_KINDS = {kind << 4 for kind in (packets.CONNACK, packets.PUBACK, packets.SUBACK, packets.UNSUBACK, packets.PINGRESP)}


class BulkClient(PacketStream):
    """One connection to a broker; made by `connect`."""

    def __init__(
        self,
        *,
        keepalive: int,
        on_message: Callable[[str, memoryview], None],
        on_lost: Callable[[Exception | None], None],
        packet_limit: int = PACKET_LIMIT,
    ) -> None:
        super().__init__(limit=packet_limit, reuse=True, opening=packets.CONNACK)
        self._loop = asyncio.get_running_loop()
        self._keepalive = keepalive
        self._on_message = on_message
        self._on_lost = on_lost
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._last_id = 0
        self._room: asyncio.Future[None] | None = None
        self._closing = False
        self._reason: Exception | None = None
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    # -- life ------------------------------------------------------------------------------------------

    @classmethod
    async def connect(
        cls,
        *,
        host: str | None,
        port: int | None,
        path: str | None = None,
        client_id: str,
        username: str | None,
        password: str | None,
        tls: ssl.SSLContext | None = None,
        keepalive: int = 120,
        on_message: Callable[[str, memoryview], None],
        on_lost: Callable[[Exception | None], None],
        packet_limit: int = PACKET_LIMIT,
        timeout: float = 20.0,
        subscriptions: Sequence[str] = (),
    ) -> Self:
        """Connect over TCP (`host`, `port`; `tls` or not) or a UNIX socket (`path`).

        Args:
            host: name or address; also the name that the broker's certificate must carry.
            port: TCP port.
            path: UNIX socket, instead of host and port.
            client_id: identifier of this client at the broker.
            username: user name, or None.
            password: its password, or None.
            tls: context for TLS, or None for none.
            keepalive: seconds; 0 switches pings off.
            on_message: called in the loop with topic and a view that is valid only during the call; when it raises,
                the connection ends and `on_lost` gets the exception.
            on_lost: called once in the loop when the accepted connection has ended.
            packet_limit: greatest packet taken from the broker, bytes.
            timeout: seconds until the broker must have accepted.
            subscriptions: asked for in the same breath: on a long link they cost no round trip of their own.

        Raises:
            PermissionError: the broker refuses one of the subscriptions.
            ConnectionRefused: the broker said no (`.code`); a ConnectionError.
            ConnectionError: not reachable, no answer in time, or it does not speak MQTT.
            ValueError: neither `path` nor `host` and `port`.
        """
        if path is None and (host is None or port is None):
            raise ValueError("a broker is at a path, or at a host and port")
        loop = asyncio.get_running_loop()

        make: Callable[[], Self] = partial(
            cls, keepalive=keepalive, on_message=on_message, on_lost=on_lost, packet_limit=packet_limit
        )
        where = path if path is not None else f"{host}:{port}"
        client: Self | None = None
        stands = False
        try:
            async with asyncio.timeout(timeout):
                if path is not None:
                    _, client = await loop.create_unix_connection(make, path)
                else:
                    _, client = await loop.create_connection(make, host or "localhost", port or 1883, ssl=tls)
                secret = None if password is None else password.encode()
                client._write(codec.encode(Connect(client_id, True, keepalive, username, secret)))  # noqa: SLF001
                asked = [client._subscribed(filter_) for filter_ in subscriptions]  # noqa: SLF001 - as above
                _, *codes = await asyncio.gather(client._accepted, *asked)  # noqa: SLF001 - as above
                for filter_, code in zip(subscriptions, codes, strict=True):
                    _granted(filter_, code or 0)
                stands = True
                return client
        except TimeoutError as error:
            raise ConnectionError(f"no answer from the broker at {where} within {timeout:g} s") from error
        except (ConnectionError, PermissionError):
            raise
        except (OSError, MalformedPacket) as error:
            raise ConnectionError(f"no MQTT broker at {where}: {error}") from error
        finally:
            if client is not None and not stands:
                client._abort(None)  # noqa: SLF001 - as above

    @property
    def connected(self) -> bool:
        """Whether the broker accepted and the connection still stands."""
        accepted = self._accepted.done() and not self._accepted.cancelled() and self._accepted.exception() is None
        return accepted and not self._gone.done() and not self._closing

    def fileno(self) -> int:
        """The socket's descriptor (for TCP_INFO); -1 when it is closed."""
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        return -1 if sock is None else int(sock.fileno())

    async def close(self) -> None:
        """Say DISCONNECT, send what is waiting, close.  Closing twice is harmless."""
        if not self._closing and not self._gone.done() and self.transport is not None:
            self._closing = True
            self.stop()
            if self._halted:
                # A paused transport would not notice that the peer has closed.
                self.transport.resume_reading()
            self._write(codec.DISCONNECT_BYTES)
            self.transport.close()
        try:
            async with asyncio.timeout(2):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self._abort(None)
            await self._gone

    # -- verbs -----------------------------------------------------------------------------------------

    async def subscribe(self, filter_: str, qos: int = 0) -> int:
        """Subscribe; the granted QoS.

        Raises PermissionError when the broker refuses, ConnectionError when it is lost.
        """
        check_filter(filter_)
        code = await self._ask(lambda packet_id: codec.encode(Subscribe(packet_id, ((filter_, qos),))))
        return _granted(filter_, code)

    async def unsubscribe(self, filter_: str) -> None:
        """Unsubscribe.  Raises ConnectionError when the broker is lost."""
        await self._ask(lambda packet_id: codec.encode(Unsubscribe(packet_id, (filter_,))))

    async def publish(self, topic: str, *parts: bytes | memoryview, qos: int = 0) -> None:
        """Publish the parts as one message; returns when there is room for the next (QoS 1: when it is acknowledged).

        Raises ConnectionError when the broker is lost; the message may have arrived.
        """
        check_topic(topic)
        size = sum(map(len, parts))
        if qos:
            await self._ask(
                lambda packet_id: codec.publish_head(topic, size, qos=1, packet_id=packet_id), parts, waits=True
            )
            return
        self._check()
        if self._room is not None:
            await self._have_room()
        self._write(codec.publish_head(topic, size), *parts)
        if self._room is not None:
            await self._have_room()

    def pause(self) -> None:
        """Take nothing more from the broker until `resume`: no message, and no answer that `subscribe` waits for."""
        self.halt()

    def resume(self) -> None:
        """Go on reading."""
        self._heard = self._loop.time()
        self.proceed()

    # -- asyncio ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands, the broker has not accepted yet."""
        super().connection_made(transport)
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_LOW)

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: bytes arrived; any of them shows that the broker is alive."""
        self._heard = self._loop.time()
        super().buffer_updated(nbytes)

    def pause_writing(self) -> None:
        """asyncio: too much is waiting for the socket."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """asyncio: there is room again."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection has ended."""
        reason = self._reason or exc
        self.stop()
        if self._timer is not None:
            self._timer.cancel()
        was_accepted = self._accepted.done() and not self._accepted.cancelled() and self._accepted.exception() is None
        if not self._gone.done():
            self._gone.set_result(None)
        if not self._accepted.done():
            self._accepted.set_exception(self._lost(reason))
        self.resume_writing()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(self._lost(reason))
        if was_accepted:
            self._on_lost(None if self._closing else reason or ConnectionResetError("the broker closed the connection"))

    # -- packets ---------------------------------------------------------------------------------------

    def packet_arrived(self, first: int, body: memoryview, packet: memoryview, *, owned: bool) -> None:  # noqa: ARG002
        """A packet from the broker."""
        self.act(first, codec.decode(first, body))

    def act(self, first: int, packet: Packet) -> None:
        """Act on a packet whose first byte is `first`.  Raises MalformedPacket."""
        match packet:
            case Publish(topic, payload, qos, _, _, packet_id):
                if not self.connected:
                    raise MalformedPacket("a message before CONNACK")
                assert isinstance(payload, memoryview)  # noqa: S101 - for the type checker
                self._on_message(topic, payload)
                if qos and not self._gone.done():
                    self._write(codec.puback(packet_id))
            case Connack(code, _):
                self._connack(code)
            case Puback(packet_id) | Unsuback(packet_id):
                self._answer(packet_id, 0)
            case Suback(packet_id, codes):
                self._answer(packet_id, codes[0])
            case _:
                if first not in _KINDS:
                    raise MalformedPacket(f"packet type {first >> 4} from a broker")

    def stream_broken(self, error: MalformedPacket) -> None:
        """The broker sent nonsense: the connection ends."""
        self._abort(error)

    def _connack(self, code: int) -> None:
        if self._accepted.done():
            raise MalformedPacket("a second CONNACK")
        if code:
            self._accepted.set_exception(ConnectionRefused(code))
            self._abort(None)
            return
        self._accepted.set_result(None)
        if self._keepalive:
            self._timer = self._loop.call_later(self._keepalive / 2, self._ping)

    def _ping(self) -> None:
        if not self._halted and self._loop.time() - self._heard > self._keepalive * 1.5:
            self._abort(ConnectionResetError("the broker is silent"))
            return
        self._write(codec.PINGREQ_BYTES)
        self._timer = self._loop.call_later(self._keepalive / 2, self._ping)

    # -- inside ----------------------------------------------------------------------------------------

    def _write(self, *parts: bytes | memoryview) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        small: list[bytes | memoryview] = []
        held = 0
        for part in parts:
            if held + len(part) > JOIN:
                if small:
                    transport.write(small[0] if len(small) == 1 else b"".join(small))
                    small, held = [], 0
                if len(part) > JOIN:
                    transport.write(part)
                    continue
            small.append(part)
            held += len(part)
        if small:
            transport.write(small[0] if len(small) == 1 else b"".join(small))

    async def _have_room(self) -> None:
        while (room := self._room) is not None:
            # Several publishers may wait for the same room; none of them may cancel it for the others.
            await asyncio.shield(room)
        self._check()

    async def _ask(
        self, head: Callable[[int], bytes], parts: tuple[bytes | memoryview, ...] = (), *, waits: bool = False
    ) -> int:
        if waits and self._room is not None:
            await self._have_room()
        self._check()
        packet_id = self._new_id()
        answer: asyncio.Future[int] = self._loop.create_future()
        self._answers[packet_id] = answer
        try:
            self._write(head(packet_id), *parts)
            return await answer
        finally:
            # A cancelled question keeps its identifier until the answer came: else a late answer would fit the next.
            if answer.done() and not answer.cancelled():
                self._answers.pop(packet_id, None)

    def _subscribed(self, filter_: str) -> asyncio.Future[int]:
        """Ask for a subscription without waiting for the broker's acceptance; the granted QoS."""
        check_filter(filter_)
        packet_id = self._new_id()
        answer = self._answers[packet_id] = self._loop.create_future()
        self._write(codec.encode(Subscribe(packet_id, ((filter_, 0),))))
        return answer

    def _new_id(self) -> int:
        for _ in range(_LAST_ID):
            self._last_id = self._last_id % _LAST_ID + 1
            if self._last_id not in self._answers:
                return self._last_id
        raise ConnectionError("65,535 answers are outstanding")

    def _answer(self, packet_id: int, code: int) -> None:
        answer = self._answers.get(packet_id)
        if answer is None:
            raise MalformedPacket("an answer to nothing that was asked")
        if answer.cancelled():
            del self._answers[packet_id]
        elif not answer.done():
            answer.set_result(code)

    def _check(self) -> None:
        if not self.connected:
            raise self._lost(self._reason)

    def _lost(self, reason: Exception | None) -> ConnectionError:
        error = ConnectionError(f"the connection to the broker is lost: {reason or 'it closed'}")
        error.__cause__ = reason
        return error

    def _abort(self, reason: Exception | None) -> None:
        self._reason = self._reason or reason
        self.stop()
        if self.transport is not None:
            with contextlib.suppress(OSError):
                self.transport.abort()


def _granted(filter_: str, code: int) -> int:
    if code == codec.REFUSED:
        raise PermissionError(f"the broker refuses a subscription to {filter_}")
    return code
