"""A parent that has turned against its endpoint, and whoever gets at a control socket.

The server is stopped, and its broker's place is taken by one of ours, so that everything the endpoint hears is ours.
For the hostile packages we even hold the region's key: what a packager could have signed must not leave the
install root either.  The regions and folders are thrown away.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgpack
import pytest

from cluster import assert_balanced, random_tree, running
from hostile import Intruder, Watch, bombs, memory
from region import Region
from tiercast_mqtt.password import hash_password
from tiercast_protocol.content.jobs.order import Order, sign_order
from tiercast_protocol.content.sealed import merkle
from tiercast_protocol.content.sealed.chunk import seal as seal_chunk
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part, Root, encode_list, encode_root
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node import joined
from tiercast_protocol.node.brokers import BrokerConfig, open_broker
from tiercast_protocol.node.control.client import connect as control
from tiercast_protocol.wire import codec, frame
from tiercast_protocol.wire.envelope import open_, seal, wrap
from tiercast_protocol.wire.messages import (
    CATALOGUE,
    EPHEMERAL,
    Absent,
    Ack,
    GroupJoin,
    Hello,
    OrderBundle,
    OrderTarget,
    Piece,
    Report,
    Status,
    StatusRecord,
    body_of,
)

HUGE = (1 << 64) - 1


@pytest.fixture(scope="module", name="region")
def _region() -> Iterator[Region]:
    with running() as region:
        region.add_server()
        region.add_endpoint("pc")
        yield region


@pytest.fixture(scope="module", name="source")
def _source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_tree(tmp_path_factory.mktemp("app"), seed=2, files=3, size=200_000)


class Parent(Intruder):
    """The owner of the endpoint's broker: serves `library`, acknowledges, and keeps what the endpoint says."""

    def __init__(self, region: Region) -> None:
        self.me = joined.load(region.folder / "pc")
        super().__init__("server", self.me.region, "")
        self.key = PrivateKey.load(region.folder / "server" / "region.key")
        #: The region's own; a higher one would lock the true server out.
        self.epoch = next(int(n["joined"]) for n in region.cli("node", "list")["nodes"] if n["name"] == "server")
        self.library: dict[bytes, bytes] = {}
        self.session = self.received = 0
        self.records: list[StatusRecord] = []
        self.acked: set[bytes] = set()
        self.wanted: set[bytes] = set()
        self.boot = os.urandom(8)

    async def serve(self) -> None:
        """Answer the endpoint, until cancelled."""
        at = 0
        while True:
            self._news.clear()
            while at < len(self.heard):
                topic, payload = self.heard[at]
                at += 1
                if topic.endswith("/report"):
                    await self._reported(codec.decode(frame.unguarded(payload), Report))
                elif topic.endswith("/up"):
                    await self._said(payload)
            await self._news.wait()

    async def _said(self, payload: bytes) -> None:
        envelope = open_(payload)
        if envelope.kind == "ack.v1":
            self.acked.update(body_of(envelope, Ack).ids)
        if envelope.kind == "status.v1":
            self.records += body_of(envelope, Status).records
        if envelope.kind not in EPHEMERAL:
            await self.down(seal(wrap("ack.v1", Ack(ids=[envelope.id]), sender="server")))

    async def _reported(self, report: Report) -> None:
        self.session, self.received = report.session, report.received
        digests = [report.wants[at : at + 32] for at in range(0, len(report.wants), 32)]
        self.wanted.update(digests)
        for digest in digests:
            if digest in self.library:
                stored = self.library[digest]
                await self.frame([Piece(digest, len(stored), 0, len(stored))], stored)
        lacking = b"".join(digest for digest in digests if digest not in self.library)
        if lacking:
            await self.down(seal(wrap("absent.v1", Absent(digests=lacking), sender="server")))

    async def frame(self, pieces: list[Piece], payload: bytes) -> None:
        """Publish a frame of pieces."""
        await self.bulk(frame.pieces_head(pieces) + payload)

    async def bulk(self, payload: bytes) -> None:
        """Publish on the endpoint's bulk topic."""
        await self.client.publish(self.topics.bulk("server", "pc"), payload)

    async def down(self, payload: bytes) -> None:
        """Publish on the endpoint's control topic."""
        await self.client.publish(self.topics.down("server", "pc"), payload, qos=1)

    async def heard_all(self) -> None:
        """Return when the endpoint has dealt with all that we said."""
        last = wrap("unheard.of.v1", {}, sender="server")
        deadline = asyncio.get_running_loop().time() + 60
        while last.id not in self.acked:
            assert asyncio.get_running_loop().time() < deadline, "the endpoint does not answer after the attack"
            await self.down(seal(last))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    while last.id not in self.acked:
                        self._news.clear()
                        await self._news.wait()

    def order(self, job: str, root: bytes, *, key: PrivateKey | None = None, **other: object) -> OrderBundle:
        """A signed order to install `root` on the endpoint."""
        leaf = merkle.leaf_of(str(other.pop("node", "pc")), self.me.key.public, self.me.generation)
        tree = merkle.Tree([leaf])
        now = time.time_ns() // 1_000_000
        fields: dict[str, object] = {
            "region": self.me.region, "epoch": self.epoch, "job": job, "revision": 1, "type": "install",
            "package": "evil", "version": "1", "package_revision": 1, "root": root, "issued": now - 1000,
            "expires": now + 3_600_000, "targets_root": tree.root, "target_count": 1,
        }  # fmt: skip
        data, signature = sign_order(Order(**(fields | other)), key or self.key)  # type: ignore[arg-type]
        return OrderBundle(order=data, signature=signature, targets=[OrderTarget(node="pc", index=0, proof=[])])

    async def ordered(self, bundle: OrderBundle) -> None:
        """Send an order."""
        await self.down(seal(wrap("order.v1", bundle, sender="server")))

    def final(self, job: str) -> StatusRecord | None:
        """The endpoint's last word on a job."""
        ends = [r for r in self.records if r.job == job and r.receipt]
        return ends[-1] if ends else None


@asynccontextmanager
async def hostile_parent(region: Region) -> AsyncIterator[Parent]:
    """The server's place, taken; afterwards the true server is back."""
    parent = Parent(region)
    region.kill("server", signal.SIGTERM)
    folder = region.folder / "taken"
    config = BrokerConfig(mode="embedded", listen=f"127.0.0.1:{region.daemons['server'].port}")
    users = {"pc": hash_password(parent.me.password)}
    try:
        async with open_broker(config, folder=folder, region=parent.me.region, owner="server", users=users) as broker:
            await parent.connect(region.daemons["server"].port, broker.owner_login[1])
            try:
                await parent.client.subscribe(parent.topics.up("pc"), qos=1)
                await parent.client.subscribe(parent.topics.report("pc"))
                async with asyncio.TaskGroup() as tasks:
                    serving = tasks.create_task(parent.serve())

                    def there() -> bool:
                        return any(topic.endswith("/up") for topic, _ in parent.heard)

                    await parent.until(there, "the endpoint comes to us")
                    await parent.down(seal(wrap("hello.v1", Hello(boot=parent.boot, role="server"), sender="server")))
                    await parent.until(lambda: parent.session != 0, "the endpoint reports to us")
                    yield parent
                    serving.cancel()
            finally:
                await parent.client.close()
    finally:
        region.restart("server")


def packed(entries: list[Entry], raw: bytes, *, lists: list[bytes] | None = None) -> tuple[bytes, dict[bytes, bytes]]:
    """(root, chunks) of a package with these entries, however impossible."""
    library = dict([seal_chunk(raw)])
    digests = []
    for one in lists if lists is not None else [encode_list(entries)]:
        digest, stored = seal_chunk(one)
        library[digest] = stored
        digests.append(digest)
    files = [entry for entry in entries if entry.kind is Kind.FILE]
    head = Root(
        format=1, chunking="tc1", name="evil", version="1", revision=1, definition='name = "evil"\nversion = "1"\n',
        lists=digests, files=len(files), size=sum(entry.size for entry in files), chunks=1, chunk_bytes=len(raw),
    )  # fmt: skip
    root, stored = seal_chunk(encode_root(head))
    library[root] = stored
    return root, library


def hostile_packages(outside: Path) -> dict[str, tuple[bytes, dict[bytes, bytes]]]:
    """Packages that would write to, or point at, what is not theirs."""
    raw = b"#!/bin/sh\necho hurt\n"
    digest = digest_of(raw)

    def file(path: str) -> Entry:
        return Entry(path, Kind.FILE, 0o644, len(raw), digest=digest, parts=(Part(digest, 0, len(raw)),))

    def link(path: str, target: str) -> Entry:
        return Entry(path, Kind.LINK, target=target)

    columns = msgpack.unpackb(encode_list([file("x")]))
    device = [*columns]
    device[2] = b"\x05"
    longer = [*columns]
    longer[6] = [HUGE]
    cases: dict[str, list[Entry]] = {
        "up": [file("../hurt")],
        "up-within": [Entry("a", Kind.FOLDER, 0o755), file("a/../../hurt")],
        "absolute": [file(str(outside / "hurt"))],
        "dot": [file("./hurt")],
        "nul": [file("hurt\0x")],
        "empty": [file("")],
        "long": [file("x/" * 2100 + "x")],
        "link-absolute": [link("a", str(outside))],
        "link-up": [link("a", "../../..")],
        "behind-link": [link("a", "."), file("a/hurt")],
        "behind-link-out": [link("a", str(outside)), file("a/hurt")],
        "below-file": [file("a"), file("a/hurt")],
        "twice": [file("a"), file("a")],
        "no-folder": [file("a/b/hurt")],
        "capitals": [file("HURT"), file("hurt")],
    }
    made = {name: packed(entries, raw) for name, entries in cases.items()}
    made["device"] = packed([file("x")], raw, lists=[msgpack.packb(device)])
    made["too-large"] = packed([file("x")], raw, lists=[msgpack.packb(longer)])
    made["no-list"] = packed([file("x")], raw, lists=[raw])
    made["nested"] = packed([file("x")], raw, lists=[b"\x91" * 200_000])
    return made


def everything_below(folder: Path) -> set[str]:
    """All paths in `folder`."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


async def test_a_parent_that_sends_garbage_lies_and_forges(region: Region, source: Path, tmp_path: Path) -> None:
    Watch(region, source, "pc")  # an install that leaves something to spoil
    pc = region.daemons["pc"]
    outside = tmp_path / "outside"
    outside.mkdir()
    # everything where a hostile package could land, but what the daemons themselves keep
    before = {path for path in everything_below(region.folder) if path.startswith("pc-apps")}
    async with hostile_parent(region) as parent:
        small = memory(pc.pid)
        await garbage(parent)
        await lies_about_chunks(parent)
        await forged_orders(parent)
        assert memory(pc.pid) - small < 100
        await packages(parent, outside)
        assert not everything_below(outside)
        assert not [path for path in everything_below(region.folder) if "hurt" in path.lower()]
        after = {path for path in everything_below(region.folder) if path.startswith("pc-apps")}
        assert {path for path in after - before if not path.startswith("pc-apps/.")} <= set(), after - before
        assert pc.process is not None
        assert pc.process.poll() is None
    assert "Traceback" not in pc.log.read_text(errors="replace")
    # the true server is back, in the same life of the endpoint
    Watch(region, source, "pc").unharmed()
    assert_balanced(region)


async def garbage(parent: Parent) -> None:
    """Nonsense on both topics of the endpoint."""
    rng = random.Random(21)
    values: list[object] = [None, 0, HUGE, "", b"", [], {}, {"boot": b"x" * 1000}, {"ids": [b"1"] * 9}, {"group": HUGE}]
    for payload in [*bombs(), *(rng.randbytes(size) for size in (0, 1, 3, 4, 5, 24, 48, 200, 70_000))]:
        await parent.down(payload)
        await parent.bulk(payload)
        await parent.bulk(b"T2" + payload)
        await parent.bulk(b"T2\x01\xff" + payload)
    for kind in (*CATALOGUE, "order.v2"):
        for value in values:
            for to in ("", "pc", "server", "x" * 255):
                sender = rng.choice(["server", "pc", "", "x" * 255])
                await parent.down(seal(wrap(kind, value, sender=sender, to=to)))
    for group in range(300):
        await parent.down(seal(wrap("group.join.v1", GroupJoin(group=group, epoch=parent.boot), sender="server")))
    await parent.heard_all()
    for _ in range(300):
        await parent.down(seal(wrap("hello.v1", Hello(boot=os.urandom(8)), sender="server")))
    await parent.down(seal(wrap("hello.v1", Hello(boot=parent.boot), sender="server")))
    await parent.heard_all()


async def lies_about_chunks(parent: Parent) -> None:
    """Marks with absurd numbers, pieces of what nobody asked, sizes that change, bytes that are not the digest's."""
    for mark, charged in ((0, 0), (1, HUGE), ((1 << 32) - 1, HUGE), ((1 << 32) - 1, 0), (5, 1 << 63), (7, 1 << 62)):
        for session in (parent.session, 0, HUGE):
            await parent.bulk(frame.mark_frame(frame.Mark(session, mark, charged)))
    for mark in range(10, 2000):
        await parent.bulk(frame.mark_frame(frame.Mark(parent.session, mark, 0)))
    for _ in range(100):
        await parent.frame([Piece(os.urandom(32), 1 << 20, 0, 60_000)], bytes(60_000))
    asked = [os.urandom(32) for _ in range(400)]
    entries = [
        Entry(f"f{n:04}", Kind.FILE, 0o644, 10, digest=digest, parts=(Part(digest, 0, 10),))
        for n, digest in enumerate(asked)
    ]
    root, library = packed(entries, b"never used")
    parent.library.update(library)
    for digest in asked:  # wanted, and never true
        parent.library[digest] = b"\0not these"
    await parent.ordered(parent.order("lies", root))
    await parent.until(lambda: parent.wanted.issuperset(asked), "the endpoint asks for the chunks")
    for digest in asked:
        await parent.frame([Piece(digest, 2, 0, 1)], b"x")
    for digest in asked:
        await parent.frame([Piece(digest, 1 << 20, 0, 1)], b"x")
    for digest in asked:
        await parent.frame([Piece(digest, 10, 0, 10)], b"0123456789")
    await parent.heard_all()
    await parent.down(seal(wrap("absent.v1", Absent(digests=b"".join(asked)), sender="server")))
    cancel = parent.order("lies", b"", revision=2, type="cancel", package="", version="", package_revision=0)
    await parent.ordered(cancel)
    await parent.until(lambda: parent.final("lies") is not None, "the job of lies ends")
    final = parent.final("lies")
    assert final is not None
    assert final.state != "done"


async def forged_orders(parent: Parent) -> None:
    """Orders that the region did not give, or not now, or not to this node; none of them has an effect."""
    raw = b"fine"
    digest = digest_of(raw)
    root, library = packed([Entry("a", Kind.FILE, 0o644, 4, digest=digest, parts=(Part(digest, 0, 4),))], raw)
    parent.library.update(library)
    now = time.time_ns() // 1_000_000
    stranger = PrivateKey.generate()
    good = parent.order("good", root)
    without = OrderBundle(order=good.order, signature=good.signature, targets=[])
    altered = OrderBundle(order=good.order[:-1] + b"\0", signature=good.signature, targets=good.targets)
    other = OrderBundle(
        order=good.order, signature=good.signature, targets=[OrderTarget(node="pc", index=1 << 60, proof=[b""] * 900)]
    )
    silent = [
        parent.order("stranger", root, key=stranger),
        parent.order("other-node", root, node="pc-2"),
        parent.order("other-region", root, region="elsewhere"),
        without, altered, other,
    ]  # fmt: skip
    for bundle in silent:
        await parent.ordered(bundle)
    refused = {"expired": parent.order("expired", root, issued=now - 5000, expires=now - 1000)}
    refused["old-epoch"] = parent.order("old-epoch", root, epoch=parent.epoch - 1)
    for bundle in refused.values():
        await parent.ordered(bundle)
    await parent.ordered(parent.order("preload", root, type="preload"))
    await parent.heard_all()
    await parent.until(lambda: all(parent.final(job) for job in (*refused, "preload")), "what is refused is said to be")
    assert [r.job for r in parent.records if r.state == "done"] == []
    known = {r.job for r in parent.records}
    assert not known & {"stranger", "other-node", "other-region", "good"}, known


async def packages(parent: Parent, outside: Path) -> None:
    """Content that the region did sign: whatever it names, nothing of it is outside the install root."""
    cases = hostile_packages(outside)
    for name, (root, library) in cases.items():
        parent.library.update(library)
        await parent.ordered(parent.order(f"p-{name}", root))
    await parent.until(lambda: all(parent.final(f"p-{name}") for name in cases), "every hostile package ends", 90)
    ends = {name: final.state for name in cases if (final := parent.final(f"p-{name}")) is not None}
    assert {name for name, state in ends.items() if state == "done"} == set(), ends
    # an old order, replayed: its end is said again, and nothing else
    bundle = parent.order("p-up", cases["up"][0])
    await parent.ordered(bundle)
    await parent.heard_all()


def hostile_frames(rng: random.Random) -> Iterator[bytes]:
    """What a client of a control socket may send."""

    def framed(value: object) -> bytes:
        body = msgpack.packb(value)
        return struct.pack(">I", len(body)) + body

    for size in (1, 3, 4, 5, 100, 100_000):
        yield rng.randbytes(size)
    for length in (0, 5 << 20, 1 << 31, (1 << 32) - 1):
        yield struct.pack(">I", length) + rng.randbytes(1000)
    for body in bombs():
        yield struct.pack(">I", len(body)) + body
    wrong: list[object] = [None, 0, -1, HUGE, "x", "x" * 100_000, b"\xff", [], {}, [[]], {"a": 1}, 1.5, True]
    verbs = ("status", "job.list", "job.show", "job.create", "node.invite", "package.store", "package.missing",
             "package.register", "depot.pin", "link.set", "group.add", "names", "packages", "jobs")  # fmt: skip
    keys = (
        "limit",
        "job",
        "node",
        "name",
        "package",
        "targets",
        "digests",
        "chunks",
        "root",
        "rate",
        "kind",
        "members",
    )
    for value in wrong:
        yield framed(value)
        yield framed({"id": value, "verb": "status"})
        yield framed({"id": 1, "verb": value, "args": {}})
        yield framed({"id": 1, "verb": "status", "args": value})
        yield framed({"id": 1, "cancel": value})
        yield b"".join(
            framed({"id": n, "verb": verb, "args": dict.fromkeys(keys, value)}) for n, verb in enumerate(verbs, 1)
        )
    yield b"".join(framed({"id": n, "verb": "status"}) for n in range(1, 500))


@pytest.fixture(scope="module", name="watch")
def _watch(region: Region, source: Path) -> Watch:
    """From here on the region is not taken apart any more."""
    return Watch(region, source, "pc")


def test_control_sockets_take_anything(region: Region, watch: Watch) -> None:
    for name in ("server", "pc"):
        path = str(region.daemons[name].socket)
        for sent in hostile_frames(random.Random(22)):
            with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
                client.settimeout(5)
                client.connect(path)
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):
                    pass
        crowd: list[socket.socket] = []
        try:
            for _ in range(600):  # nobody says a word
                crowd.append(socket.socket(socket.AF_UNIX))
                crowd[-1].settimeout(2)
                with suppress(OSError):
                    crowd[-1].connect(path)
        finally:
            for client in crowd:
                client.close()
    watch.unharmed()
    watch.not_grown()
    for name in ("server", "pc"):
        assert region.cli("node", "status", at=name, check=False) is not None


async def test_a_stream_that_nobody_reads_fills_nothing(region: Region, watch: Watch) -> None:
    job = region.cli("job", "list")["jobs"][0]["job"]
    body = msgpack.packb({"id": 1, "verb": "job.watch", "args": {"job": job}})
    ask: Callable[[int], bytes] = lambda n: msgpack.packb({"id": n, "verb": "status", "args": {}})  # noqa: E731
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(region.daemons["server"].socket))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        client.sendall(struct.pack(">I", len(body)) + body)
        with suppress(BlockingIOError):
            for n in range(2, 20_000):
                client.sendall(struct.pack(">I", len(ask(n))) + ask(n))
        watch.unharmed()
        async with control(region.daemons["server"].socket) as honest:
            assert (await honest.call("status"))["name"] == "server"
    watch.not_grown()
