"""One parent with its own broker and children that fetch from it: what the tests of a hop are made of.

Rules
- Real brokers as processes, real connections, real stores; only what stands above is made up (`FakeAbove`).
- Everything ends with its context: no task, no process is left.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tiercast_gateway.above import ParentAbove
from tiercast_gateway.subtree import SubTree
from tiercast_gateway.subtree_config import SubTreeConfig
from tiercast_gateway.subtree_opening import open_subtree
from tiercast_mqtt.password import hash_password
from tiercast_protocol.content.jobs.order import Order, sign_order
from tiercast_protocol.content.sealed import merkle
from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part, Root, cut_lists, encode_root
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.proving import Prover
from tiercast_protocol.node.arrivals import Arrivals
from tiercast_protocol.node.brokers import BrokerConfig
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.post import Post
from tiercast_protocol.node.taking import Placer
from tiercast_protocol.node.upstream import Upstream
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import Admitted, Message, OrderBundle, OrderTarget

REGION = "test"
PASSWORD = "secret"
HASH = hash_password(PASSWORD)


@dataclass
class FakeAbove:
    """What stands above: remembers what was said, and gives the chunks of `library` when they are wanted."""

    library: dict[bytes, bytes] = field(default_factory=dict)
    parent: str = ""
    connected: bool = True
    path: Sequence[str] = ()
    answers: bool = True
    said: list[tuple[Message, str]] = field(default_factory=list)
    forwarded: list[Envelope] = field(default_factory=list)
    wanted: list[bytes] = field(default_factory=list)
    unwanted: list[bytes] = field(default_factory=list)
    subtree: SubTree | None = None

    def attach(self, subtree: SubTree) -> None:
        self.subtree = subtree

    async def transmit(self, payload: bytes) -> None:
        raise AssertionError("there is no parent")

    async def send(self, message: Message, *, to: str = "", cause: str = "") -> None:
        self.said.append((message, to))

    async def forward(self, envelope: Envelope) -> None:
        self.forwarded.append(envelope)

    def want(self, digests: Sequence[bytes], job: str = "") -> None:
        self.wanted += digests
        if self.answers:
            asyncio.get_running_loop().create_task(self.give(digests))

    def unwant(self, digests: Sequence[bytes]) -> None:
        self.unwanted += digests

    async def give(self, digests: Sequence[bytes]) -> None:
        assert self.subtree is not None
        for digest in digests:
            stored = self.library.get(digest)
            if stored is None:
                self.subtree.chunk_absent(digest, "unknown")
            else:
                await self.subtree.depot.put(digest, stored)
                self.subtree.chunk_arrived(digest, len(stored))


@dataclass
class ChildNode:
    """A child with its own store and outbox."""

    name: str
    upstream: Upstream
    store: DiskStore
    post: Post
    received: list[tuple[str, Envelope]] = field(default_factory=list)


def chunks(count: int, size: int = 40_000, seed: bytes = b"") -> dict[bytes, bytes]:
    """That many chunks of random bytes: digest to stored form."""
    made = [seal(os.urandom(size) + seed) for _ in range(count)]
    return dict(made)


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until the condition holds, looking every few milliseconds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the conditions are looked up, nobody sets an event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def parent_node(
    folder: Path,
    *,
    kind: str = "embedded",
    children: Sequence[str] = ("one", "two"),
    above: FakeAbove | None = None,
    listen: str = "127.0.0.1:0",
    name: str = "parent",
    key: PrivateKey | None = None,
    own_key: PrivateKey | None = None,
    prover: Prover | None = None,
) -> AsyncIterator[SubTree]:
    """A sub-tree of its own, with these children admitted, connected to its broker."""
    config = SubTreeConfig(
        me=name,
        region=REGION,
        role="gateway",
        folder=folder / name,
        region_key=(key or PrivateKey.generate()).public,
        key=own_key,
        generation=1,
        prover=prover,
        broker=BrokerConfig(mode=kind, listen=listen),
        reserve=0,
    )
    async with open_subtree(config, above or FakeAbove()) as subtree:
        for child in children:
            await subtree.admit(admitted(child, name))
        async with asyncio.timeout(60):
            await subtree.downlink.ready.wait()
        yield subtree


def admitted(name: str, parent: str, role: str = "endpoint") -> Admitted:
    """The region's word that the node joined, with the tests' password."""
    return Admitted(name=name, role=role, parent=parent, public_key=b"k" * 32, password_hash=HASH, generation=1)


def remember(into: list[tuple[str, Envelope]]) -> Callable[[str, Envelope], Awaitable[None]]:
    """A handler that keeps what came, and from whom."""

    async def handler(peer: str, envelope: Envelope) -> None:
        into.append((peer, envelope))

    return handler


@asynccontextmanager
async def child_node(
    folder: Path, name: str, url: str, *, parent: str = "parent", placer: Placer | None = None
) -> AsyncIterator[ChildNode]:
    """A child, running; it is connected a moment later."""
    place = folder / name
    place.mkdir(exist_ok=True)
    async with (
        Database.open(place / "node.db", [(1, Post.SCHEMA)]) as db,
        DiskStore.open(place / "chunks", reserve=0) as store,
    ):
        late: list[Upstream] = []

        async def transmit(peer: str, payload: bytes) -> None:
            await late[0].transmit(payload)

        post = Post(db, me=name, transmit=transmit)
        upstream = Upstream(
            me=name,
            region=REGION,
            parent=parent,
            url=url,
            login=(name, PASSWORD),
            store=store,
            post=post,
            placer=placer,
        )
        late.append(upstream)
        node = ChildNode(name, upstream, store, post)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(upstream.run()), tasks.create_task(post.run())]
            try:
                yield node
            finally:
                for task in running:
                    task.cancel()


@asynccontextmanager
async def gateway_node(
    folder: Path,
    name: str,
    parent: SubTree,
    key: PrivateKey,
    *,
    own_key: PrivateKey | None = None,
    kind: str = "embedded",
    quota: int | None = None,
) -> AsyncIterator[SubTree]:
    """A whole gateway below `parent` (which must have admitted it), as the daemon puts it together."""
    above = ParentAbove(parent.name)
    config = SubTreeConfig(
        me=name,
        region=REGION,
        role="gateway",
        folder=folder / name,
        region_key=key.public,
        key=own_key or PrivateKey.generate(),
        generation=1,
        broker=BrokerConfig(mode=kind),
        reserve=0,
        quota=quota,
    )
    async with open_subtree(config, above, fetcher=above) as subtree:
        upstream = Upstream(
            me=name,
            region=REGION,
            parent=parent.name,
            url=parent.broker.children_url,
            login=(name, PASSWORD),
            store=subtree.depot,
            post=subtree.post,
            on_chunk=subtree.chunk_arrived,
            on_absent=subtree.chunk_absent,
            role="gateway",
        )
        above.join(upstream)
        subtree.books.arrivals = Arrivals(subtree.books.ledger, upstream)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(upstream.run())
            try:
                async with asyncio.timeout(60):
                    await subtree.downlink.ready.wait()
                await until(lambda: upstream.connected)
                yield subtree
            finally:
                running.cancel()


@dataclass
class MadePackage:
    """A package out of nothing: its root, all its stored chunks, and the raw bytes of its files."""

    root: bytes
    chunks: dict[bytes, bytes]
    size: int

    @property
    def stored(self) -> int:
        """Bytes of all chunks as they travel."""
        return sum(map(len, self.chunks.values()))


def made_package(files: int, size: int = 30_000, name: str = "tool", version: str = "1.0") -> MadePackage:
    """A package of that many files of random bytes, a chunk each."""
    held: dict[bytes, bytes] = {}
    entries = []
    for n in range(files):
        digest, stored = seal(os.urandom(size))
        held[digest] = stored
        part = Part(digest, 0, size)
        entries.append(Entry(f"f{n:06d}", Kind.FILE, 0o644, size, digest=digest, parts=(part,)))
    lists = []
    for raw in cut_lists(entries):
        digest, stored = seal(raw)
        held[digest] = stored
        lists.append(digest)
    total = files * size
    head = Root(
        format=1,
        chunking="tc1",
        name=name,
        version=version,
        revision=1,
        definition="",
        lists=lists,
        files=files,
        size=total,
        chunks=files,
        chunk_bytes=total,
    )
    root, stored = seal(encode_root(head))
    held[root] = stored
    return MadePackage(root, held, total)


def order_for(
    key: PrivateKey,
    nodes: dict[str, bytes],
    *,
    job: str = "j1",
    type_: str = "install",
    root: bytes = b"",
    revision: int = 1,
    expires_s: float = 3600.0,
    package: str = "tool",
    region: str = REGION,
    options: dict[str, str | int | bool] | None = None,
) -> OrderBundle:
    """A signed order for these nodes (name to public key, generation 1)."""
    tree = merkle.Tree([merkle.leaf_of(name, public, 1) for name, public in nodes.items()])
    now = time.time_ns() // 1_000_000
    order = Order(
        region=region,
        epoch=1,
        job=job,
        revision=revision,
        type=type_,
        package=package,
        version="1.0",
        package_revision=1,
        root=root,
        issued=now - 10_000,
        expires=int(now + expires_s * 1000),
        targets_root=tree.root,
        target_count=len(nodes),
        options=options or {},
    )
    data, signature = sign_order(order, key)
    targets = [OrderTarget(node=name, index=n, proof=tree.proof(n)) for n, name in enumerate(nodes)]
    return OrderBundle(order=data, signature=signature, targets=targets)
