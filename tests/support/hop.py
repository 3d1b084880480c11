"""One parent with its own broker and children that fetch from it: what the tests of a hop are made of.

Rules
- Real brokers as processes, real connections, real stores; only what stands above is made up (`FakeAbove`).
- Everything ends with its context: no task, no process is left.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tiercast_gateway.subtree import SubTree, SubTreeConfig, open_subtree
from tiercast_mqtt.password import hash_password
from tiercast_protocol.content.chunk import seal
from tiercast_protocol.content.keys import PrivateKey
from tiercast_protocol.node.brokers import BrokerConfig
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.post import Post
from tiercast_protocol.node.upstream import Upstream
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import Admitted, Message

REGION = "test"
PASSWORD = "secret"
HASH = hash_password(PASSWORD)


@dataclass
class FakeAbove:
    """What stands above: remembers what was said, and gives the chunks of `library` when they are wanted."""

    library: dict[bytes, bytes] = field(default_factory=dict)
    parent: str = ""
    connected: bool = True
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

    def want(self, digests: Sequence[bytes]) -> None:
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


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until the condition holds, looking every few milliseconds."""
    async with asyncio.timeout(seconds):
        while not condition():
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
) -> AsyncIterator[SubTree]:
    """A sub-tree of its own, with these children admitted, connected to its broker."""
    config = SubTreeConfig(
        me=name,
        region=REGION,
        role="gateway",
        folder=folder / name,
        region_key=(key or PrivateKey.generate()).public,
        broker=BrokerConfig(mode=kind, listen=listen),
        reserve=0,
    )
    async with open_subtree(config, above or FakeAbove()) as subtree:
        for child in children:
            await subtree.admit(admitted(child, name))
        async with asyncio.timeout(20):
            await subtree.downlink.ready.wait()
        yield subtree


def admitted(name: str, parent: str, role: str = "endpoint") -> Admitted:
    """The region's word that the node joined, with the tests' password."""
    return Admitted(name=name, role=role, parent=parent, public_key=b"k" * 32, password_hash=HASH, generation=1)


@asynccontextmanager
async def child_node(folder: Path, name: str, url: str, *, parent: str = "parent") -> AsyncIterator[ChildNode]:
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
            me=name, region=REGION, parent=parent, url=url, login=(name, PASSWORD), store=store, post=post
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
