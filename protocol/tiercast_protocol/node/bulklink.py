"""The bulk connection to a broker: QoS 0, clean session, long keepalive; over our own thin client.

Rules
- It never gives up; pauses as on the control connection.
- Subscriptions are remembered and made again at every connect.
- `on_message` runs in the loop and gets a view that is valid only during the call; it decides to
  `pause()` when what it feeds is behind, and `resume()` continues.
- Where there is a taker a thread reads, and it sees each message first (`ThreadedClient`).
- Nothing here is repeated: what was lost is settled by the transfer's marks (docs/protocol.md, section 6).
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence

import structlog

from tiercast_mqtt.threaded import Taker, ThreadedClient
from tiercast_protocol.errors import BrokerLost
from tiercast_protocol.node.address import TlsFiles, parse_address
from tiercast_protocol.node.kernel import TcpInfo, tcp_info
from tiercast_protocol.node.metrics import METRICS
from tiercast_protocol.node.retry import Login, Pauses, refused_login

log = structlog.get_logger()

KEEPALIVE = 120
CONNECT_TIMEOUT = 10.0

_connects = METRICS.counter("bulk_connects_total", "bulk connections made, by client id")
_broken = METRICS.counter("bulk_handler_failures_total", "bulk frames whose handler raised")


class BulkLink:
    """One bulk connection that is always coming back; `run()` in the daemon's TaskGroup."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        login: Login | None = None,
        subscriptions: Sequence[str] = (),
        on_message: Callable[[str, memoryview], None],
        on_up: Callable[[], Awaitable[None]] | None = None,
        on_down: Callable[[], Awaitable[None]] | None = None,
        tls: ssl.SSLContext | None = None,
        rng: random.Random | None = None,
        taker: Taker | None = None,
    ) -> None:
        self.url = url
        self._address = parse_address(url)
        self._client_id = client_id
        self._login = login
        self._subscriptions = dict.fromkeys(subscriptions)
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._tls = tls or TlsFiles().context(url)  # never plain where the address says mqtts
        self._pauses = Pauses(rng)
        self._taker = taker
        self._client: ThreadedClient | None = None
        self._paused = False
        self.up = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether a publish may be tried now."""
        return self.up.is_set()

    def tcp_info(self) -> TcpInfo | None:
        """The kernel's counters of the present connection; None while there is none, or over a UNIX socket."""
        return tcp_info(self._client.fileno()) if self._client is not None else None

    def pause(self) -> None:
        """Stop reading: the broker keeps what comes, up to its limits."""
        self._paused = True
        if self._client is not None:
            self._client.pause()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        if self._client is not None:
            self._client.resume()

    def drop_spares(self) -> None:
        """Give up buffers that wait for the next large message: none is expected soon."""
        if self._client is not None:
            self._client.drop_spares()

    def lend(self) -> Callable[[], None] | None:
        """Within `on_message`: keep the view's memory after the call; see `PacketStream.lend`."""
        return self._client.lend() if self._client is not None else None

    @property
    def taken(self) -> object:
        """Within `on_message`: what the taker made of this message; None where it saw none."""
        return self._client.taken if self._client is not None else None

    async def publish(self, topic: str, *parts: bytes | memoryview) -> None:
        """Send one frame made of `parts`; returns when the socket takes more.  Raises BrokerLost."""
        try:
            await self._connection().publish(topic, *parts)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise BrokerLost(self.url, str(error)) from error

    async def subscribe(self, filter_: str) -> None:
        """Subscribe now and at every connect from here on.  Returns when the broker granted it.

        Raises:
            BrokerLost: not now (it stays remembered), or refused.
        """
        self._subscriptions[filter_] = None
        try:
            await self._connection().subscribe(filter_)
        except OSError as error:  # PermissionError, a refusal, is one of them
            raise BrokerLost(self.url, f"subscribing to {filter_} failed: {error}") from error

    async def unsubscribe(self, filter_: str) -> None:
        """Forget `filter_`; while not connected that is all."""
        self._subscriptions.pop(filter_, None)
        if self._client is not None and self.up.is_set():
            try:
                await self._client.unsubscribe(filter_)
            except OSError as error:
                raise BrokerLost(self.url, f"unsubscribing from {filter_} failed: {error}") from error

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        while True:
            try:
                reason = await self._once()
            except (OSError, BrokerLost) as error:
                refused = refused_login(error)
                event = "broker refuses the login" if refused else "broker not reached"
                reason = str(error) or type(error).__name__
            else:
                refused, event = False, "bulk connection lost"
            pause = self._pauses.next(refused=refused)
            log.warning(event, url=self.url, client=self._client_id, error=reason, again_in=round(pause, 1))
            await asyncio.sleep(pause)

    def _connection(self) -> ThreadedClient:
        if self._client is None or not self.up.is_set():
            raise BrokerLost(self.url, "not connected")
        return self._client

    async def _once(self) -> str:
        """One connection from beginning to end; gives why it ended.  Raises OSError when it did not begin."""
        lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def on_lost(error: Exception | None) -> None:
            self.up.clear()
            if not lost.done():
                lost.set_result(error)

        address, login = self._address, self._login
        first = tuple(self._subscriptions)
        client = await ThreadedClient.connect(
            host=address.host,
            port=address.port,
            path=address.path,
            client_id=self._client_id,
            username=login[0] if login else None,
            password=login[1] if login else None,
            tls=self._tls,
            keepalive=KEEPALIVE,
            on_message=self._received,
            on_lost=on_lost,
            timeout=CONNECT_TIMEOUT,
            subscriptions=first,
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                for filter_ in [one for one in self._subscriptions if one not in first]:
                    await client.subscribe(filter_)
            if lost.done():
                return str(lost.result())
            self._client = client
            if self._paused:
                client.pause()
            if self._taker is not None:
                client.read_in_thread(self._taker)
            self.up.set()
            began = asyncio.get_running_loop().time()
            _connects.add(label=self._client_id)
            log.info("bulk connection made", url=self.url, client=self._client_id)
            try:
                if self._on_up is not None:
                    await self._on_up()
                return str(await lost or "the broker ended it")
            finally:
                self.up.clear()
                self._client = None
                self._pauses.lasted(asyncio.get_running_loop().time() - began)
                if self._on_down is not None:
                    await self._on_down()
        finally:
            await client.close()

    def _received(self, topic: str, payload: memoryview) -> None:
        try:
            self._on_message(topic, payload)
        except Exception:
            _broken.add()  # one frame never ends the link
            log.exception("bulk handler failed", topic=topic)
