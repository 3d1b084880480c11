"""Reliable control messages with neighbours: outbox, inbox and the delivery machine put together.

Rules (docs/protocol.md, section 5)
- `send` returns when the message is in the outbox; it is repeated until the neighbour acknowledges it.
- A message is acknowledged after its effect and its mark are committed; marks and acknowledgements of a few
  milliseconds share one commit.  How messages reach their handlers: node/intake.py.
- Nothing that a neighbour sends raises here.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from tiercast_protocol.errors import MessageInvalid, TiercastError
from tiercast_protocol.node import delivery as d
from tiercast_protocol.node import inbox, outbox
from tiercast_protocol.node.database import Database, Unit
from tiercast_protocol.node.intake import Handler, Intake
from tiercast_protocol.wire import envelope as env
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import EPHEMERAL, KIND_OF, Ack, Message, body_of

log = structlog.get_logger(__name__)

Transmit = Callable[[str, bytes], Awaitable[None]]

#: One step of a database's schema.
SCHEMA = outbox.SCHEMA + inbox.SCHEMA
#: How long acknowledgements wait for company.
_GATHER = 0.003
_ACK_IDS = 1000
_PRUNE_EVERY = 3600.0
_ACK_KIND = KIND_OF[Ack]


class Post:
    """Sends and receives for the node `me`.

    `transmit(peer, payload)` hands bytes to the link and may raise; `clock` is seconds since 1970.
    `counts`: sent, acks_sent, unsent, received, acks_received, handled, duplicate, expired, invalid, unknown, failed,
    overflow; and what was received by kind.
    """

    SCHEMA = SCHEMA

    def __init__(self, db: Database, *, me: str, transmit: Transmit, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._me = me
        self._transmit = transmit
        self._clock = clock
        self._delivery = d.Delivery()
        self._commands: deque[d.Command] = deque()
        self._due = math.inf
        self._wake = asyncio.Event()
        self._marks: dict[tuple[str, bytes], None] = {}
        self._repeats: dict[tuple[str, bytes], None] = {}
        self._acknowledged: dict[tuple[str, bytes], None] = {}
        self._unsettled = asyncio.Event()
        # Ids to acknowledge per peer; one task per peer empties it, so that a stalled link holds up only itself.
        self._acks: dict[str, dict[bytes, None]] = {}
        self._ack_peers: deque[str] = deque()
        self.counts: Counter[str] = Counter()
        self._intake = Intake(me=me, counts=self.counts, now_ms=self._now_ms, is_seen=self._is_seen, done=self._done)

    def on(self, kind: str, handler: Handler) -> None:
        """Call `handler(peer, envelope)` for messages of this kind to this node; it must be idempotent."""
        self._intake.on(kind, handler)

    def on_relay(self, handler: Handler) -> None:
        """Call `handler(peer, envelope)` for messages to other nodes, of known and unknown kinds."""
        self._intake.relay = handler

    async def send(
        self,
        peer: str,
        message: Message,
        *,
        to: str = "",
        cause: str = "",
        expires: int = 0,
        also: Unit[None] | None = None,
    ) -> bytes:
        """Put `message` for `peer` into the outbox and return its id; ephemeral kinds are sent once, or not.

        What belongs to it goes in the same transaction (`also`; not with an ephemeral kind).

        Raises:
            StoreFull: no room in the database.
        """
        kind = KIND_OF[type(message)]
        envelope = env.wrap(kind, message, sender=self._me, to=to, cause=cause, expires=expires)
        if kind in EPHEMERAL:
            await self._hand_over(peer, kind, env.seal(envelope))
        else:
            await self._put(peer, envelope, also)
        return envelope.id

    async def send_all(
        self,
        messages: Sequence[tuple[str, Message]],
        *,
        cause: str = "",
        expires: int = 0,
        also: Unit[None] | None = None,
    ) -> None:
        """As `send`, of (peer, message) to many, in one transaction; what is theirs goes in it too (`also`).

        Raises:
            StoreFull: no room in the database; nothing of all this is written.
        """
        kinds = [KIND_OF[type(message)] for _, message in messages]
        sealed = [
            (peer, env.wrap(kind, message, sender=self._me, cause=cause, expires=expires))
            for kind, (peer, message) in zip(kinds, messages, strict=True)
        ]
        now_ms = self._now_ms()

        def unit(connection: sqlite3.Connection) -> list[d.Entry | None]:
            entries = [outbox.add(connection, peer, envelope, now_ms=now_ms) for peer, envelope in sealed]
            if also is not None:
                also(connection)
            return entries

        entries = await self._db.write(unit)
        for (peer, _), entry in zip(sealed, entries, strict=True):
            if entry is not None:
                self._step(d.MessageStored(peer, entry))

    async def forward(self, peer: str, envelope: Envelope) -> None:
        """Pass another node's message on to `peer`, byte for byte but for `hops`.

        Raises:
            MessageInvalid: it passed too many relays.
            StoreFull: no room in the database.
        """
        await self._put(peer, env.relayed(envelope))

    async def received(self, peer: str, payload: bytes) -> None:
        """Take what arrived from `peer`; never raises, never waits for a handler."""
        try:
            envelope = env.open_(payload)
            if envelope.kind == _ACK_KIND:
                self.counts["acks_received"] += 1
                self._take_ack(peer, body_of(envelope, Ack))
                return
        except MessageInvalid as error:
            self.counts["invalid"] += 1
            log.warning("message invalid", peer=peer, reason=error.reason, size=len(payload))
            return
        if self._intake.accept(peer, envelope, len(payload)):
            self._wake.set()

    def peer_up(self, peer: str) -> None:
        """The way to `peer` is open: everything unacknowledged is sent, in order."""
        self._step(d.PeerConnected(peer))

    def peer_down(self, peer: str) -> None:
        """The way to `peer` is cut: messages wait in the outbox."""
        self._step(d.PeerLost(peer))

    def unanswered(self, peer: str) -> bool:
        """Whether something is under way to `peer`, a connected one, that it has not acknowledged."""
        return self._delivery.under_way(peer) > 0

    async def forget(self, peer: str) -> None:
        """`peer` is no more: drop what was to be told to it."""
        self.peer_down(peer)
        await self._db.write(lambda connection: outbox.remove_peer(connection, peer))

    async def readdress(self, old: str, new: str, *, without: tuple[str, ...] = ()) -> None:
        """`new` takes the place of `old` as our neighbour: what waits for it goes there, but for kinds in `without`."""
        self.peer_down(old)
        await self._db.write(lambda connection: outbox.readdress(connection, old, new, without=without))

    async def pending(self, limit: int = 1000) -> list[outbox.PendingMessage]:
        """What no neighbour has acknowledged yet, oldest first."""
        return await self._db.read(lambda connection: outbox.pending(connection, limit=limit))

    async def run(self) -> None:
        """Send, repeat, handle, acknowledge, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._settle())
            tasks.create_task(self._prune())
            while True:
                self._wake.clear()
                while self._commands:
                    self._act(self._commands.popleft(), tasks)
                while self._intake.ready:
                    tasks.create_task(self._intake.drain(self._intake.ready.popleft()))
                while self._ack_peers:
                    tasks.create_task(self._acknowledge(self._ack_peers.popleft()))
                with suppress(TimeoutError):
                    async with asyncio.timeout(
                        max(0.0, self._due - time.monotonic()) if self._due < math.inf else None
                    ):
                        await self._wake.wait()
                if time.monotonic() >= self._due:
                    self._due = math.inf
                    self._step(d.TimerFired())

    # -- sending ---------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    async def _put(self, peer: str, envelope: Envelope, also: Unit[None] | None = None) -> None:
        now_ms = self._now_ms()

        def unit(connection: sqlite3.Connection) -> d.Entry | None:
            if also is not None:
                also(connection)
            return outbox.add(connection, peer, envelope, now_ms=now_ms)

        entry = await self._db.write(unit)
        if entry is not None:
            self._step(d.MessageStored(peer, entry))

    def _step(self, event: d.Event) -> None:
        self._commands.extend(self._delivery.handle(event, now=time.monotonic()))
        if self._commands:
            self._wake.set()

    def _act(self, command: d.Command, tasks: asyncio.TaskGroup) -> None:
        match command:
            case d.TransmitMessage(peer, entry):
                # Read here and now, not in a thread: so the order of the commands is the order on the link.
                row = self._db.peek(lambda connection: outbox.message_of(connection, entry.n))
                if row is None:
                    self._step(d.MessageSettled(peer, entry.id))
                elif 0 < row[1] <= self._now_ms():
                    self.counts["expired"] += 1
                    log.info("message expired", peer=peer, id=entry.id.hex())
                    self._acknowledged[peer, entry.id] = None
                    self._unsettled.set()
                else:
                    tasks.create_task(self._send_entry(peer, entry, row[0]))
            case d.LoadMessages():
                tasks.create_task(self._load(command))
            case d.WakeAt(due):
                self._due = due

    async def _send_entry(self, peer: str, entry: d.Entry, message: bytes) -> None:
        self.counts["sent"] += 1
        await self._hand_over(peer, "", message)
        self._step(d.TransmitEnded(peer, entry.id))

    async def _hand_over(self, peer: str, kind: str, payload: bytes) -> None:
        try:
            await self._transmit(peer, payload)
        except (TiercastError, OSError, TimeoutError) as error:
            # The outbox repeats it, or it was worthless a moment later anyway.
            log.debug("transmission failed", peer=peer, kind=kind, reason=str(error))
            self.counts["unsent"] += 1
        except Exception:
            log.exception("transmission failed", peer=peer, kind=kind)
            self.counts["unsent"] += 1

    async def _load(self, command: d.LoadMessages) -> None:
        def unit(connection: sqlite3.Connection) -> list[d.Entry]:
            return outbox.load(connection, command.peer, after=command.after, limit=command.limit + 1)

        entries = await self._db.read(unit)
        more = len(entries) > command.limit
        self._step(d.MessagesLoaded(command.peer, command.load, tuple(entries[: command.limit]), more))

    # -- receiving -------------------------------------------------------------------------------------

    def _take_ack(self, peer: str, ack: Ack) -> None:
        for id_ in ack.ids:
            # Only what is under way: an acknowledgement can't reach what was not sent.
            if self._delivery.in_window(peer, id_):
                self._acknowledged[peer, id_] = None
                self._unsettled.set()

    def _is_seen(self, peer: str, id_: bytes) -> bool:
        if (peer, id_) not in self._marks and not self._db.peek(lambda connection: inbox.seen(connection, peer, id_)):
            return False
        self._repeats[peer, id_] = None
        self._unsettled.set()
        return True

    def _done(self, peer: str, id_: bytes) -> None:
        self._marks[peer, id_] = None
        self._unsettled.set()

    async def _settle(self) -> None:
        """Commit marks and forget what is acknowledged, a few milliseconds' worth at a time; then acknowledge."""
        while True:
            await self._unsettled.wait()
            await asyncio.sleep(_GATHER)
            self._unsettled.clear()
            marks, gone = list(self._marks), list(self._acknowledged)
            repeats, self._repeats = list(self._repeats), {}
            if marks or gone:
                try:
                    await self._db.write(lambda connection: self._settle_unit(connection, marks, gone))  # noqa: B023 - awaited here
                except (TiercastError, sqlite3.Error) as error:
                    # Unmarked and unacknowledged: the senders repeat, and so do we.
                    log.warning("messages not settled", reason=str(error), marks=len(marks), acknowledged=len(gone))
                    for key in marks:
                        self._marks.pop(key, None)
                    for key in gone:
                        self._acknowledged.pop(key, None)
                        self._step(d.TransmitEnded(*key))
                    continue
            for key in gone:
                self._acknowledged.pop(key, None)
                self._step(d.MessageSettled(*key))
            for key in marks:
                self._marks.pop(key, None)
            for peer, id_ in marks + [key for key in repeats if key not in self._marks]:
                if peer not in self._acks:
                    self._acks[peer] = {}
                    self._ack_peers.append(peer)
                self._acks[peer][id_] = None
            self._wake.set()

    def _settle_unit(
        self, connection: sqlite3.Connection, marks: list[tuple[str, bytes]], gone: list[tuple[str, bytes]]
    ) -> None:
        inbox.mark(connection, marks, now_ms=self._now_ms())
        outbox.remove(connection, gone)

    async def _acknowledge(self, peer: str) -> None:
        try:
            while ids := list(self._acks[peer])[:_ACK_IDS]:
                for id_ in ids:
                    del self._acks[peer][id_]
                self.counts["acks_sent"] += 1
                await self.send(peer, Ack(ids=ids))
        finally:
            del self._acks[peer]

    async def _prune(self) -> None:
        while True:
            now_ms = self._now_ms()
            with suppress(TiercastError):
                expired = await self._db.write(lambda connection: outbox.expire(connection, now_ms=now_ms))  # noqa: B023 - awaited here
                self.counts["expired"] += expired
                await self._db.write(lambda connection: inbox.prune(connection, now_ms=now_ms))  # noqa: B023 - awaited here
            await asyncio.sleep(_PRUNE_EVERY)
