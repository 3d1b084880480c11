"""The embedded broker: sockets, clock and log around the hub.

Rules
- A new connection of a client takes its session over; the older one is closed first, and its will published.
- `reload` reads users, access and certificates anew: all of them, or the old ones stay and that is logged.  Whoever
  lost its user or whose password changed is cut, without its will; its session is forgotten.
- One tick a second enforces CONNECT time-out, keep-alive and expiry; there is no timer per connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from tiercast_mqtt.connection import Connection
from tiercast_mqtt.errors import REFUSALS, MalformedPacket
from tiercast_mqtt.hub import NOT_AUTHORISED, Hub
from tiercast_mqtt.limits import Limits
from tiercast_mqtt.message import Message
from tiercast_mqtt.packets import Connect, Publish, Subscribe, Unsubscribe
from tiercast_mqtt.session import Session
from tiercast_mqtt.settings import Listener, Settings, SettingsError

log = logging.getLogger("tiercast_mqtt")
#: Keep-alive is broken after this many times its interval (section 3.1.2.10).
GRACE = 1.5
TICK_S = 1.0
#: Log lines per tick that peers can cause.
LINES = 20
BACKLOG = 512


class Broker:
    """A running broker; made by `open_broker`."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError when users or access cannot be read."""
        self.settings = settings
        self.limits: Limits = settings.limits
        self.authenticator, acl = settings.read_access()
        self.hub = Hub(settings.limits, acl, client_id_is_username=settings.client_id_is_username)
        self.counters = self.hub.counters
        #: Where it listens: {"host", "port"} or {"path"}, in the order of the settings.
        self.listening: list[dict[str, str | int]] = []
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []
        self._contexts: list[tuple[Listener, ssl.SSLContext]] = []
        self._connections: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        self._by_session: dict[Session, Connection] = {}
        self._tick: asyncio.TimerHandle | None = None
        self._next_sys = 0.0
        self._lines = 0
        self._started = self._loop.time()

    # -- life ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen everywhere.  Raises OSError, ssl.SSLError."""
        for listener in self.settings.listen:
            await self._listen(listener)
        self._on_tick()

    async def stop(self) -> None:
        """Stop listening, close every connection."""
        if self._tick is not None:
            self._tick.cancel()
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        # `connection_lost` is called in the next rounds of the loop.
        for _ in range(3):
            await asyncio.sleep(0)
        # Only what was bound here: when starting failed, another broker may be the owner.
        for place in self.listening:
            if "path" in place:
                with contextlib.suppress(OSError):
                    os.unlink(str(place["path"]))  # noqa: PTH108 - at once, as the loop is closing

    async def _listen(self, listener: Listener) -> None:
        names = listener.tls is not None and listener.tls.certificate_names

        def make() -> Connection:
            return Connection(self, certificate_names=names)

        if listener.path is not None:
            _clear_socket(listener.path)
            # Only the broker's own user: whoever else comes, comes over TCP.
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            before = os.umask(0o177)
            try:
                sock.bind(str(listener.path))
            finally:
                os.umask(before)
            server = await self._loop.create_unix_server(make, sock=sock, backlog=BACKLOG)
            self.listening.append({"path": str(listener.path)})
        else:
            context = None if listener.tls is None else listener.tls.context()
            timeout = None if context is None else self.limits.connect_timeout_s
            server = await self._loop.create_server(
                make,
                listener.host,
                listener.port,
                ssl=context,
                ssl_handshake_timeout=timeout,
                ssl_shutdown_timeout=timeout,
                backlog=BACKLOG,
            )
            if context is not None:
                self._contexts.append((listener, context))
            for sock_ in server.sockets:
                host, port = sock_.getsockname()[:2]
                self.listening.append({"host": host, "port": port})
        self._servers.append(server)

    def reload(self) -> bool:
        """Read users, access and certificates anew; False when the old ones stay."""
        try:
            authenticator, acl = self.settings.read_access()
            for listener, context in self._contexts:
                assert listener.tls is not None  # noqa: S101 - only those with TLS are in the list
                context.load_cert_chain(listener.tls.cert, listener.tls.key)
        except (SettingsError, OSError) as error:
            log.error("reload failed, the old users and access policy stay: %s", error)  # noqa: TRY400 - no bug of ours
            return False
        older, self.authenticator = self.authenticator, authenticator
        gone = 0
        for session in list(self.hub.sessions.values()):
            connection = self._by_session.get(session)
            if connection is not None and connection.certificate_name is not None:
                continue
            if not older.still_valid(session.user, authenticator):
                gone += 1
                if connection is not None:
                    connection.will = None
                    self._leave(connection)
                    connection.abort()
                self.hub.forget(session)
        self.hub.set_acl(acl)
        log.info("reloaded: %d users, %d sessions ended", len(authenticator.users), gone)
        return True

    # -- the clock -------------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        now = self._loop.time()
        self._tick = self._loop.call_later(TICK_S, self._on_tick)
        if self._lines > LINES:
            log.info("%d more lines of this kind were left out", self._lines - LINES)
        self._lines = 0
        for connection in list(self._waiting):
            if now - connection.made_at < self.limits.connect_timeout_s:
                break
            self.counters.connections_refused += 1
            connection.abort()
        for connection in list(self._connections):
            if connection.closed_at is not None and now - connection.closed_at > self.limits.connect_timeout_s:
                connection.abort()
        for connection in list(self._by_session.values()):
            if connection.keepalive and now - connection.heard_at > connection.keepalive * GRACE:
                self.counters.keepalive_expired += 1
                self._leave(connection)
                connection.abort()
        self.hub.expire(now=now)
        if now >= self._next_sys:
            self._next_sys = now + self.settings.sys_interval_s
            for topic, value in self.figures().items():
                self._flush(self.hub.publish(Message(topic, str(value).encode(), retain=True)))

    def figures(self) -> dict[str, int]:
        """Counters and present numbers, by `$SYS` topic."""
        return self.counters.as_topics() | {
            "$SYS/broker/uptime": int(self._loop.time() - self._started),
            "$SYS/broker/clients/connected": len(self._by_session),
            "$SYS/broker/clients/total": len(self.hub.sessions),
            "$SYS/broker/retained/messages/count": len(self.hub.retained),
            "$SYS/broker/store/bytes": sum(session.bytes for session in self.hub.sessions.values()),
        }

    # -- what connections report -----------------------------------------------------------------------

    def made(self, connection: Connection) -> None:
        """A connection stands and has said nothing yet."""
        self.counters.connections += 1
        if len(self._connections) >= self.limits.connections:
            self.counters.connections_refused += 1
            connection.abort()
            return
        self._connections.add(connection)
        self._waiting[connection] = None
        if len(self._waiting) > self.limits.unauthenticated:
            self.counters.connections_refused += 1
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.abort()

    def ended(self, connection: Connection) -> None:
        """It is gone."""
        self._connections.discard(connection)
        self._waiting.pop(connection, None)
        self._leave(connection)

    def malformed(self, connection: Connection, error: MalformedPacket) -> None:
        """It broke the protocol and is being closed."""
        self.counters.packets_malformed += 1
        who = connection.session.client_id if connection.session is not None else "a stranger"
        self._tell("closed %s: %s", who, error)

    def connect(self, connection: Connection, packet: Connect) -> None:
        """CONNECT: authenticate, judge, take over, accept - in this order."""
        self._waiting.pop(connection, None)
        login = self.authenticator.login(packet, certificate_name=connection.certificate_name)
        code = self.hub.judge(packet, login.user) if login.accepted else NOT_AUTHORISED
        if code:
            self._refuse(connection, packet, code)
            return
        session = self.hub.sessions.get(packet.client_id)
        older = None if session is None else self._by_session.get(session)
        if older is not None:
            self._leave(older)
            older.abort()
        admission = self.hub.admit(packet, login.user, now=self._loop.time())
        if admission.session is None:
            self._refuse(connection, packet, admission.code)
            return
        will = packet.will
        if will is not None:
            connection.will = Message(will.topic, will.payload, qos=will.qos, retain=will.retain)
        self._by_session[admission.session] = connection
        connection.accepted(admission.session, keepalive=packet.keepalive, present=admission.present)

    def publish(self, connection: Connection, packet: Publish, message: Message) -> None:
        """PUBLISH: deliver it if the client may write there."""
        session = connection.session
        assert session is not None  # noqa: S101 - only accepted connections publish
        counters = self.counters
        counters.messages_received += 1
        counters.bytes_received += len(packet.payload)
        if not self.hub.may_write(session, packet.topic):
            counters.messages_denied += 1
            return
        self._flush(self.hub.publish(message))

    def puback(self, connection: Connection, packet_id: int) -> None:
        """PUBACK: there may be room for more in flight."""
        if connection.session is not None and self.hub.acknowledge(connection.session, packet_id):
            connection.flush()

    def subscribe(self, connection: Connection, packet: Subscribe) -> tuple[int, ...]:
        """SUBSCRIBE: the codes; retained messages follow SUBACK, which goes first."""
        assert connection.session is not None  # noqa: S101 - only accepted connections subscribe
        return self.hub.subscribe(connection.session, packet.filters)

    def unsubscribe(self, connection: Connection, packet: Unsubscribe) -> None:
        """UNSUBSCRIBE."""
        assert connection.session is not None  # noqa: S101 - as above
        self.hub.unsubscribe(connection.session, packet.filters)

    def sent(self, size: int) -> None:
        """A message went to a socket."""
        self.counters.messages_sent += 1
        self.counters.bytes_sent += size

    # -- inside ----------------------------------------------------------------------------------------

    def _refuse(self, connection: Connection, packet: Connect, code: int) -> None:
        self.counters.logins_refused += 1
        self._tell("refused %r of user %r: %s", packet.client_id, packet.username, REFUSALS.get(code, code))
        connection.refused(code)

    def _tell(self, text: str, *fields: object) -> None:
        """Log what strangers can cause at will, but only so many lines between two ticks."""
        self._lines += 1
        if self._lines <= LINES:
            log.info(text, *fields)

    def _flush(self, sessions: Iterable[Session]) -> None:
        for session in sessions:
            connection = self._by_session.get(session)
            if connection is not None:
                connection.flush()

    def _leave(self, connection: Connection) -> None:
        session = connection.session
        if session is None:
            return
        connection.session = None
        self._by_session.pop(session, None)
        will, connection.will = connection.will, None
        denied = will is not None and not self.hub.may_write(session, will.topic)
        self.hub.leave(session, now=self._loop.time())
        if will is not None and not connection.orderly and not denied:
            self._flush(self.hub.publish(will))


@contextlib.asynccontextmanager
async def open_broker(settings: Settings) -> AsyncIterator[Broker]:
    """A broker that listens inside this context.  Raises SettingsError, OSError."""
    broker = Broker(settings)
    try:
        await broker.start()
        yield broker
    finally:
        await broker.stop()


def _clear_socket(path: Path) -> None:
    """Remove a socket that a killed broker left; raise OSError when somebody still listens there."""
    if not os.path.lexists(path):
        return
    if not path.is_socket():
        raise FileExistsError(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise FileExistsError(f"another broker listens at {path}")
