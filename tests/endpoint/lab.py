"""A region's half, an agent's half and packages, small enough for a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tiercast_endpoint.acting import effects
from tiercast_endpoint.acting.native import Tools
from tiercast_endpoint.acting.performing import Acting
from tiercast_endpoint.facts.checking import Checks
from tiercast_endpoint.facts.judging import Judging
from tiercast_endpoint.halves import halves
from tiercast_endpoint.halves.halves import Halves, SeenRoot
from tiercast_endpoint.jobs import confirming, former, journal, rebooting
from tiercast_endpoint.jobs.actions import Actions
from tiercast_endpoint.jobs.confirming import Confirming, Parents
from tiercast_endpoint.jobs.install import Step
from tiercast_endpoint.jobs.jobs import Jobs
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.orders import Identity, open_bundle
from tiercast_endpoint.jobs.powering import PowerSettings
from tiercast_endpoint.jobs.rebooting import Rebooting
from tiercast_endpoint.jobs.reports import Reporter
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.jobs.steps import Steps
from tiercast_endpoint.owner import choices, messages, preferring
from tiercast_endpoint.owner.choosing import Choosing
from tiercast_endpoint.owner.watching import Watching
from tiercast_endpoint.trees import holdings, patches
from tiercast_endpoint.trees.materials import Limits, Materials
from tiercast_endpoint.trees.partial import PartialTrees
from tiercast_endpoint.trees.placing import Placing
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.selection import Chooser
from tiercast_endpoint.trees.verifying import Verifying
from tiercast_endpoint.why import Machine, Why
from tiercast_protocol.content.facts.inventory import Facts
from tiercast_protocol.content.jobs.order import Order, sign_order
from tiercast_protocol.content.jobs.receipt import Receipt, open_receipt
from tiercast_protocol.content.package.check import Check
from tiercast_protocol.content.package.confirmed import Confirmation
from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.content.package.handler import Handler
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.content.sealed import merkle
from tiercast_protocol.content.sealed.chunk import MAX_RAW, seal
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part, Root, cut_lists, encode_root, order_key
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.chunks.port import WritableStore
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database, Unit
from tiercast_protocol.node.files import Files
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.node.sqlite import Connect, connect_sqlite
from tiercast_protocol.wire import envelope
from tiercast_protocol.wire.messages import Message, OrderBundle, OrderTarget, Status, StatusRecord

ME, REGION, PARENT = "pc1", "lab", "server"
USUAL = Facts(
    name=ME, os="linux", distribution="debian", version="12", kernel="6.1", architecture="x86_64", cpus=4,
    memory=8 * 10**9, disk_free=10**11, disk_total=10**12, python="3.11", agent="1",
)  # fmt: skip


@dataclass
class Package:
    """A sealed package: its root's digest and all its chunks."""

    name: str
    version: str
    root: bytes
    chunks: dict[bytes, bytes]
    files: dict[str, bytes | str | None]
    data: set[bytes]


Content = dict[str, bytes | str | None]


def pack(
    name: str,
    version: str,
    files: Content,
    /,
    *,
    revision: int = 1,
    **definition: Program | Check | Handler | Confirmation | bool | str | tuple[object, ...] | None,
) -> Package:
    """Seal a package: bytes are files, texts are links, None is a folder.  Small files share one chunk."""
    chunks: dict[bytes, bytes] = {}
    data: set[bytes] = set()

    def add(raw: bytes) -> bytes:
        digest, stored = seal(raw)
        chunks[digest] = stored
        return digest

    shared = b"".join(c for c in files.values() if isinstance(c, bytes) and len(c) < 64)
    entries: list[Entry] = []
    offset = 0
    for path in sorted(files, key=order_key):
        content = files[path]
        if content is None:
            entries.append(Entry(path, Kind.FOLDER, 0o755))
        elif isinstance(content, str):
            entries.append(Entry(path, Kind.LINK, target=content))
        else:
            entries.append(
                Entry(
                    path, Kind.FILE, 0o755 if path.endswith(".sh") else 0o644, len(content), digest=digest_of(content)
                )
            )
    shared = b"".join(content for e in entries if isinstance(content := files[e.path], bytes) and 0 < len(content) < 64)
    pack_digest = add(shared) if shared else b""
    if shared:
        data.add(pack_digest)
    whole: list[Entry] = []
    for e in entries:
        content = files[e.path]
        parts: list[Part] = []
        if isinstance(content, bytes) and 0 < len(content) < 64:
            parts = [Part(pack_digest, offset, len(content))]
            offset += len(content)
        elif isinstance(content, bytes):
            for at in range(0, len(content), MAX_RAW // 4):
                piece = content[at : at + MAX_RAW // 4]
                digest = add(piece)
                data.add(digest)
                parts.append(Part(digest, 0, len(piece)))
        whole.append(Entry(e.path, e.kind, e.mode, e.size, e.target, e.digest, tuple(parts)))
    lists = [add(raw) for raw in cut_lists(whole)] if whole else []
    text = canonical(Definition(name, version, revision, **definition))  # type: ignore[arg-type]
    sizes = [len(c) for c in files.values() if isinstance(c, bytes)]
    root = Root(
        format=1, chunking="tc1", name=name, version=version, revision=revision, definition=text, lists=lists,
        files=len(sizes), size=sum(sizes), chunks=len(data), chunk_bytes=sum(sizes),
    )  # fmt: skip
    return Package(name, version, add(encode_root(root)), chunks, files, data)


@dataclass
class FakeFetcher:
    """Brings chunks out of a dictionary; `gate` holds it up while it is cleared.

    A link takes its time: of `late` each comes only when a tree expects it.
    """

    store: WritableStore
    chunks: dict[bytes, bytes] = field(default_factory=dict)
    fetched: list[bytes] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: list[tuple[bytes, str]] = field(default_factory=list)
    unwanted: list[bytes] = field(default_factory=list)
    late: set[bytes] = field(default_factory=set)

    def want(self, digests: Sequence[bytes], job: str = "") -> None:
        self.wanted += [(digest, job) for digest in digests]

    def unwant(self, digests: Sequence[bytes]) -> None:
        self.unwanted += digests

    def __post_init__(self) -> None:
        self.gate.set()

    async def fetch(self, digests: Sequence[bytes], job: str = "") -> None:
        for digest in digests:
            if await self.store.has(digest):
                continue
            await self.gate.wait()
            if digest not in self.chunks:
                raise ChunkMissing(digest)
            self.fetched.append(digest)
            if digest in self.late and isinstance(self.store, Placing):
                async with asyncio.timeout(60):
                    while digest not in self.store._places:  # noqa: ASYNC110 - no event for us
                        await asyncio.sleep(0.001)
            (taken,) = await self.store.put_many([(digest, self.chunks[digest])])
            if isinstance(taken, Exception):
                raise taken


@dataclass
class FakePost:
    """Keeps what was sent."""

    records: list[StatusRecord] = field(default_factory=list)
    final: asyncio.Condition = field(default_factory=asyncio.Condition)
    db: Database | None = None

    def unanswered(self, peer: str) -> bool:
        del peer
        return False

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
        assert isinstance(message, Status)
        assert peer == PARENT
        if also is not None:
            assert self.db is not None
            await self.db.write(also)
        async with self.final:
            self.records += message.records
            self.final.notify_all()
        return b"x" * 16

    async def pending(self, limit: int = 1000) -> list[Any]:
        del limit
        return []


@dataclass
class Region:
    """Signs orders for the node ME."""

    key: PrivateKey
    node_key: PrivateKey
    generation: int = 1
    epoch: int = 1

    @property
    def identity(self) -> Identity:
        return Identity(REGION, self.key.public, ME, self.node_key.public, self.generation)

    def __getstate__(self) -> dict[str, object]:
        """For the crash tests, whose agents are processes of their own."""
        seeds = {name: getattr(self, name)._key.private_bytes_raw() for name in ("key", "node_key")}
        return {**self.__dict__, **seeds}

    def __setstate__(self, state: dict[str, object]) -> None:
        seeds = {name: PrivateKey(seed) for name in ("key", "node_key") if isinstance(seed := state[name], bytes)}
        self.__dict__.update({**state, **seeds})

    def bundle(self, order: Order) -> OrderBundle:
        leaf = merkle.leaf_of(ME, self.node_key.public, self.generation)
        tree = merkle.Tree([leaf, b"other"])
        data, signature = sign_order(order, self.key)
        return OrderBundle(
            order=data, signature=signature, targets=[OrderTarget(node=ME, index=0, proof=tree.proof(0))]
        )

    def order(
        self,
        job: str,
        type_: str,
        package: Package | None,
        *,
        revision: int = 1,
        issued: int | None = None,
        life_ms: int = 3_600_000,
        epoch: int | None = None,
        options: dict[str, str | int | bool] | None = None,
    ) -> Order:
        leaf = merkle.leaf_of(ME, self.node_key.public, self.generation)
        issued = issued or int(time.time() * 1000)
        return Order(
            region=REGION,
            epoch=self.epoch if epoch is None else epoch,
            job=job,
            revision=revision,
            type=type_,
            package=package.name if package else "",
            version=package.version if package else "",
            package_revision=1 if package else 0,
            root=package.root if package else b"",
            issued=issued,
            expires=issued + life_ms,
            targets_root=merkle.root([leaf, b"other"]),
            target_count=2,
            options=options or {},
        )


@dataclass
class Agent:
    """One life of an agent over a folder."""

    folder: Path
    region: Region
    db: Database
    store: DiskStore
    root: RootFolder
    fetcher: FakeFetcher
    post: FakePost
    steps: Steps
    jobs: Jobs
    materials: Materials
    restart: asyncio.Event
    looks: list[int]
    #: What the machine is, beside what is installed.
    facts: dict[str, Any]
    choosing: Choosing
    verbs: Verbs
    watching: Watching
    halves: Halves | None = None

    async def owner(self, verb: str, **args: Any) -> Any:
        """What a verb of the socket answers to the owner, who is called alice."""
        handler: Any = self.verbs.named(verb).handler
        return await handler(Call(verb, args, Peer(1, 1000, 1000), "operator", "alice", "cause"))

    def offer(self, *packages: Package) -> None:
        for package in packages:
            self.fetcher.chunks.update(package.chunks)

    async def order(self, order: Order) -> None:
        await self.give(self.region.bundle(order))

    async def give(self, bundle: OrderBundle) -> None:
        if self.halves is not None:
            order = open_bundle(bundle, self.region.identity)
            await self.halves.hear(bundle, order.job, order.revision, order.expires)
        await self.jobs.on_order(PARENT, envelope.wrap("order.v1", bundle, sender=PARENT))

    async def ended(self, job: str, revision: int = 1, limit_s: float = 60.0) -> StatusRecord:
        """The job's final record, when it came."""
        async with asyncio.timeout(limit_s), self.post.final:
            while True:
                for record in self.post.records:
                    if (record.job, record.revision) == (job, revision) and record.receipt:
                        return record
                await self.post.final.wait()

    async def do(self, job: str, type_: str, package: Package | None, **more: Any) -> StatusRecord:
        await self.order(self.region.order(job, type_, package, **more))
        return await self.ended(job, more.get("revision", 1))

    def receipt(self, record: StatusRecord) -> Receipt:
        return open_receipt(record.receipt, record.signature, self.region.node_key.public)

    def tree(self, name: str) -> Content | None:
        """What the name shows: paths with content; None when there is no such name."""
        top = self.root.path / name
        if not top.exists():
            return None
        found: Content = {}
        for path in sorted(top.resolve().rglob("*")):
            key = str(path.relative_to(top.resolve()))
            found[key] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        return found

    async def row(self, job: str, revision: int = 1) -> Job:
        found = await self.db.read(lambda connection: journal.job_at(connection, job, revision))
        assert found is not None
        return found


async def unwatched(_moment: str, _step: Step) -> None:
    return


@asynccontextmanager
async def agent_over(
    folder: Path,
    region: Region,
    *,
    limits: Limits | None = None,
    watch: Callable[[str, Step], Awaitable[None]] = unwatched,
    chunks: dict[bytes, bytes] | None = None,
    clock: Callable[[], int] = lambda: int(time.time() * 1000),
    root_half: Path | None = None,
    variables: dict[str, str] | None = None,
    tools: Tools | None = None,
    files: Files | None = None,
    connect: Connect = connect_sqlite,
    readers: int = 1,
    wrap: Callable[[Performer], Performer] | None = None,
    pace: float = 1.0,
    reboots: PowerSettings | None = None,
) -> AsyncIterator[Agent]:
    """An agent whose parent is a dictionary of chunks; `root_half` is the socket of the other half, if it has one.

    Store and databases may lie elsewhere than on the disk; `wrap` puts a performer around all others; the time in which
    a version is to be confirmed goes `pace` times faster than ours; `reboots` restarts the machine, where packages do.
    """
    async with AsyncExitStack() as stack:
        folder.mkdir(exist_ok=True)
        db = await stack.enter_async_context(
            Database.open(
                folder / "agent.db",
                [
                    (
                        1,
                        journal.SCHEMA
                        + journal.OPTIONS
                        + holdings.SCHEMA
                        + holdings.PARTIAL
                        + patches.SCHEMA
                        + messages.SCHEMA
                        + choices.SCHEMA
                        + former.SCHEMA
                        + holdings.DIFFERS
                        + halves.SCHEMA
                        + preferring.SCHEMA
                        + effects.SCHEMA
                        + journal.ACTIONS
                        + confirming.SCHEMA
                        + rebooting.SCHEMA,
                    )
                ],
                connect=connect,
                readers=readers,
            )
        )
        store = await stack.enter_async_context(
            DiskStore.open(folder / "chunks", reserve=0, files=files, connect=connect, readers=readers)
        )
        root = RootFolder(folder / "root") if root_half is None else SeenRoot(folder / "root")
        if root_half is None:
            root.open()
            stack.callback(root.close)
            await PartialTrees(db, root).recover()
        placing = Placing(store, db, root.free)
        fetcher, post = FakeFetcher(placing, dict(chunks or {})), FakePost()

        kept_to = limits or Limits(reserve=0, ask_again_s=(0.01,))
        said: dict[str, Any] = {"cpus": 4, "memory": 8 * 10**9, "disk_free": 10**11}

        async def facts() -> Facts:
            installed = {one.package: one.version for one in await db.read(holdings.installed)}
            return msgspec.structs.replace(USUAL, packages=installed, **said)

        materials = Materials(
            db=db,
            root=root,
            store=store,
            placing=placing,
            fetcher=fetcher,
            store_free=lambda: (root.free(), True),
            limits=kept_to,
            chooser=Chooser(facts, {} if variables is None else variables),
        )
        inner = Steps(db=db, root=root, materials=materials, limits=kept_to, now_ms=clock)
        (folder / "prefix").mkdir(exist_ok=True)
        acting = Acting(
            db=db,
            root=root,
            materials=materials,
            steps=inner,
            prefix=folder / "prefix",
            keep=folder / "kept",
            tools=tools,
        )
        restart = asyncio.Event()
        looks: list[int] = []

        async def look() -> None:
            looks.append(clock())

        watching = await Watching.loaded(db, clock)
        feed = watching.feed
        steps: Performer = Actions(db=db, steps=acting, restart=restart, look=look, now_ms=clock, kept=feed.message)
        steps = wrap(steps) if wrap is not None else steps
        if reboots is not None:
            steps = Rebooting(db=db, settings=reboots, steps=steps, now_ms=clock, free=root.free)
        half = None
        if root_half is not None:
            steps = half = Halves(db=db, materials=materials, own=steps, path=root_half)
        steps = verifying = Verifying(
            db=db,
            root=root,
            materials=materials,
            steps=steps,
            beyond=(half or acting).beyond,
            changed=lambda: None,
            inside=half.inside if half else None,
        )
        steps = Confirming(
            db=db,
            materials=materials,
            root=root.path,
            steps=steps,
            parents=Parents(lambda: True, list),
            elsewhere=half.health if half else None,
            now_ms=lambda: int(time.monotonic() * 1000 * pace),
            sleep=lambda seconds: asyncio.sleep(seconds / pace),
        )
        post.db = db
        reporter = Reporter(
            db=db,
            post=post,
            parent=lambda: PARENT,
            me=ME,
            generation=region.generation,
            key=region.node_key,
            now_ms=clock,
            changed=feed.job,
            owner=watching.said,
        )
        jobs = Jobs(
            db=db,
            me=region.identity,
            steps=steps,
            reporter=reporter,
            now_ms=clock,
            watch=watch,
            roots=materials,
            windows=kept_to.windows,
            judge=Judging(db=db, facts=facts, chosen=watching.chosen, now_ms=clock),
            checks=Checks(db, root.path, materials.check, half.check if half else None),
            wish=watching.wish,
        )
        verbs = Verbs()
        outbox: Any = post
        why = Why(db, outbox, lambda: Machine(ME, PARENT, connected=True), jobs.looks)
        watching.register(verbs, jobs, why.why)
        verifying.register(verbs)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        started = asyncio.Event()
        task = tasks.create_task(jobs.run(started))
        stack.callback(task.cancel)
        if half is not None:
            stack.callback(tasks.create_task(half.run()).cancel)
        async with asyncio.timeout(60):
            await started.wait()
        yield Agent(
            *(folder, region, db, store, root, fetcher, post, inner, jobs, materials, restart, looks),
            *(said, watching._choosing, verbs, watching, half),
        )
