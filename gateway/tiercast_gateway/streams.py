"""The bulk side of a sub-tree: the `Sender` machine, the depot it serves from, and this node's bulk connection.

Rules (docs/protocol.md, section 6)
- The machine decides who gets which pieces; this file reads chunks, slices them without copying, and
  publishes.
- A chunk that the depot lacks is asked for above once, however many want it; it goes down the moment it
  is verified (cut-through), out of memory.
- Frames, marks and invitations go out in the order of the machine's commands, over one connection: whoever is invited
  to a group must not be subscribed before the frames that went to it without him.  Reading runs one step ahead of
  publishing.
- Publishing waits for the socket to our own broker and for nothing else: no child can hold it up.
- When our own broker connection is cut, every lane is lost: children say everything again when they see us.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from tiercast_gateway.children.going import Going
from tiercast_protocol.errors import BrokerLost, ChunkCorrupt, ChunkMissing, MessageInvalid
from tiercast_protocol.node.leases import CHILD
from tiercast_protocol.node.metrics import METRICS
from tiercast_protocol.transfer import events as t
from tiercast_protocol.transfer.books import SentBooks
from tiercast_protocol.transfer.sender import Sender
from tiercast_protocol.wire import codec, frame
from tiercast_protocol.wire.envelope import seal, wrap
from tiercast_protocol.wire.messages import KIND_OF, Absent, GroupJoin, GroupLeave, Message, Report
from tiercast_protocol.wire.topics import Topics

if TYPE_CHECKING:
    from tiercast_gateway.depot.depot import Depot
    from tiercast_protocol.node.kernel import TcpInfo
    from tiercast_protocol.node.link import BulkLink

log = structlog.get_logger(__name__)
_bad_reports = METRICS.counter("bulk_reports_bad_total", "reports of children that could not be read, by child")

Digest = bytes
Say = Callable[[str, Message], Awaitable[None]]
#: Digests of one `Absent` message, and most that wait to be told to one child (as many as it may want).
_ABSENT_BATCH = 1024
_MOST_ABSENT = 16_384
#: Frames that are read and wait for the socket.
_READ_AHEAD = 2

_Load = tuple[t.PublishFrame, bytes, list[memoryview]]
#: A short message between frames: topic and payload.
_Word = tuple[str, bytes]


class Streams:
    """What is sent down, to whom, and when.

    Args:
        me: this node's name.
        topics: of the region.
        depot: what is held here.
        ask_above: fetch these chunks for a job; answered by `chunk_arrived` or `chunk_absent`.
        drop_above: nobody below wants these any more.
        say: publishes an ephemeral control message to a child.
        lane_of: the present name of a child's lane, the epoch of its groups.
    """

    def __init__(
        self,
        *,
        me: str,
        topics: Topics,
        depot: Depot,
        ask_above: Callable[[Sequence[Digest], str], None],
        drop_above: Callable[[Sequence[Digest]], None],
        say: Say,
        lane_of: Callable[[str], bytes],
    ) -> None:
        self.bytes_out = self.frames_out = 0
        self.lane_states: dict[str, str] = {}
        self._me, self._topics, self._depot = me, topics, depot
        self._ask_above, self._drop_above = ask_above, drop_above
        self._say, self._lane_of = say, lane_of
        self.machine = Sender()
        self.going = Going()
        #: What was published, by child and session; and what was asked for, by job, that lay here or came from above.
        self.books = SentBooks()
        self.lay_here: Counter[str] = Counter()
        self.lay_here_chunks: Counter[str] = Counter()
        self.sought_above: Counter[str] = Counter()
        self._link: BulkLink | None = None
        self._events: deque[t.SenderEvent] = deque()
        self._feeding = False
        self._sought: set[Digest] = set()
        self._orders: asyncio.Queue[t.PublishFrame | _Word] = asyncio.Queue()
        self._loads: asyncio.Queue[_Load | _Word] = asyncio.Queue(_READ_AHEAD)
        self._errands: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()
        self._absent: dict[str, dict[Digest, str]] = {}
        self._absences = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def connect(self, link: BulkLink) -> None:
        """Publish over this connection to our own broker."""
        self._link = link

    def tcp_info(self) -> TcpInfo | None:
        """The kernel's counters of that connection; None over a UNIX socket."""
        return self._link.tcp_info() if self._link is not None else None

    async def run(self) -> None:
        """Read, publish, invite, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read_frames())
                tasks.create_task(self._publish_frames())
                tasks.create_task(self._run_errands())
                tasks.create_task(self._tell_absences())
        finally:
            if self._timer is not None:
                self._timer.cancel()

    # -- what happens around it ------------------------------------------------------------------------

    def report_arrived(self, child: str, payload: memoryview) -> None:
        """A child's report came over the bulk connection."""
        try:
            report = codec.decode(frame.unguarded(payload), Report)
        except MessageInvalid as error:
            _bad_reports.add(label=child)
            log.warning("report.invalid", child=child, reason=error.reason)
            return
        self.feed(t.ReportReceived(child, report))

    def chunk_arrived(self, digest: Digest, size: int) -> None:
        """The chunk is verified and readable from the depot."""
        if digest in self._sought:
            self._sought.discard(digest)
            if not self._events:
                asyncio.get_running_loop().call_soon(self._drain)  # what came with it shares its frame
            self._events.append(t.ChunkAvailable(digest, size))

    def sought(self, digest: Digest) -> bool:
        """Whether somebody below asked for the chunk, which is not here yet."""
        return digest in self._sought

    def chunk_absent(self, digest: Digest, reason: str) -> None:
        """Nobody above holds the chunk."""
        if digest in self._sought:
            self._sought.discard(digest)
            self.feed(t.ChunkUnavailable(digest, reason))

    def child_lost(self, child: str) -> None:
        """The child is gone, or is another process now."""
        self.lane_states.pop(child, None)
        self.feed(t.ChildLost(child))

    def group_joined(self, child: str, group: int, epoch: bytes) -> None:
        """The child is subscribed to the group's topic, unless it speaks of an earlier lane."""
        if epoch == self._lane_of(child):
            self.feed(t.ChildJoinedGroup(child, group))

    # -- the machine -----------------------------------------------------------------------------------

    def feed(self, event: t.SenderEvent) -> None:
        """Hand the machine an event, and do what it asks; safe to call from within."""
        self._events.append(event)
        self._drain()

    def _drain(self) -> None:
        if self._feeding:
            return
        self._feeding = True
        try:
            clock = asyncio.get_running_loop().time
            while self._events:
                event = self._events.popleft()
                together = [event]
                if isinstance(event, t.ChunkAvailable):
                    while self._events and isinstance(self._events[0], t.ChunkAvailable):
                        together.append(self._events.popleft())
                commands = self.machine.handle_all(together, now=clock())
                heard = event.child if isinstance(event, t.ReportReceived) else ""
                self.books.note(commands, self.machine.account, heard=heard)
                for command in commands:
                    self._obey(command)
        finally:
            self._feeding = False

    def _obey(self, command: t.SenderCommand) -> None:
        match command:
            case t.PublishFrame() | t.PublishMark() | t.InviteToGroup():
                self._order(command)
            case t.FindChunks(digests, job):
                self._find(digests, job)
            case t.ForgetChunks(digests):
                gone = [digest for digest in digests if digest in self._sought]
                self._sought.difference_update(gone)
                self._drop_above(gone)
            case t.DismissFromGroup(child, group):
                self._errands.put_nowait((child, GroupLeave(group=group, epoch=self._lane_of(child))))
            case t.TellAbsent(child, digests, reason):
                waiting = self._absent.setdefault(child, {})
                # What does not fit is asked for again; a child that asks for all there could be fills no queue here.
                waiting.update((digest, reason) for digest in digests[: _MOST_ABSENT - len(waiting)])
                self._absences.set()
            case t.LaneChanged() | t.LaneSlowed():
                self._note(command)
            case t.WakeAt(time):
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = asyncio.get_running_loop().call_at(time, self.feed, t.TimerFired())

    def _note(self, change: t.LaneChanged | t.LaneSlowed) -> None:
        if isinstance(change, t.LaneChanged):
            self.lane_states[change.child] = change.state
            log.info("lane.changed", child=change.child, state=change.state, reason=change.reason)
        else:
            log.info("lane.slowed", child=change.child, rate=change.rate, reason=change.reason)

    def _order(self, command: t.PublishFrame | t.PublishMark | t.InviteToGroup) -> None:
        match command:
            case t.PublishFrame():
                # The machine has let these go; they stay until the frame is read.
                self._depot.store.leases.take(CHILD, _digests_of(command))
                self._orders.put_nowait(command)
            case t.PublishMark(child, session, mark, charged):
                payload = frame.mark_frame(frame.Mark(session, mark, charged))
                self._orders.put_nowait((self._topics.bulk(self._me, child), payload))
            case t.InviteToGroup(child, group):
                invitation = GroupJoin(group=group, epoch=self._lane_of(child))
                payload = seal(wrap(KIND_OF[GroupJoin], invitation, sender=self._me, to=child))
                self._orders.put_nowait((self._topics.down(self._me, child), payload))

    def _find(self, digests: Iterable[Digest], job: str) -> None:
        digests = list(digests)
        held = self._depot.held(digests)
        self._events.extend(t.ChunkAvailable(digest, size) for digest, size in held.items())
        missing = [digest for digest in digests if digest not in held]
        self.lay_here[job] += sum(held.values())
        self.lay_here_chunks[job] += len(held)
        self.sought_above[job] += len(missing)
        self._depot.asked(digests)
        if missing and (full := self._depot.full) is not None:
            # What could not be kept is not fetched: children wait and ask again (`Upstream`).
            self._events.extend(t.ChunkUnavailable(digest, f"no room: {full}") for digest in missing)
            return
        self._sought.update(missing)
        if missing:
            self._ask_above(missing, job)

    # -- frames ----------------------------------------------------------------------------------------

    async def _read_frames(self) -> None:
        while True:
            order = await self._orders.get()
            if not isinstance(order, t.PublishFrame):
                await self._loads.put(order)
                continue
            try:
                stored = await self._chunks_of(order)
            except (ChunkMissing, ChunkCorrupt) as error:
                log.warning("chunk.unreadable", reason=str(error))
                self.feed(t.FrameFailed(order.frame))
                continue
            finally:
                self._depot.store.leases.give_back(CHILD, _digests_of(order))
            views = [memoryview(stored[p.digest])[p.offset : p.offset + p.length] for p in order.pieces]
            if any(len(view) != piece.length for view, piece in zip(views, order.pieces, strict=True)):
                self.feed(t.FrameFailed(order.frame))
                continue
            await self._loads.put((order, frame.pieces_head(order.pieces), views))

    async def _chunks_of(self, order: t.PublishFrame) -> dict[Digest, bytes]:
        """The stored forms that the frame's pieces are cut from; most are in the store's memory."""
        digests = _digests_of(order)
        return dict(zip(digests, await self._depot.get_many(digests), strict=True))

    async def _publish_frames(self) -> None:
        while True:
            load = await self._loads.get()
            if len(load) == 2:  # noqa: PLR2004 - a word between frames
                with suppress(BrokerLost):  # lanes are lost with the connection
                    await self._bulk.publish(*load)
                continue
            order, head, views = load
            if order.group is not None:
                topic = self._topics.group(self._me, order.group)
            else:
                topic = self._topics.bulk(self._me, order.children[0])
            try:
                await self._bulk.publish(topic, head, *views)
            except BrokerLost:
                self.feed(t.FrameFailed(order.frame))
                continue
            self.frames_out += 1
            self.bytes_out += sum(piece.length for piece in order.pieces)
            self.feed(t.FramePublished(order.frame))

    async def _tell_absences(self) -> None:
        """Say what nobody holds: all that came together in one message, the children in turn."""
        while True:
            await self._absences.wait()
            self._absences.clear()
            while self._absent:
                child, waiting = next(iter(self._absent.items()))
                del self._absent[child]
                reason = next(iter(waiting.values()))
                batch = [digest for digest, why in waiting.items() if why == reason][:_ABSENT_BATCH]
                for digest in batch:
                    del waiting[digest]
                if waiting:
                    self._absent[child] = waiting
                await self._say(child, Absent(digests=b"".join(batch), reason=reason))

    async def _run_errands(self) -> None:
        while True:
            child, message = await self._errands.get()
            await self._say(child, message)

    @property
    def _bulk(self) -> BulkLink:
        if self._link is None:
            raise RuntimeError("connect() was not called")
        return self._link


def _digests_of(order: t.PublishFrame) -> list[Digest]:
    return list(dict.fromkeys(piece.digest for piece in order.pieces))
