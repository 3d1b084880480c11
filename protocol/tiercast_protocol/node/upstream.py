"""The child's side of a transfer: what it wants of its parent, and what comes of it.

Rules (docs/protocol.md, sections 5 and 6)
- The machine (`transfer.Receiver`) decides; `landing` puts chunks together and into the store, `hop` holds the
  connections, this file publishes reports and tells whoever waits.
- When the parent is there, or has a new lane for us, everything wanted is asked for again.
- Another parent is another hop below the same machine: what is held, and what lies half of it here, counts on.
- Credit counts what was received, so it bounds what the broker can hold for us while we do not read.
- A full store gives the chunk up: whoever wants it gets `StoreFull`, nothing is fetched in a circle.  A tier
  above that is full is waited for: its chunks are asked for again every few seconds, and `waiting` says why.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from tiercast_protocol import __version__
from tiercast_protocol.errors import ChunkMissing, MessageInvalid, StoreFull, TiercastError
from tiercast_protocol.node.grouptopics import GroupTopics
from tiercast_protocol.node.hop import Caller, Hop, Parent
from tiercast_protocol.node.landing import Landing
from tiercast_protocol.node.metrics import METRICS
from tiercast_protocol.node.reporting import Reports
from tiercast_protocol.node.taking import NOTHING, Arrived, Placer, arrived, taker_of
from tiercast_protocol.node.wishes import Wishes
from tiercast_protocol.transfer import events as t
from tiercast_protocol.transfer.counters import ReceiverCounters
from tiercast_protocol.transfer.receiver import Receiver
from tiercast_protocol.wire.messages import Hello, Message

if TYPE_CHECKING:
    from tiercast_protocol.node.chunks.port import WritableStore
    from tiercast_protocol.node.post import Post
    from tiercast_protocol.transfer.policy import JobPolicy

log = structlog.get_logger(__name__)
_bad_frames = METRICS.counter("bulk_frames_bad_total", "frames of a parent that could not be read")

Digest = bytes
#: How the reason of an absence begins that ends when somebody frees a disk, and the seconds until it is asked again.
NO_ROOM = "no room"
NO_ROOM_AGAIN = 3.0
WINDOW = 8 << 20


class Upstream:
    """The way to the parent: control messages into `post`, chunks into `store`.

    Args:
        me: this node's name; also the name that it logs in with and its client id.
        region: the region's name.
        parent: the parent's name.
        url: the parent's broker, as the token said.
        login: user and password at that broker.
        store: where verified chunks go; its `put_many` verifies, off the loop.
        post: outbox and inbox; its `transmit` must hand what is for the parent to `Upstream.transmit`.
        on_chunk: called with digest and stored size once a chunk is readable from `store`.
        on_absent: called with digest and reason when the parent can't give a chunk for now.
        window: bytes of credit, and the bound of what waits for the store.
        role: said in `Hello`.
        free: gives the bytes free for chunks, said in `Hello`.
        tls: for a broker at mqtts://; None is the system's authorities.
        clean: away from home: the broker keeps nothing for us.
        gather: seconds that what came may wait before it is stored, where nothing is passed on.
        placer: takes whole chunks to where they belong, in a thread that reads; None has all of them stored.
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
        clean: bool = False,
        gather: float = 0.0,
        placer: Placer | None = None,
    ) -> None:
        self.me = me
        self.bytes_in = self.chunks_in = self.rejected = 0
        #: Why nothing comes though the parent is there; "" when there is no such reason.
        self.waiting = ""
        #: Gives what `Hello` says of the link: nothing (0), that it is metered (1), that all jobs may use it (2).
        self.metered: Callable[[], int] = lambda: 0
        self.quota = -1  # of the depot, as `Hello` says it
        self._later: set[Digest] = set()
        self._role, self._free = role, free
        self._post = post
        self._on_chunk, self._on_absent = on_chunk, on_absent
        self._receiver = Receiver(int.from_bytes(os.urandom(7), "big") + 1, window)
        self._frame: Arrived = NOTHING
        self._reports = Reports(lambda payload: self.hop.report(payload), self._say_again)  # noqa: PLW0108 - the hop of then
        self._paused = False
        self._wishes = Wishes(
            store.held,
            lambda digests, job: self._feed(t.ChunksWanted(digests, job)),
            lambda digests: self._feed(t.ChunksUnwanted(digests)),
        )
        self._timer: asyncio.TimerHandle | None = None
        self._caller = Caller(me, region, login, os.urandom(8), self._hello, taker_of(placer) if placer else None)
        self.hop = Hop(Parent(parent, url), self._caller, self, tls=tls, clean=clean)
        self._landing = Landing(
            store,
            limit=window,
            pause=self._pause,
            resume=self._resume,
            on_stored=self._stored,
            on_rejected=self._rejected,
            on_full=self._give_up,
            gather=gather,
            placer=placer,
        )
        self._moved = asyncio.Event()
        #: Awaited with the names of the old and the new parent, between the two.
        self.on_moved: Callable[[str, str], Awaitable[None]] | None = None
        #: Told before another parent takes the present one's place.
        self.on_leaving: Callable[[], None] | None = None
        #: Told when the parent came, and when it is lost.
        self.on_up: Callable[[], None] | None = None
        self.on_down: Callable[[], None] | None = None
        #: Told when the parent has no place for us (reason, seconds), and when its way to the server is another.
        self.on_refused: Callable[[str, float], None] | None = None
        self.on_path: Callable[[], None] | None = None

    @property
    def parent(self) -> str:
        """The present parent's name."""
        return self.hop.parent.name

    @property
    def session(self) -> int:
        """The name of this life of ours in our reports."""
        return self._receiver.session

    @property
    def counters(self) -> ReceiverCounters:
        """What came in this session, by what became of it."""
        return self._receiver.counters

    @property
    def connected(self) -> bool:
        """Whether both connections to the parent's broker are up."""
        return self.hop.connected

    @property
    def groups(self) -> GroupTopics:
        """The groups that we hear at the present parent."""
        return self.hop.groups

    async def run(self) -> None:
        """Keep the way to the parent and work, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._reports.run())
                tasks.create_task(self._landing.run())
                at = self.parent
                while True:
                    self._moved.clear()
                    hop = self.hop
                    if self.on_moved is not None and hop.parent.name != at:
                        await self.on_moved(at, hop.parent.name)
                    at = hop.parent.name
                    if hop is self.hop:
                        await self._stay(hop, tasks)
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _stay(self, hop: Hop, tasks: asyncio.TaskGroup) -> None:
        """Keep this hop until another takes its place, or we stop."""
        running = tasks.create_task(hop.run())
        try:
            await self._moved.wait()
        finally:
            running.cancel()
            await asyncio.wait([running])
            if hop.connected:  # its links ended with their tasks
                hop.connected = False
                await self.hop_down(hop)

    def move(self, parent: Parent, *, tls: ssl.SSLContext | None = None, clean: bool = False) -> None:
        """From now on this is the parent; the old hop ends as soon as it said goodbye."""
        if self.on_leaving is not None:
            self.on_leaving()
        self.hop.end()
        self.hop = Hop(parent, self._caller, self, tls=tls, clean=clean)
        if self._paused:
            self.hop.bulk.pause()
        self._moved.set()

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
            BrokerLost: the control connection is down, or we have said that we go.
        """
        await self.hop.transmit(payload)

    async def say(self, message: Message) -> None:
        """Publish a message that is worthless a moment later; a lost connection loses it."""
        await self.hop.say(message)

    async def greet(self) -> None:
        """Say `Hello` again: it says something else now."""
        if self.connected:
            await self.say(self._hello())

    def set_terms(self, segment: int, pause: float, rate: int) -> None:
        """Ask the parent for segments (bytes) with pauses (seconds) between, and for a rate (bytes/s); 0 is no wish."""
        self._feed(t.ChildTermsSet(segment, pause, rate))

    def set_job(self, job: str, policy: JobPolicy | None) -> None:
        """How a job's chunks travel: of its wants, those of higher priority are asked for first."""
        self._feed(t.JobPolicySet(job, policy))

    def traffic(self) -> dict[str, int]:
        """Bytes of both present connections as the kernel counts them, and chunks as we do."""
        return self.hop.traffic() | {"chunks": self.chunks_in, "chunk_bytes": self.bytes_in, "rejected": self.rejected}

    # -- the hop tells -------------------------------------------------------------------------------

    async def hop_up(self, hop: Hop) -> None:
        """See `Listener`."""
        if hop is not self.hop:
            return
        self._post.peer_up(hop.parent.name)
        self._feed(t.ParentConnected())
        if self.on_up is not None:
            self.on_up()

    async def hop_down(self, hop: Hop) -> None:
        """See `Listener`."""
        self._post.peer_down(hop.parent.name)
        self._feed(t.ParentLost())
        if self.on_down is not None:
            self.on_down()

    async def hop_refused(self, hop: Hop, reason: str, wait: float) -> None:
        """See `Listener`."""
        await self.hop_down(hop)
        if self.on_refused is not None and hop is self.hop:
            self.on_refused(reason, wait)

    def path_changed(self) -> None:
        """See `Listener`."""
        if self.on_path is not None:
            self.on_path()

    def lane_renewed(self) -> None:
        """See `Listener`."""
        self._feed(t.ParentConnected())

    def chunks_absent(self, digests: tuple[Digest, ...], reason: str) -> None:
        """See `Listener`."""
        self._feed(t.AbsentReceived(digests, reason))

    async def message_arrived(self, hop: Hop, payload: bytes) -> None:
        """See `Listener`."""
        await self._post.received(hop.parent.name, payload)

    def _hello(self) -> Hello:
        free = self._free() if self._free is not None else 0
        link, boot, role = self.metered(), self._caller.boot, self._role
        return Hello(boot=boot, role=role, software=__version__, free=free, metered=link, quota=self.quota)

    # -- the transfer --------------------------------------------------------------------------------

    def frame_arrived(self, view: memoryview) -> None:
        """See `Listener`."""
        try:
            found = arrived(view, self.hop.bulk.taken)
        except MessageInvalid as error:
            _bad_frames.add()
            log.warning("frame.invalid", peer=self.parent, reason=error.reason)
            return
        if (mark := found.mark) is not None:
            self._feed(t.MarkReceived(mark.session, mark.mark, mark.charged))
            return
        self._frame = found
        try:
            self._feed(t.FrameReceived(tuple([piece for piece, _ in found.pieces])))
        finally:
            self._frame = NOTHING
        if not self._receiver.outstanding:
            self._landing.hurry()

    def _feed(self, event: t.ReceiverEvent) -> None:
        for command in self._receiver.handle(event, now=asyncio.get_running_loop().time()):
            match command:
                case t.KeepPiece(piece):
                    self._landing.keep(piece, self._frame)
                case t.StoreChunks(pieces):
                    self._landing.store(pieces, self._frame, self.hop.bulk.lend)
                case t.AssembleChunk(digest):
                    self._landing.assemble(digest, self._frame)
                case t.SendReport(report):
                    self._reports.say(report)
                case t.DiscardChunk(digest):
                    self._landing.discard(digest)
                case t.ReportAbsent(digest, reason):
                    self._absent(digest, reason)
                case t.WakeAt(time):
                    self._wake_at(time)

    def _rejected(self, digest: Digest, reason: str) -> None:
        self.rejected += 1
        self._feed(t.ChunkRejected(digest, reason))

    def _stored(self, chunks: Sequence[tuple[Digest, int]]) -> None:
        self.chunks_in += len(chunks)
        self.bytes_in += sum(size for _, size in chunks)
        self._feed(t.ChunksStored(tuple(digest for digest, _ in chunks)))
        for digest, size in chunks:
            self._wishes.arrived(digest)
            if self._on_chunk is not None:
                self._on_chunk(digest, size)

    def _ask_again(self) -> None:
        self.waiting = ""
        jobs, self._later = self._wishes.still(self._later), set()
        for job, digests in jobs.items():
            self._feed(t.ChunksWanted(digests, job))

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

    def _say_again(self) -> None:
        if self.connected:
            self._feed(t.ParentConnected())

    def _pause(self) -> None:
        self._paused = True
        self.hop.bulk.pause()

    def _resume(self) -> None:
        self._paused = False
        self.hop.bulk.resume()

    def _wake_at(self, time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(time, self._feed, t.TimerFired())
