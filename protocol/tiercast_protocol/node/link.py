"""The control connection to a broker: QoS 1, persistent session, will; over aiomqtt.

Rules
- It never gives up: full jitter between 0.02 and 5 s from one attempt to the next; where the broker
  refuses the login, growing up to 30 s, and said so in the log.
- Every connect subscribes again, whatever the broker remembers: it may have been restarted empty.
- Messages are handled one after the other and acknowledged after their handler, so a broker sends
  no more than its in-flight limit ahead of us; what comes beyond our own queue is dropped and
  counted, for whoever sent it repeats it until our node's `Ack`.
- A publish that is refused by the broker's access rules looks like any other (MQTT 3.1.1); only the
  receiver's `Ack` counts.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import aiomqtt
import structlog

from tiercast_protocol.errors import BrokerLost
from tiercast_protocol.node.address import Address, TlsFiles, parse_address
from tiercast_protocol.node.bulklink import BulkLink
from tiercast_protocol.node.kernel import TcpInfo, tcp_info
from tiercast_protocol.node.metrics import METRICS
from tiercast_protocol.node.retry import FLOOR, Login, Pauses, refused_login

__all__ = ["BulkLink", "ControlLink", "Login"]

log = structlog.get_logger()
T = TypeVar("T")

KEEPALIVE = 20
#: A ping is late by at most this; brokers wait for half of the keepalive more.
_LOOK = 4.0
CONNECT_TIMEOUT = 10.0
PUBLISH_TIMEOUT = 20.0
#: Messages waiting for our handler; far above any broker's in-flight limit.
QUEUE = 1024
_FAILURE = 0x80

_dropped = METRICS.counter(
    "link_messages_dropped_total", "control messages beyond our queue; their senders repeat them"
)
_broken = METRICS.counter("link_handler_failures_total", "control messages whose handler raised")
_connects = METRICS.counter("link_connects_total", "control connections made, by client id")

# paho and aiomqtt report each lost connection by themselves; this file says it once, with fields
_silent = logging.getLogger("tiercast.paho")
_silent.setLevel(logging.CRITICAL)
_silent.propagate = False


class ControlLink:
    """One control connection that is always coming back; `run()` in the daemon's TaskGroup."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        login: Login | None = None,
        will: tuple[str, bytes] | None = None,
        subscriptions: Sequence[str] = (),
        on_message: Callable[[str, bytes], Awaitable[None]],
        on_up: Callable[[], Awaitable[None]] | None = None,
        on_down: Callable[[], Awaitable[None]] | None = None,
        tls: ssl.SSLContext | None = None,
        rng: random.Random | None = None,
        clean: bool = False,
    ) -> None:
        self.url = url
        self._address = parse_address(url)
        self._client_id = client_id
        self._login = login
        self._will = aiomqtt.Will(will[0], will[1], qos=1) if will is not None else None
        self._subscriptions = dict.fromkeys(subscriptions)
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._tls = tls or TlsFiles().context(url)  # never plain where the address says mqtts
        self._clean = clean
        self._pauses = Pauses(rng)
        self._client: _Client | None = None
        #: What waits for the broker's acknowledgement, and until when; the first due comes first.
        self._publishing: dict[asyncio.Future[None], float] = {}
        self._patience: asyncio.TimerHandle | None = None
        self._stood = False
        #: Why the last attempt failed, for humans; "" since the broker was reached.
        self.problem = ""
        self.up = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether a publish may be tried now."""
        return self.up.is_set()

    def tcp_info(self) -> TcpInfo | None:
        """The kernel's counters of the present connection; None while there is none, or over a UNIX socket."""
        sock = _paho(self._client).socket() if self._client is not None else None
        return tcp_info(sock) if sock is not None and hasattr(sock, "getsockopt") else None

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        while True:
            self._stood, pause = False, FLOOR
            try:
                await self._once()
            except (aiomqtt.MqttError, OSError, BrokerLost) as error:
                refused, stood = refused_login(error), self._stood
                pause, self.problem = self._pauses.next(refused=refused), str(error) or type(error).__name__
                event = "connection lost" if stood else "broker refuses the login" if refused else "broker not reached"
                log.warning(event, url=self.url, client=self._client_id, error=str(error), again_in=round(pause, 1))
            await asyncio.sleep(pause)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand `payload` to the broker (QoS 1).  Returns at its acknowledgement; raises BrokerLost.

        The broker's acknowledgement says nothing about the receiver.
        """
        client = self._client
        if client is None or not self.up.is_set():
            raise BrokerLost(self.url, "not connected")
        try:
            answer = client.hand_over(topic, payload)
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            raise BrokerLost(self.url, str(error)) from error
        if answer is None:
            return
        loop = asyncio.get_running_loop()
        self._publishing[answer] = loop.time() + PUBLISH_TIMEOUT
        if self._patience is None:
            self._patience = loop.call_later(PUBLISH_TIMEOUT, self._overdue)
        try:
            await answer
        finally:
            self._publishing.pop(answer, None)

    def _overdue(self) -> None:
        """End what was not acknowledged in time; one timer for all, since a tree's gateway publishes to hundreds."""
        loop, self._patience = asyncio.get_running_loop(), None
        for answer, due in self._publishing.items():
            if due > loop.time():
                self._patience = loop.call_at(due, self._overdue)
                return
            self._give_up(answer)

    def _give_up(self, answer: asyncio.Future[None]) -> None:
        if not answer.done():
            answer.set_exception(BrokerLost(self.url, "a publish was not acknowledged"))

    async def subscribe(self, filter_: str) -> None:
        """Subscribe now and at every connect from here on.  Raises BrokerLost (it stays remembered)."""
        self._subscriptions[filter_] = None
        if (client := self._client) is not None and self.up.is_set():
            await self._subscribe(client, filter_)

    async def _subscribe(self, client: aiomqtt.Client, filter_: str) -> None:
        try:
            granted = await client.subscribe(filter_, qos=1)
        except aiomqtt.MqttError as error:
            raise BrokerLost(self.url, f"subscribing failed: {error}") from error
        codes = [code if isinstance(code, int) else code.value for code in granted]
        if any(code >= _FAILURE for code in codes):
            raise BrokerLost(self.url, f"it refuses the subscription {filter_}")

    def _new_client(self) -> _Client:
        address, login = self._address, self._login
        client = _Client(
            address.path or address.host or "",
            address.port or 1883,
            username=login[0] if login else None,
            password=login[1] if login else None,
            identifier=self._client_id,
            will=self._will,
            clean_session=self._clean,
            transport="unix" if address.path else "tcp",
            keepalive=KEEPALIVE,
            timeout=CONNECT_TIMEOUT,
            max_queued_incoming_messages=QUEUE,
            queue_type=_Inbox,
            tls_context=self._tls,
            logger=_silent,
        )
        _paho(client)._create_socket = functools.partial(_open_socket, address, self._tls)  # noqa: SLF001
        # aiomqtt has no word for it: acknowledge when the handler is through, not on arrival
        _paho(client).manual_ack_set(True)
        client.pending_calls_threshold = QUEUE
        return client

    async def _once(self) -> None:
        client = self._new_client()
        try:
            await client.__aenter__()
            for filter_ in tuple(self._subscriptions):
                await self._subscribe(client, filter_)
            _write_directly(client)
            client._disconnected.add_done_callback(lambda _: self._lost())  # noqa: SLF001 - its only word of it
            self._client = client
            self._stood, self.problem = True, ""
            self.up.set()
            began = asyncio.get_running_loop().time()
            _connects.add(label=self._client_id)
            log.info("broker reached", url=self.url, client=self._client_id)
            try:
                await self._serve(client)
            finally:
                self._pauses.lasted(asyncio.get_running_loop().time() - began)
        finally:
            self._client = None
            self._lost()
            await _shut(client, goodbye=self._will is None)

    def _lost(self) -> None:
        """Whoever waits for an acknowledgement hears of it now; aiomqtt would let them wait."""
        self.up.clear()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        for answer in self._publishing:
            self._give_up(answer)

    async def _serve(self, client: aiomqtt.Client) -> None:
        try:
            if self._on_up is not None:
                await self._on_up()
            async for message in client.messages:
                await self._handle(message)
                _paho(client).ack(message.mid, message.qos)
        finally:
            self.up.clear()
            if self._on_down is not None:
                await self._on_down()

    async def _handle(self, message: aiomqtt.Message) -> None:
        payload = message.payload
        try:
            await self._on_message(message.topic.value, payload if isinstance(payload, bytes) else b"")
        except Exception:
            _broken.add()  # one message never ends the link
            log.exception("message handler failed", topic=message.topic.value)


class _Answered:
    """What aiomqtt sets when the broker has acknowledged a publish."""

    def __init__(self, answer: asyncio.Future[None]) -> None:
        self._answer = answer

    def set(self) -> None:
        """The acknowledgement came; perhaps nobody waits for it any more."""
        if not self._answer.done():
            self._answer.set_result(None)


class _Client(aiomqtt.Client):
    """Waits by `asyncio.timeout`: Python 3.11's `wait_for` loses a cancellation that comes with the answer.

    It looks at its keepalive as often as that needs, not every second: an idle node is to sleep.
    """

    def hand_over(self, topic: str, payload: bytes) -> asyncio.Future[None] | None:
        """Publish with QoS 1; done when the broker has acknowledged it, None when it has already.

        aiomqtt's own looks at all that is unacknowledged at each publish, and sets two timers.  Raises MqttError.
        """
        info = _paho(self).publish(topic, payload, 1)
        if info.rc != 0:
            raise aiomqtt.MqttError(f"not published: code {info.rc}")
        if info.is_published():
            return None
        answer = asyncio.get_running_loop().create_future()
        self._pending_publishes[info.mid] = _Answered(answer)  # type: ignore[assignment]  # `set` is all it needs
        return answer

    async def _misc_loop(self) -> None:
        while _paho(self).loop_misc() == 0:  # noqa: ASYNC110 - paho has no event for it
            await asyncio.sleep(_LOOK)

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:
        seconds = self.timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("Operation timed out") from None


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """Counts what aiomqtt would only log."""

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if self.full():
            _dropped.add()
        super().put_nowait(item)


def _paho(client: aiomqtt.Client) -> Any:
    """The client beneath: its acknowledging, socket and closing are public there and out of reach above."""
    return client._client  # noqa: SLF001


def _open_socket(address: Address, tls: ssl.SSLContext | None) -> socket.socket:
    """As paho does it, but a socket that does not connect or shake hands is closed, not left to the collector."""
    if address.path is None:
        sock = socket.create_connection((address.host or "", address.port or 0), timeout=CONNECT_TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock if tls is None else tls.wrap_socket(sock, server_hostname=address.host)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_TIMEOUT)
        sock.connect(address.path)
    except OSError:
        sock.close()
        raise
    return sock


def _write_directly(client: aiomqtt.Client) -> None:
    """Watch the socket for writing at once, where aiomqtt schedules it: by then its number may be another's.

    uvloop ends its watch of a broken socket before its reader learns of that: who writes in between hears of it first.
    """
    loop = asyncio.get_running_loop()
    paho = _paho(client)

    def broken(error: Exception) -> None:
        if not client._disconnected.done():  # noqa: SLF001 - see above
            client._disconnected.set_exception(error)  # noqa: SLF001

    def write() -> None:
        try:
            paho.loop_write()
        except Exception as error:  # noqa: BLE001 - as aiomqtt: whatever it is, the connection is broken
            broken(error)

    def watch(_client: object, _data: object, sock: Any) -> None:
        try:
            loop.add_writer(sock.fileno(), write)
        except (RuntimeError, OSError, ValueError) as error:
            broken(error)

    paho.on_socket_register_write = watch


async def _shut(client: aiomqtt.Client, *, goodbye: bool) -> None:
    """Close at once, where aiomqtt would wait for a broker that may be gone, or leave a failed connect's socket.

    Without `goodbye` the broker publishes the will: of two last words one is too many, of none we look alive for ever.
    """
    paho = _paho(client)
    paho.on_socket_register_write = None
    paho.on_socket_open = lambda _client, _data, sock: sock.close()  # of a connect that we no longer wait for
    if goodbye:
        with suppress(OSError, ValueError):
            paho.disconnect()
    await asyncio.sleep(0)  # what aiomqtt scheduled for this socket runs while it is still open
    with suppress(OSError, ValueError):
        paho._sock_close()  # noqa: SLF001 - a send buffer that is full keeps disconnect() from closing
    for future in (client._connected, client._disconnected):  # noqa: SLF001 - seen here, so the loop reports nothing
        if future.done() and not future.cancelled():
            future.exception()
