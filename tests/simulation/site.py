"""One parent and its children on virtual time: who was sent what of which job, and when.

Rules
- The nodes and links are those of the region; here only terms, wants and a record of every piece are added.
- Content is made of chunks of one size; a job is a list of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blake3 import blake3
from tests.simulation.nodes import Bytes, Node
from tests.simulation.world import NO_FAULTS, Faults, Link, World

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.receiver import Receiver
from tiercast_protocol.transfer.sender import Sender
from tiercast_protocol.transfer.views import LaneView
from tiercast_protocol.wire.messages import Piece

#: Bytes per second and seconds one way of a link that is in nobody's way.
FAST, NEAR = 5e6, 0.002


@dataclass(frozen=True, slots=True)
class Sent:
    """One frame to one child."""

    time: float
    child: str
    digests: tuple[bytes, ...]
    length: int
    shared: bool


class Parent(Node):
    """The node that sends, with a record of it."""

    record: list[Sent]
    sharing: bool = False
    changes: list[tuple[float, e.LaneChanged]]

    def _do_sent(self, command: e.SenderCommand) -> None:
        if isinstance(command, e.LaneChanged):
            self.changes.append((self.world.now, command))
        super()._do_sent(command)

    def _publish(self, command: e.PublishFrame) -> None:
        self.sharing = command.group is not None
        super()._publish(command)

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
        digests = tuple(piece.digest for piece in pieces)
        self.record.append(Sent(self.world.now, child, digests, length, shared=self.sharing))
        super()._publish_to(child, pieces, data, length, size, check_repeats=check_repeats)


class Site:
    """A server and its endpoints."""

    def __init__(
        self,
        children: Iterable[str],
        *,
        rate: float = FAST,
        latency: float = NEAR,
        window: int = 8 << 20,
        room: int = 64 << 20,
        faults: Faults = NO_FAULTS,
        seed: int = 1,
    ) -> None:
        self.world = World(seed, faults)
        self.server = Parent(self.world, "server", window=window, make_sender=Sender, make_receiver=Receiver)
        self.record: list[Sent] = []
        self.changes: list[tuple[float, e.LaneChanged]] = []
        self.server.record, self.server.changes = self.record, self.changes
        self.nodes: dict[str, Node] = {}
        self._made = 0
        self.under_way_at_restart = 0
        for name in children:
            node = Node(self.world, name, window=window, make_sender=Sender, make_receiver=Receiver)
            node.parent = self.server
            node.link = Link(self.world, rate, latency, room=room)
            self.server.children[name] = self.nodes[name] = node
            self.world.after(0, node.tell_receiver, e.ParentConnected())

    def content(self, count: int, size: int = 20_000) -> list[bytes]:
        """So many chunks that the server holds."""
        digests = []
        for _ in range(count):
            self._made += 1
            chunk = self._made.to_bytes(8) * (size // 8)
            digest = blake3(chunk).digest()
            self.server.store[digest] = chunk
            digests.append(digest)
        return digests

    def tell(self, event: e.SenderEvent, at: float = 0.0) -> None:
        """Tell the server's machine."""
        self.world.at(at, self.server.tell_sender, event)

    def want(self, child: str, digests: Sequence[bytes], job: str = "", at: float = 0.0) -> None:
        """The child wants these for the job."""
        self.world.at(at, self.nodes[child].want, digests, job)

    def run(self, until: float = 400.0) -> float:
        """To the end of all that happens; the time of the last frame."""
        self.world.run(until, 5_000_000)
        return self.record[-1].time if self.record else 0.0

    def frames(self, child: str, digests: Iterable[bytes]) -> list[Sent]:
        """What was sent to the child of these, in order."""
        of = frozenset(digests)
        return [sent for sent in self.record if sent.child == child and not of.isdisjoint(sent.digests)]

    def sent_bytes(self, child: str) -> int:
        """Payload over the child's link."""
        link = self.nodes[child].link
        assert link is not None
        return link.traffic.payload

    def holds(self, child: str, digests: Iterable[bytes]) -> bool:
        """Whether the child has all of these, as they are."""
        store = self.nodes[child].store
        return all(store.get(digest) == self.server.store[digest] for digest in digests)

    def stop(self, child: str) -> None:
        """Nothing comes from the child any more, and nothing gets there."""
        link = self.nodes[child].link
        assert link is not None
        link.up_open = link.down_open = False

    def go_on(self, child: str) -> None:
        """It is there again."""
        link = self.nodes[child].link
        assert link is not None
        link.up_open = link.down_open = True

    def slow(self, child: str, rate: float) -> None:
        """The child's link carries so many bytes per second from now on."""
        link = self.nodes[child].link
        assert link is not None
        link.rate = rate

    def cut(self, child: str, seconds: float) -> None:
        """The child's connection breaks now, everybody notices, and it is there again after so long."""
        node = self.nodes[child]
        assert node.link is not None
        node.link.cut()
        node.tell_receiver(e.ParentLost())
        self.server.tell_sender(e.ChildLost(child))
        self.world.after(seconds, self._join, child)

    def _join(self, child: str) -> None:
        node = self.nodes[child]
        assert node.link is not None
        node.link.connected = True
        node.tell_receiver(e.ParentConnected())

    def shared(self, digests: Iterable[bytes]) -> list[Sent]:
        """The frames of these that went to more than one child at a time."""
        of = frozenset(digests)
        return [sent for sent in self.record if sent.shared and not of.isdisjoint(sent.digests)]

    def restart(self, child: str, seconds: float, digests: Sequence[bytes] = (), job: str = "") -> None:
        """The child's process dies now and begins anew after so long, with what it stored; then it wants these."""
        node = self.nodes[child]
        assert node.link is not None
        self.under_way_at_restart += sum(lane.in_flight for lane in self.server_lanes() if lane.child == child)
        # Buffers of chunks that were begun or not stored yet are lost with it.
        self.under_way_at_restart += sum(len(buffer) for buffer in node.buffers.values()) + 4 * len(node.buffers)
        node.link.cut()
        self.server.tell_sender(e.ChildLost(child))
        node.kill()
        self.world.after(seconds, node.revive)
        self.world.after(seconds, self._join, child)
        self.world.after(seconds, node.want, digests, job)

    def server_lanes(self) -> list[LaneView]:
        """The lanes of the server."""
        assert self.server.sender is not None
        return self.server.sender.lanes()
