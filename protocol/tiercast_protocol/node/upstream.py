"""The child's side of a hop: two connections to the parent's broker, and what comes down them.

Rules (docs/protocol.md, sections 3 to 6)
- The machine (`transfer.Receiver`) decides; `landing` puts chunks together and into the store, this file
  publishes reports and tells whoever waits.
- The parent is up when both connections are.  Then `Hello` goes out and everything wanted is asked for.
  The parent's `Hello` carries the boot of our lane there; a changed boot means that the lane is new: groups
  are left, wants are repeated.  Every `Hello` of the parent is answered by ours, so that it knows of us
  whoever came first; it answers only those that told it news, so this ends.
- Credit counts what was received, so it bounds what the broker can hold for us while we do not read.
- A full store gives the chunk up: whoever wants it gets `StoreFull`, nothing is fetched in a circle.  A tier
  above that is full is waited for: its chunks are asked for again every few seconds, and `waiting` says why.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from tiercast_protocol import __version__
from tiercast_protocol.errors import BrokerLost, ChunkMissing, MessageInvalid, StoreFull, TiercastError
from tiercast_protocol.node.grouptopics import GroupTopics
from tiercast_protocol.node.landing import Landing
from tiercast_protocol.node.link import BulkLink, ControlLink
from tiercast_protocol.node.wishes import Wishes
from tiercast_protocol.transfer import events as t
from tiercast_protocol.transfer.receiver import Receiver
from tiercast_protocol.wire import codec, frame
from tiercast_protocol.wire.envelope import Envelope, open_, seal, wrap
from tiercast_protocol.wire.messages import (
    KIND_OF,
    Absent,
    Gone,
    GroupJoin,
    GroupLeave,
    Hello,
    Message,
    Piece,
    body_of,
)
from tiercast_protocol.wire.topics import Topics

if TYPE_CHECKING:
    from tiercast_protocol.node.chunks.port import WritableStore
    from tiercast_protocol.node.post import Post

log = structlog.get_logger(__name__)

Digest = bytes
#: How the reason of an absence begins that ends when somebody frees a disk, and the seconds until it is asked again.
NO_ROOM = "no room"
NO_ROOM_AGAIN = 3.0
WINDOW = 8 << 20
#: Reports that wait for the socket; what does not fit is said again, all at once, when there is room.
MOST_REPORTS = 256
#: How long the last word may take when we stop.
_LEAVE_SECONDS = 1.0


class Upstream:
    """The way to the parent: control messages into `post`, chunks into `store`.

    Args:
        me: this node's name; also the name that it logs in with and its client id.
        region: the region's name.
        parent: the parent's name.
        url: the parent's broker, as the token said.
        login: user and password at that broker.
        store: where verified chunks go; its `put` verifies, off the loop.
        post: outbox and inbox; its `transmit` must hand what is for the parent to `Upstream.transmit`.
        on_chunk: called with digest and stored size once a chunk is readable from `store`.
        on_absent: called with digest and reason when the parent can't give a chunk for now.
        window: bytes of credit, and the bound of what waits for the store.
        role: said in `Hello`.
        free: gives the bytes free for chunks, said in `Hello`.
        tls: for a broker at mqtts://; None is the system's authorities.
    """

    def __init__(
        self,
        *,
        me: str,
        region: str,
        parent: str,
        url: str,
        login: tuple[str, str] | None,
        store: WritableStore,
        post: Post,
        on_chunk: Callable[[Digest, int], None] | None = None,
        on_absent: Callable[[Digest, str], None] | None = None,
        window: int = WINDOW,
        role: str = "endpoint",
        free: Callable[[], int] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.me, self.parent = me, parent
        self.connected = False
        self.bytes_in = self.chunks_in = self.bad_frames = self.rejected = 0
        #: Why nothing comes though the parent is there; "" when there is no such reason.
        self.waiting = ""
        self._later: set[Digest] = set()
        self._topics = Topics(region)
        self._boot = os.urandom(8)
        self._leaving = False
        self._role, self._free = role, free
        self._post = post
        self._on_chunk, self._on_absent = on_chunk, on_absent
        self._receiver = Receiver(int.from_bytes(os.urandom(7), "big") + 1, window)
        self._views: tuple[tuple[Piece, memoryview], ...] = ()
        self._reports: asyncio.Queue[bytes] = asyncio.Queue(MOST_REPORTS)
        self._unsaid = False
        self._wishes = Wishes(
            store.has,
            lambda digests, job: self._feed(t.ChunksWanted(digests, job)),
            lambda digests: self._feed(t.ChunksUnwanted(digests)),
        )
        self._timer: asyncio.TimerHandle | None = None
        self._gone = seal(wrap(KIND_OF[Gone], Gone(boot=self._boot), sender=me))
        self._control = ControlLink(
            url,
            client_id=me,
            login=login,
            will=(self._topics.will(me), self._gone),
            subscriptions=(self._topics.down(parent, me),),
            on_message=self._control_arrived,
            on_up=self._link_up,
            on_down=self._link_down,
            tls=tls,
        )
        self._bulk = BulkLink(
            url,
            client_id=f"{me}:bulk",
            login=login,
            subscriptions=(self._topics.bulk(parent, me),),
            on_message=self._frame_arrived,
            on_up=self._link_up,
            on_down=self._link_down,
            tls=tls,
        )

        self.groups = GroupTopics(
            lambda group: self._bulk.subscribe(self._topics.group(parent, group)),
            lambda group: self._bulk.unsubscribe(self._topics.group(parent, group)),
            self.say,
        )
        self._landing = Landing(
            store,
            limit=window,
            pause=self._bulk.pause,
            resume=self._bulk.resume,
            on_stored=self._stored,
            on_rejected=self._rejected,
            on_full=self._give_up,
        )

    async def run(self) -> None:
        """Keep both connections up and work, until cancelled; then say that we go: the will takes longer."""
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(part)
                    for part in (
                        self._control.run(),
                        self._bulk.run(),
                        self._publish_reports(),
                        self.groups.run(),
                        self._landing.run(),
                    )
                ]
                try:
                    await asyncio.Event().wait()
                finally:
                    await self._leave()
                    for task in running:
                        task.cancel()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _leave(self) -> None:
        self._leaving = True
        if self._control.connected:
            with suppress(TimeoutError, BrokerLost):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self._control.publish(self._topics.will(self.me), self._gone)

    # -- what the rest of the node asks for ----------------------------------------------------------

    def want(self, digests: Sequence[Digest], job: str = "") -> None:
        """Fetch these, which the store lacks, for `job`; `on_chunk` or `on_absent` tells of each."""
        self._wishes.want(digests, job)

    def unwant(self, digests: Sequence[Digest]) -> None:
        """Take back a `want`; what `fetch` waits for goes on."""
        self._wishes.unwant(digests)

    async def fetch(self, digests: Sequence[Digest], job: str = "") -> None:
        """Wait until all of these are in the store, fetched for `job`.

        Raises:
            ChunkMissing: the parent says that no tier above holds one of them.
            StoreFull: the store has no room for one of them.
        """
        await self._wishes.fetch(digests, job)

    async def transmit(self, payload: bytes) -> None:
        """Publish one sealed envelope to the parent.

        Raises:
            BrokerLost: the control connection is down, or we have said that we go: any word after it would say that
                we are there.
        """
        if self._leaving:
            raise BrokerLost(self._control.url, "this node is stopping")
        await self._control.publish(self._topics.up(self.me), payload)

    async def say(self, message: Message) -> None:
        """Publish a message that is worthless a moment later; a lost connection loses it."""
        try:
            await self.transmit(seal(wrap(KIND_OF[type(message)], message, sender=self.me)))
        except BrokerLost:
            return

    def traffic(self) -> dict[str, int]:
        """Bytes of both present connections as the kernel counts them, and chunks as we do."""
        totals = {"sent": 0, "received": 0}
        for info in (self._control.tcp_info(), self._bulk.tcp_info()):
            if info is not None:
                totals["sent"] += info.sent
                totals["received"] += info.received
        return totals | {"chunks": self.chunks_in, "chunk_bytes": self.bytes_in, "rejected": self.rejected}

    # -- connections ---------------------------------------------------------------------------------

    async def _link_up(self) -> None:
        if self.connected or not (self._control.connected and self._bulk.connected):
            return
        self.connected = True
        log.info("parent.connected", parent=self.parent)
        self._post.peer_up(self.parent)
        await self._greet()
        self._feed(t.ParentConnected())

    async def _link_down(self) -> None:
        if not self.connected:
            return
        self.connected = False
        log.info("parent.lost", parent=self.parent)
        self._post.peer_down(self.parent)
        self._feed(t.ParentLost())

    async def _greet(self) -> None:
        if self._leaving:
            return  # a greeting after the farewell would leave us there for ever
        free = self._free() if self._free is not None else 0
        await self.say(Hello(boot=self._boot, role=self._role, software=__version__, free=free))

    async def _control_arrived(self, topic: str, payload: bytes) -> None:
        del topic
        try:
            envelope = open_(payload)
            if envelope.to in {"", self.me} and await self._ours(envelope):
                return
        except MessageInvalid as error:
            log.warning("message.invalid", peer=self.parent, kind=error.kind, reason=error.reason)
            return
        await self._post.received(self.parent, payload)

    async def _ours(self, envelope: Envelope) -> bool:
        """Act on the kinds that concern this hop alone; False for all others."""
        match envelope.kind:
            case "hello.v1":
                await self._greeted(body_of(envelope, Hello))
            case "group.join.v1":
                self.groups.move(body_of(envelope, GroupJoin))
            case "group.leave.v1":
                self.groups.move(body_of(envelope, GroupLeave))
            case "absent.v1":
                body = body_of(envelope, Absent)
                digests = tuple(body.digests[at : at + 32] for at in range(0, len(body.digests) - 31, 32))
                self._feed(t.AbsentReceived(digests, body.reason))
            case _:
                return False
        return True

    async def _greeted(self, hello: Hello) -> None:
        if self.connected:
            await self._greet()
        if hello.boot == self.groups.epoch:
            return
        self.groups.new_lane(hello.boot)
        if self.connected:
            self._feed(t.ParentConnected())

    # -- the transfer --------------------------------------------------------------------------------

    def _frame_arrived(self, topic: str, view: memoryview) -> None:
        del topic
        try:
            pieces, mark = frame.parse(view)
        except MessageInvalid as error:
            self.bad_frames += 1
            log.warning("frame.invalid", peer=self.parent, reason=error.reason)
            return
        if mark is not None:
            self._feed(t.MarkReceived(mark.session, mark.mark, mark.charged))
            return
        self._views = pieces
        try:
            self._feed(t.FrameReceived(tuple(piece for piece, _ in pieces)))
        finally:
            self._views = ()

    def _feed(self, event: t.ReceiverEvent) -> None:
        for command in self._receiver.handle(event, now=asyncio.get_running_loop().time()):
            match command:
                case t.KeepPiece(piece):
                    self._landing.keep(piece, self._views)
                case t.AssembleChunk(digest):
                    self._landing.assemble(digest)
                case t.SendReport(report):
                    if self._reports.full():
                        self._unsaid = True
                    else:
                        self._reports.put_nowait(codec.encode(report))
                case t.DiscardChunk(digest):
                    self._landing.discard(digest)
                case t.ReportAbsent(digest, reason):
                    self._absent(digest, reason)
                case t.WakeAt(time):
                    self._wake_at(time)

    def _rejected(self, digest: Digest, reason: str) -> None:
        self.rejected += 1
        self._feed(t.ChunkRejected(digest, reason))

    def _stored(self, digest: Digest, size: int) -> None:
        self.chunks_in += 1
        self.bytes_in += size
        self._feed(t.ChunkStored(digest))
        self._wishes.arrived(digest)
        if self._on_chunk is not None:
            self._on_chunk(digest, size)

    def _ask_again(self) -> None:
        self.waiting = ""
        digests, self._later = self._wishes.still(self._later), set()
        if digests:
            self._feed(t.ChunksWanted(digests))

    def _give_up(self, digest: Digest, error: StoreFull) -> None:
        self._feed(t.ChunkRejected(digest, NO_ROOM))
        self._feed(t.ChunksUnwanted((digest,)))
        self._fail(digest, error, f"{NO_ROOM}: {error}")

    def _absent(self, digest: Digest, reason: str) -> None:
        if reason.startswith(NO_ROOM):
            if not self._later:
                self.waiting = reason
                log.warning("parent.full", parent=self.parent, reason=reason, again_s=NO_ROOM_AGAIN)
                asyncio.get_running_loop().call_later(NO_ROOM_AGAIN, self._ask_again)
            self._later.add(digest)
            return
        self._fail(digest, ChunkMissing(digest), reason)

    def _fail(self, digest: Digest, error: TiercastError, reason: str) -> None:
        self._wishes.failed(digest, error)
        if self._on_absent is not None:
            self._on_absent(digest, reason)

    async def _publish_reports(self) -> None:
        topic = self._topics.report(self.me)
        while True:
            payload = await self._reports.get()
            with suppress(BrokerLost):  # `ParentConnected` makes the machine say it all again
                await self._bulk.publish(topic, payload)
            if self._unsaid and self._reports.empty():
                self._unsaid = False
                if self.connected:
                    self._feed(t.ParentConnected())

    def _wake_at(self, time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(time, self._feed, t.TimerFired())
