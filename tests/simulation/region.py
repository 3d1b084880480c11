"""A whole region of simulated nodes, and the story that befalls it.

server - repeater - 2 gateways - 3 endpoints each.  Every endpoint wants the root, then the lists that it names,
then the chunks that those name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from blake3 import blake3
from tests.simulation.nodes import Broken, Node
from tests.simulation.steering import Steering
from tests.simulation.world import NO_FAULTS, Faults, Link, World

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.receiver import Receiver
from tiercast_protocol.transfer.sender import Sender

#: Virtual seconds in which faults may begin, and after which all must be over.
TROUBLE = 8.0
DEADLINE = 400.0
MOST_EVENTS = 500_000
#: Words that people say in a story that is steered.
STEERED = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """What a story is made of."""

    chunks: int = 120
    largest: int = 40_000
    window: int = 256 * 1024
    slowest: float = 3e5
    fastest: float = 3e6
    latency: float = 0.03
    held: float = 0.1
    start: float = 2.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The machines to run, so that a test can put a broken one in."""

    sender: Callable[[], Sender] = Sender
    receiver: Callable[[int, int], Receiver] = Receiver
    verify: bool = True


@dataclass(slots=True)
class Outcome:
    """What came of a story."""

    seconds: float
    content: int
    injected: Counter[str]
    region: Region = field(repr=False)


class Region:
    """The tree and its content."""

    def __init__(self, seed: int, faults: Faults, shape: Shape, parts: Parts) -> None:
        self.seed = seed
        self.world = World(seed, faults)
        self.shape = shape
        self.parts = parts
        self.nodes: dict[str, Node] = {}
        self.content: dict[bytes, bytes] = {}
        self._make_content()
        server = self._node("server", None)
        server.store.update(self.content)
        repeater = self._node("repeater", server)
        for g in range(2):
            gateway = self._node(f"gateway{g}", repeater)
            for n in range(3):
                self._node(f"endpoint{g}{n}", gateway)
        self.endpoints = [node for name, node in self.nodes.items() if name[0] == "e"]

    def _make_content(self) -> None:
        rng, shape = self.world.random, self.shape
        data = []
        for _ in range(shape.chunks):
            chunk = rng.randbytes(rng.randint(1, shape.largest))
            digest = blake3(chunk).digest()
            self.content[digest] = chunk
            data.append(digest)
        lists = [b"".join(data[at : at + 50]) for at in range(0, len(data), 50)]
        names = [blake3(one).digest() for one in lists]
        self.content.update(zip(names, lists, strict=True))
        root = b"".join(names)
        self.root = blake3(root).digest()
        self.content[self.root] = root
        self.lists = set(names)

    def _node(self, name: str, parent: Node | None) -> Node:
        world, shape, parts = self.world, self.shape, self.parts
        node = Node(
            world,
            name,
            window=shape.window,
            make_sender=parts.sender,
            make_receiver=parts.receiver,
            verify=parts.verify,
        )
        self.nodes[name] = node
        if parent is not None:
            node.parent = parent
            rate = world.random.uniform(shape.slowest, shape.fastest)
            node.link = Link(world, rate, world.random.uniform(0.001, shape.latency))
            parent.children[name] = node
            world.after(0, node.tell_receiver, e.ParentConnected())
        if name[0] == "e":
            for digest, chunk in self.content.items():
                # Left over from an older version.
                if digest not in self.lists and digest != self.root and world.random.random() < shape.held:
                    node.store[digest] = chunk
            node.held = frozenset(node.store)
            node.job = f"j{name[-2]}" if world.faults.steered else ""
            node.on_stored = partial(self._go_on, node)
            node.on_absent = lambda digest, _reason: node.soon(1.0, partial(node.want, (digest,), node.job))
            world.after(world.random.uniform(0, shape.start), self._start, node, 0)
        return node

    # -- what an endpoint does ---------------------------------------------------------------------

    def _start(self, node: Node, life: int) -> None:
        if not node.up or node.life != life:
            return
        node.want((self.root,), node.job)
        for digest in [digest for digest in node.store if digest == self.root or digest in self.lists]:
            self._go_on(node, digest)

    def _go_on(self, node: Node, digest: bytes) -> None:
        if digest == self.root or digest in self.lists:
            names = node.store[digest]
            node.want((names[at : at + 32] for at in range(0, len(names), 32)), node.job)

    def complete(self, node: Node) -> bool:
        return len(node.store) >= len(self.content)

    # -- what befalls it ---------------------------------------------------------------------------

    def trouble(self) -> None:
        """Lay out the story's cuts, restarts and slow spells."""
        world, faults = self.world, self.world.faults
        below = [node for node in self.nodes.values() if node.link is not None]
        for do, times, nodes in (
            (self._cut, faults.cuts, below),
            (self._cut_one_way, faults.one_way_cuts, below),
            (self._restart, faults.restarts, list(self.nodes.values())),
            (self._slow, faults.slow, below),
        ):
            for _ in range(times):
                world.at(world.random.uniform(0.05, TROUBLE), do, world.random.choice(nodes))
        if faults.steered:
            Steering(world, self.nodes, self.seed).say(faults.steered, TROUBLE)
        world.at(TROUBLE, setattr, world, "troubled", False)

    def _cut(self, node: Node) -> None:
        link = node.link
        assert link is not None
        if not link.connected:
            return
        self.world.injected["cut"] += 1
        self._sever(node)
        self.world.after(self.world.random.uniform(0.05, 4.0), self._join, node)

    def _sever(self, node: Node) -> None:
        assert node.link is not None
        assert node.parent is not None
        node.link.cut()
        node.tell_receiver(e.ParentLost())
        if self.world.random.random() < 0.6:
            node.parent.tell_sender(e.ChildLost(node.name))

    def _join(self, node: Node) -> None:
        assert node.link is not None
        assert node.parent is not None
        if node.up and node.parent.up and not node.link.connected:
            node.link.connected = True
            node.tell_receiver(e.ParentConnected())

    def _cut_one_way(self, node: Node) -> None:
        link = node.link
        assert link is not None
        if not (link.up_open and link.down_open):
            return
        self.world.injected["one-way cut"] += 1
        link.traffic.breaks += 1
        up = self.world.random.random() < 0.5
        link.up_open, link.down_open = not up, up
        self.world.after(self.world.random.uniform(0.05, 12.0), self._open, link)

    @staticmethod
    def _open(link: Link) -> None:
        link.up_open = link.down_open = True

    def _restart(self, node: Node) -> None:
        if not node.up:
            return
        world = self.world
        world.injected["restart"] += 1
        children = list(node.children.values())
        broker_dies = bool(children) and world.random.random() < 0.5
        if node.link is not None:
            self._sever(node)
        node.kill()
        for child in children:
            assert child.link is not None
            child.link.traffic.breaks += 1
            # The broker may still hold marks of the old life, which settle what the new one sent.
            child.link.clumsy = True
            if broker_dies and child.link.connected:
                child.link.cut()
                child.tell_receiver(e.ParentLost())
        world.after(world.random.uniform(0.01, 2.0), self._revive, node)

    def _revive(self, node: Node) -> None:
        node.revive()
        if node.link is not None:
            self._join(node)
        for child in node.children.values():
            assert child.link is not None
            if child.link.connected:
                # The broker lived on; the new parent's greeting says that it was born anew.
                if child.up:
                    child.link.control(
                        partial(child._alive, child.life, partial(child.tell_receiver, e.ParentConnected()))
                    )
            else:
                self._join(child)
        if node.name[0] == "e":
            self._start(node, node.life)

    def _slow(self, node: Node) -> None:
        world = self.world
        world.injected["slow child"] += 1
        assert node.link is not None
        if world.random.random() < 0.5:
            before = node.link.rate
            node.link.rate = self.shape.slowest / 10
            world.after(world.random.uniform(0.5, 6.0), self._quicken, node.link, before)
        else:
            node.store_delay = world.random.uniform(0.1, 1.0)
            world.after(world.random.uniform(0.5, 6.0), setattr, node, "store_delay", 0.001)

    @staticmethod
    def _quicken(link: Link, rate: float) -> None:
        link.rate = max(link.rate, rate)


def story(seed: int, faults: Faults, shape: Shape | None = None, parts: Parts | None = None) -> Outcome:
    """Run one story to its end.

    Raises:
        Broken: a machine broke the protocol, or the region did not come to rest with everything everywhere.
    """
    region = Region(seed, faults, shape or Shape(), parts or Parts())
    if faults != NO_FAULTS:
        region.trouble()
    world = region.world
    if not world.run(DEADLINE, MOST_EVENTS):
        raise Broken("the region did not come to rest")
    for node in region.endpoints:
        if not region.complete(node):
            raise Broken(f"{node.name} lacks {len(region.content) - len(node.store)} chunks")
    for node in region.nodes.values():
        for digest, chunk in node.store.items():
            if blake3(chunk).digest() != digest:
                raise Broken(f"{node.name} holds a damaged chunk")
        if node.sender is not None and len(node.sender.supply):
            raise Broken(f"{node.name} remembers {len(node.sender.supply)} chunks that nobody wants")
        if node.receiver is not None and not node.receiver.idle():
            raise Broken(f"{node.name} still wants something")
    for node in region.nodes.values():
        if node.link is not None:
            _check_bytes(node, sum(map(len, region.content.values())), region.shape)
    for node in region.nodes.values():
        node.write_down(now=True)
    for node in region.nodes.values():
        if node.link is not None:
            _check_books(node)
    return Outcome(world.now, sum(map(len, region.content.values())), world.injected, region)


def _check_bytes(node: Node, content: int, shape: Shape) -> None:
    """Nothing travels twice but what a fault destroyed, and what was under way when a life or a connection ended."""
    assert node.link is not None
    traffic = node.link.traffic
    damaged = traffic.lost + traffic.late + traffic.spoiled + traffic.stray
    wasted = (traffic.breaks + 1) * (shape.window + 2 * shape.largest)
    if traffic.payload > content + damaged + wasted:
        raise Broken(f"{traffic.payload} bytes to {node.name} for {content}: {traffic}")


def _check_books(node: Node) -> None:
    """The books of the two ends of every leg agree, whatever was lost, doubled, cut off or killed between them."""
    for session, balance in node.balances().items():
        if not balance.even:
            raise Broken(f"{node.name}, session {session:x}: left over: {balance}")


def only(kind: str) -> Faults:
    """No fault but one."""
    return replace(Faults(0, 0, 0, 0, 0, 0, 0, 0, 0), **{kind: getattr(Faults(steered=STEERED), kind)})
