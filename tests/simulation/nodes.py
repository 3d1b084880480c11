"""Simulated nodes: the adapters around the real machines, with dicts for depots and real bytes.

Rules
- The adapters here do what the real ones do, and no more: they copy, hash, store and pass events on.
- Every command is checked as it comes: what a machine asks for that it must not is a `Broken`.
- A restart loses all but the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from blake3 import blake3
from tests.simulation.bookkeeping import Bookkeeper
from tests.simulation.steering import Words, jobs_below
from tests.simulation.world import Link, World

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.lanestates import ACTIVE, CHANGES
from tiercast_protocol.transfer.receiver import Receiver
from tiercast_protocol.transfer.sender import Sender
from tiercast_protocol.wire.frame import PIECE_HEADER
from tiercast_protocol.wire.messages import Piece, Report

#: What a message costs beyond its payload: topic, MQTT and TCP headers.
OVERHEAD = 100
Bytes = bytes | bytearray | memoryview


class Broken(AssertionError):
    """A machine broke the protocol."""


def check(truth: bool, what: str) -> None:
    if not truth:
        raise Broken(what)


class Node(Bookkeeper):
    """A server, gateway or endpoint."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        window: int,
        make_sender: Callable[[], Sender],
        make_receiver: Callable[[int, int], Receiver],
        verify: bool = True,
    ) -> None:
        super().__init__(world, name)
        self.window = window
        self.verify = verify
        self.store: dict[bytes, bytes] = {}
        self.parent: Node | None = None
        self.link: Link | None = None
        self.children: dict[str, Node] = {}
        self.life = 0
        self.up = True
        self.store_delay = 0.001
        #: What people said here of the links and jobs below, and the job that this node wants its content for.
        self.words = Words()
        self.job = ""
        self.subscribed: set[int] = set()
        self.fetched = 0
        #: What it had before the story began.
        self.held: frozenset[bytes] = frozenset()
        self.on_stored: Callable[[bytes], None] = lambda _digest: None
        self.on_absent: Callable[[bytes, str], None] = lambda _digest, _reason: None
        self._make_sender = make_sender
        self._make_receiver = make_receiver
        self._begin()

    def _begin(self) -> None:
        self.open_books()
        self.sender = self._make_sender() if self.name[0] != "e" else None
        self.receiver = (
            None if self.name == "server" else self._make_receiver(self.world.random.getrandbits(63), self.window)
        )
        self.buffers: dict[bytes, bytearray] = {}
        self.asked: dict[bytes, None] = {}
        self.subscribed = set()
        self.lane_states: dict[str, tuple[int, str]] = {}
        self.heard: dict[str, tuple[int, set[bytes]]] = {}
        self.under_way: dict[str, dict[tuple[bytes, int, tuple[int, int]], int]] = {}
        self._wake: dict[str, float] = {}
        self._bytes: list[tuple[Piece, memoryview]] = []

    # -- life -------------------------------------------------------------------------------------

    def kill(self) -> None:
        self.life += 1
        self.up = False
        self._begin()

    def revive(self) -> None:
        self.up = True
        for event in self.words.again():
            self.tell_sender(event)
        for job, policy in self.words.policies.items():
            self.tell_receiver(e.JobPolicySet(job, policy))

    def _alive(self, life: int, do: Callable[[], None]) -> None:
        if self.up and self.life == life:
            do()

    def soon(self, delay: float, do: Callable[[], None]) -> None:
        """Do it later, unless this life is over by then."""
        self.world.after(delay, self._alive, self.life, do)

    # -- the child's side -------------------------------------------------------------------------

    def want(self, digests: Iterable[bytes], job: str = "") -> None:
        missing = tuple(digest for digest in digests if digest not in self.store)
        if missing:
            self.tell_receiver(e.ChunksWanted(missing, job))

    def tell_receiver(self, event: e.ReceiverEvent) -> None:
        if self.receiver is None or not self.up:
            return
        commands = self.receiver.handle(event, now=self.world.now)
        self.write_down()
        for command in commands:
            self._do_received(command)

    def _do_received(self, command: e.ReceiverCommand) -> None:
        link, parent = self.link, self.parent
        assert link is not None
        assert parent is not None
        match command:
            case e.SendReport(report):
                size = OVERHEAD + len(report.wants) + len(report.drops) + 40 * len(report.repairs)
                check(report.window <= self.window, "a window larger than the child's")
                link.up(size, partial(parent.hear, self.name, report))
            case e.KeepPiece(piece):
                check(piece.digest not in self.store, "kept a piece of a chunk that is stored")
                data = next((d for p, d in self._bytes if p == piece), None)
                if data is None:
                    raise Broken("kept a piece that did not come")
                buffer = self.buffers.setdefault(piece.digest, bytearray(piece.size))
                check(len(buffer) == piece.size, "kept a piece of another size")
                buffer[piece.offset : piece.offset + piece.length] = data
            case e.StoreChunks(pieces):
                for piece in pieces:
                    self._do_received(e.KeepPiece(piece))
                    self._do_received(e.AssembleChunk(piece.digest))
            case e.AssembleChunk(digest):
                data_ = bytes(self.buffers.pop(digest))
                self.soon(self.store_delay, partial(self._store, digest, data_))
            case e.DiscardChunk(digest):
                check(digest in self.buffers, "discarded a chunk that was not begun")
                del self.buffers[digest]
            case e.ReportAbsent(digest, reason):
                self.asked.pop(digest, 0)
                if self.sender is not None:
                    self.tell_sender(e.ChunkUnavailable(digest, reason))
                self.on_absent(digest, reason)
            case e.WakeAt(time):
                self._set_wake("receiver", time)

    def _store(self, digest: bytes, data: bytes) -> None:
        if self.verify and blake3(data).digest() != digest:
            self.tell_receiver(e.ChunkRejected(digest, "digest"))
            return
        check(digest not in self.store, "a chunk kept twice")
        self.store[digest] = data
        self.fetched += 1
        self.asked.pop(digest, 0)
        self.tell_receiver(e.ChunksStored((digest,)))
        if self.sender is not None:
            self.tell_sender(e.ChunkAvailable(digest, len(data)))
        self.on_stored(digest)

    def take_frame(self, life: int, pieces: tuple[Piece, ...], data: list[Bytes]) -> None:
        if life == self.life and self.up:
            self._bytes = list(zip(pieces, map(memoryview, data), strict=True))
            self.tell_receiver(e.FrameReceived(pieces))
            self._bytes = []

    def take_mark(self, life: int, command: e.PublishMark) -> None:
        if life == self.life:
            self.tell_receiver(e.MarkReceived(command.session, command.mark, command.charged))

    # -- the parent's side ------------------------------------------------------------------------

    def hear(self, child: str, report: Report) -> None:
        if not self.up:
            return
        session, wants = self.heard.get(child, (0, set()))
        if session != report.session:
            wants = set()
        wants.update(report.wants[at : at + 32] for at in range(0, len(report.wants), 32))
        wants.update(digest for digest, _, _ in report.repairs)
        self.heard[child] = (report.session, wants)
        self.tell_sender(e.ReportReceived(child, report))

    def tell_sender(self, event: e.SenderEvent) -> None:
        if self.sender is None or not self.up:
            return
        if isinstance(event, e.ChildLost):
            self.lane_states.pop(event.child, None)
        commands = self.sender.handle(event, now=self.world.now)
        self.books.note(commands, self.sender.account, heard=event.child if isinstance(event, e.ReportReceived) else "")
        self.write_down()
        sent_to: set[str] = set()
        for command in commands:
            if isinstance(command, e.PublishFrame):
                sent_to.update(command.children)
            self._do_sent(command)
        if sent_to:
            for lane in self.sender.lanes():
                if lane.child in sent_to:
                    check(lane.in_flight <= lane.window, "more under way than the window")

    def _do_sent(self, command: e.SenderCommand) -> None:
        world = self.world
        match command:
            case e.PublishFrame():
                if world.strikes("failed publish", world.faults.unpublished):
                    self.soon(0.0005, partial(self.tell_sender, e.FrameFailed(command.frame)))
                else:
                    self._publish(command)
                    self.soon(0.0001, partial(self.tell_sender, e.FramePublished(command.frame)))
            case e.PublishMark(child):
                node = self.children[child]
                self._link(child).down(OVERHEAD, partial(node.take_mark, node.life, command), _nothing)
            case e.FindChunks(digests, job):
                lacking = []
                for digest in digests:
                    if digest in self.store:
                        available = e.ChunkAvailable(digest, len(self.store[digest]))
                        self.soon(0.0001, partial(self.tell_sender, available))
                    elif self.receiver is None:
                        self.soon(0.0001, partial(self.tell_sender, e.ChunkUnavailable(digest, "unknown")))
                    else:
                        self.asked[digest] = None
                        lacking.append(digest)
                if lacking:
                    self.soon(0, partial(self.want, lacking, job))
            case e.ForgetChunks(digests):
                for digest in digests:
                    self.asked.pop(digest, 0)
                self.soon(0, partial(self._forget, digests))
            case e.InviteToGroup(child, group):
                node = self.children[child]
                self._link(child).control(partial(self._invited, self.life, node, node.life, group))
            case e.DismissFromGroup(child, group):
                node = self.children[child]
                self._link(child).control(partial(node.subscribed.discard, group))
            case e.TellAbsent(child, digests, reason):
                node = self.children[child]
                self._link(child).control(partial(node.tell_receiver, e.AbsentReceived(digests, reason)))
            case e.WakeAt(time):
                self._set_wake("sender", time)
            case e.LaneChanged(child, state, reason):
                account = self.sender.account(child) if self.sender is not None else None
                before = self.lane_states.get(child, (0, ACTIVE))
                was = before[1] if account is not None and account.session == before[0] else ACTIVE
                legal = any(was in one.origins and (one.state, one.reason) == (state, reason) for one in CHANGES)
                check(legal, f"a lane went from {was} to {state}: {reason}")
                self.lane_states[child] = (account.session if account is not None else 0, state)
                world.injected[f"({was} > {state}: {reason})"] += 1
            case e.LaneSlowed(_, rate):
                check(rate is None or rate > 0, "slowed to nothing")
                world.injected["(slowed)"] += 1

    def _forget(self, digests: tuple[bytes, ...]) -> None:
        # What came or was asked for again meanwhile stays.
        self.tell_receiver(e.ChunksUnwanted(tuple(d for d in digests if d not in self.asked)))
        if self.link is not None:
            self.link.traffic.breaks += 1

    def _invited(self, life: int, child: Node, child_life: int, group: int) -> None:
        if life == self.life and child_life == child.life and child.up:
            child.subscribed.add(group)
            self._link(child.name).control(
                partial(self._alive, life, partial(self.tell_sender, e.ChildJoinedGroup(child.name, group)))
            )

    def _link(self, child: str) -> Link:
        link = self.children[child].link
        assert link is not None
        return link

    def _publish(self, command: e.PublishFrame) -> None:
        length = 0
        data: list[Bytes] = []
        for piece in command.pieces:
            stored = self.store[piece.digest]
            check(len(stored) == piece.size, "a piece of a size that is not the chunk's")
            check(0 <= piece.offset < piece.offset + piece.length <= piece.size, "a piece outside its chunk")
            data.append(memoryview(stored)[piece.offset : piece.offset + piece.length])
            length += piece.length
        check(bool(command.pieces), "an empty frame")
        for child in command.children:
            forbidden = self.words.forbids(child, jobs_below(self.children[child]), length)
            check(not forbidden, f"sent to {child} though {forbidden}")
            wanted = self.heard[child][1]
            check(all(piece.digest in wanted for piece in command.pieces), "sent what was not wanted")
        targets = command.children
        if command.group is not None:
            targets = tuple(name for name, node in self.children.items() if command.group in node.subscribed)
        self.world.injected["(group frames)"] += command.group is not None
        size = length + PIECE_HEADER * len(command.pieces) + OVERHEAD
        for child in targets:
            # A child that was dismissed hears its old group until it has unsubscribed: that is nobody's fault.
            known = child in command.children
            self._publish_to(child, command.pieces, data, length, size, check_repeats=known)

    def _publish_to(
        self,
        child: str,
        pieces: tuple[Piece, ...],
        data: list[Bytes],
        length: int,
        size: int,
        *,
        check_repeats: bool,
    ) -> None:
        world, node, link = self.world, self.children[child], self._link(child)
        link.traffic.frames += 1
        link.traffic.payload += length
        link.traffic.stray += 0 if check_repeats else length
        sent = list(data)
        if world.strikes("corrupt", world.faults.corrupt):
            which = world.random.randrange(len(sent))
            spoiled = bytearray(sent[which])
            spoiled[world.random.randrange(len(spoiled))] ^= 1 << world.random.randrange(8)
            sent[which] = spoiled
            link.traffic.spoiled += pieces[which].size
        under_way = self.under_way.setdefault(child, {})
        # Whoever restarts, or was cut off, may be sent again what was under way: nobody can know.
        connection = (link.epoch, self.heard[child][0] if child in self.heard else 0)
        keys = [(piece.digest, piece.offset, connection) for piece in pieces] if check_repeats else []
        # Frames of a group that the child was dismissed from count as received and are nobody's: after them its
        # parent may take for lost what is still under way.
        if not link.clumsy and not link.traffic.stray:
            check(not any(key in under_way for key in keys), "sent again while under way")
        for key in keys:
            under_way[key] = under_way.get(key, 0) + 1

        def arrived() -> None:
            gone()
            node.take_frame(life, pieces, sent)

        def gone() -> None:
            for key in keys:
                if under_way.get(key, 0) <= 1:
                    under_way.pop(key, 0)
                else:
                    under_way[key] -= 1

        life = node.life
        link.down(size, arrived, gone)

    # -- timers -----------------------------------------------------------------------------------

    def _set_wake(self, which: str, time: float) -> None:
        self._wake[which] = time
        self.world.at(time, self._alive, self.life, partial(self._fire, which, time))

    def _fire(self, which: str, time: float) -> None:
        if self._wake.get(which) != time:
            return
        if which == "sender":
            self.tell_sender(e.TimerFired())
        else:
            self.tell_receiver(e.TimerFired())


def _nothing() -> None:
    """A mark that is lost is repeated by the machine."""
