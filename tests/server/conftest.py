"""A region without a network: a real database and real keys, and a tree that only notes what it is told."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from tests.support.postgres import Postgres, running

from tiercast_gateway.subtree import SubTree
from tiercast_gateway.subtree_config import SubTreeConfig
from tiercast_gateway.subtree_opening import open_subtree
from tiercast_mqtt.password import hash_password
from tiercast_protocol.content.facts.inventory import Facts, Inventory, sign_inventory
from tiercast_protocol.content.jobs.order import Order, check_target, open_order
from tiercast_protocol.content.jobs.receipt import Receipt, sign_receipt
from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part, Root, cut_lists, encode_root
from tiercast_protocol.content.trust.credential import Credential, Token, open_credential
from tiercast_protocol.content.trust.joining import make_request
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import ChunkMissing, UsageError
from tiercast_protocol.node.brokers import BrokerConfig
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire.facts import InventoryEntry
from tiercast_protocol.wire.messages import (
    Admitted,
    Dismissed,
    EnrolReply,
    JobShape,
    Message,
    OrderBundle,
    StatusRecord,
    TokenIssued,
)
from tiercast_protocol.wire.site import BreakersOpened, SiteOrder
from tiercast_server.above import RegionAbove
from tiercast_server.changes import Changes
from tiercast_server.daemon import Parts
from tiercast_server.database import tables
from tiercast_server.database.engine import Database
from tiercast_server.desired.assignments import Assignments
from tiercast_server.groups import Groups
from tiercast_server.handover import Handover
from tiercast_server.inventories.inventories import Inventories
from tiercast_server.jobs.checks import Request
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.jobs.view import JobView
from tiercast_server.nodes.enrolment import Enrolment
from tiercast_server.nodes.moves import Moves
from tiercast_server.nodes.placings import Settling
from tiercast_server.packages.library import Library
from tiercast_server.region import Region, create_region, open_region, wall_clock
from tiercast_server.rollouts.rollouts import Rollouts
from tiercast_server.status_intake import StatusIntake
from tiercast_server.targeting import Targeting
from tiercast_server.tree import Child

#: Gives the place of another database.
NewDatabase = Callable[[], Path | str]
START = 1_800_000_000_000
PASSWORD_HASH = hash_password("secret", iterations=1)


class FakeTree:
    """Notes what the region says to it; `failing` makes every call raise."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Message]] = []
        self.failing: Exception | None = None
        self.answers: dict[tuple[str, str], Any] = {}
        self.present: list[Child] = []

    async def _note(self, to: str, message: Message) -> None:
        if self.failing is not None:
            raise self.failing
        self.said.append((to, message))

    async def take_order(self, bundle: OrderBundle, *, cause: str) -> None:
        await self._note("", bundle)

    async def admit(self, message: Admitted) -> None:
        await self._note("", message)

    async def dismiss(self, message: Dismissed) -> None:
        await self._note("", message)

    async def issue_token(self, message: TokenIssued) -> None:
        await self._note("", message)

    async def take_shape(self, message: JobShape) -> None:
        await self._note("", message)

    async def take_site(self, message: SiteOrder, *, cause: str) -> None:
        await self._note("", message)

    async def open_breakers(self, message: BreakersOpened) -> None:
        await self._note("", message)

    async def tell(self, node: str, message: Message, *, cause: str) -> bytes:
        await self._note(node, message)
        return len(self.said).to_bytes(16, "big")

    async def ask(self, node: str, verb: str, args: dict[str, Any], *, deadline: float) -> Any:
        answer = self.answers.get((node, verb))
        if answer is None:
            raise UsageError(code="node.silent", what=f"{node} did not answer")
        return answer

    def children_url(self) -> str:
        return "mqtt://127.0.0.1:1883"

    async def snapshot(self) -> dict[str, Any]:
        return {"name": "server", "children": []}

    def children(self) -> list[Child]:
        return self.present

    def sending_rate(self) -> int:
        return 0

    def of(self, type_: type[Message]) -> list[Any]:
        """What was said of this type, in order."""
        return [message for _, message in self.said if isinstance(message, type_)]


class MemoryStore:
    """A chunk store in a dict; `synced` counts."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.synced = 0

    async def get(self, digest: bytes) -> bytes:
        if digest not in self.held:
            raise ChunkMissing(digest)
        return self.held[digest]

    async def put(self, digest: bytes, stored: bytes) -> bool:
        new = digest not in self.held
        self.held[digest] = stored
        return new

    async def sync(self) -> None:
        self.synced += 1

    async def evict(self, digests: Iterable[bytes]) -> int:
        return sum(self.held.pop(digest, None) is not None for digest in digests)

    async def digests(self) -> list[bytes]:
        return list(self.held)

    def size(self, digest: bytes) -> int | None:
        return len(self.held[digest]) if digest in self.held else None


def build(
    name: str, version: str, files: dict[str, bytes], revision: int = 1, definition: str | None = None
) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A package of these small files: root digest, and its chunks as (digest, stored form)."""
    chunks = {digest_of(data): seal(data) for data in files.values()}
    entries = [
        Entry(
            path=path,
            kind=Kind.FILE,
            mode=0o644,
            size=len(data),
            digest=digest_of(data),
            parts=(Part(digest_of(data), 0, len(data)),),
        )
        for path, data in sorted(files.items())
    ]
    lists = [seal(raw) for raw in cut_lists(entries)]
    root = Root(
        format=1,
        chunking="tc1",
        name=name,
        version=version,
        revision=revision,
        definition=canonical(Definition(name, version, revision)) if definition is None else definition,
        lists=[digest for digest, _ in lists],
        files=len(files),
        size=sum(map(len, files.values())),
        chunks=len(chunks),
        chunk_bytes=sum(map(len, set(files.values()))),
    )
    sealed = seal(encode_root(root))
    return sealed[0], [*chunks.values(), *lists, sealed]


@dataclass
class Joined:
    """A node as it sees itself."""

    name: str
    key: PrivateKey
    credential: Credential
    seq: int = 0


@dataclass
class World:
    """A region and everything around it."""

    region: Region
    tree: FakeTree
    store: MemoryStore
    changes: Changes
    handover: Handover
    jobs: Jobs
    enrolment: Enrolment
    moves: Moves
    library: Library
    intake: StatusIntake
    view: JobView
    targeting: Targeting
    groups: Groups
    inventories: Inventories
    rollouts: Rollouts
    assignments: Assignments
    now: list[int]
    nodes: dict[str, Joined] = field(default_factory=dict)

    async def invite(self, name: str, role: str = "endpoint", parent: str = "", **more: Any) -> Token:
        made = await self.enrolment.invite(name, role, parent, more.pop("ttl_s", 3600), url="mqtt://h:1", **more)
        await self.handover.drain()
        return Token.from_text(made["token"])

    async def ask(self, token: Token, key: PrivateKey) -> EnrolReply:
        await self.enrolment.request(make_request(token, key, PASSWORD_HASH))
        await self.handover.drain()
        reply: EnrolReply = self.tree.of(EnrolReply)[-1]
        return reply

    async def join(self, name: str, role: str = "endpoint", parent: str = "", **more: Any) -> Joined:
        key = PrivateKey.generate()
        reply = await self.ask(await self.invite(name, role, parent, **more), key)
        assert reply.accepted, reply.reason
        credential = open_credential(reply.credential, reply.signature, self.region.key.public)
        self.nodes[name] = Joined(name, key, credential)
        return self.nodes[name]

    async def many(self, count: int) -> list[str]:
        """The names of so many endpoints that joined, written at once."""
        joined = await self.join("one")
        names = [f"workstation-{n:05}.berlin.example.com" for n in range(count)]
        async with self.region.db.write() as connection:
            row = (await connection.execute(select(tables.nodes).where(tables.nodes.c.name == joined.name))).one()
            await connection.execute(insert(tables.nodes), [{**row._mapping, "name": name} for name in names])
        return names

    async def package(
        self,
        name: str,
        version: str,
        files: dict[str, bytes] | None = None,
        revision: int = 1,
        definition: str | None = None,
    ) -> bytes:
        content = files or {"a": b"content of " + version.encode()}
        root, chunks = build(name, version, content, revision, definition)
        await self.library.keep(chunks)
        await self.library.register(root, "main", "tester")
        return root

    async def job(self, type_: str = "install", package: str = "app", **more: Any) -> str:
        made = await self.jobs.create(Request(type=type_, package=package, by="tester", **more))
        await self.handover.drain()
        job: str = made["job"]
        return job

    def word(self, name: str, **more: Any) -> InventoryEntry:
        """What the node `name` says next of itself: a small Debian, but for what is given."""
        mine = self.nodes[name]
        mine.seq += 1
        groups = more.pop("groups", [])
        listed = more.pop("listed", b"")
        facts = {
            "os": "linux",
            "distribution": "debian",
            "version": "12",
            "kernel": "6.1",
            "architecture": "x86_64",
            "cpus": 2,
            "memory": 4 << 30,
            "disk_free": 1 << 30,
            "disk_total": 8 << 30,
            "python": "3.11.2",
            "agent": "1",
            "packages": {},
            "labels": {},
            "name": name,
            **more,
        }
        generation = mine.credential.generation
        said = Inventory(
            region="r",
            node=name,
            generation=generation,
            seq=mine.seq,
            at=self.now[0],
            facts=Facts(**facts),
            groups=groups,
            software=listed,
        )
        data, signature = sign_inventory(said, mine.key)
        return InventoryEntry(node=name, generation=generation, seq=mine.seq, data=data, signature=signature)

    async def says(self, name: str, **more: Any) -> int:
        """The node says of itself what `word` is."""
        taken: int = await self.inventories.take([self.word(name, **more)])
        await self.handover.drain()
        return taken

    def orders(self) -> list[tuple[Order, list[str]]]:
        """Orders that reached the tree: opened, each target's proof checked with its own key."""
        found = []
        for bundle in self.tree.of(OrderBundle):
            order = open_order(bundle.order, bundle.signature, self.region.key.public)
            for target in bundle.targets:
                node = self.nodes[target.node]
                check_target(order, target, node.key.public, node.credential.generation)
            found.append((order, [target.node for target in bundle.targets]))
        return found

    def record(self, job: str, node: str, state: str, **more: Any) -> StatusRecord:
        """What `node` says next of `job`, with its receipt where the state is final."""
        mine = self.nodes[node]
        mine.seq += 1
        values = {"revision": 1, "attempt": 1, "seq": mine.seq, "at": self.now[0], **more}
        receipt, signature = b"", b""
        if state in {"done", "failed", "interrupted", "cancelled", "rejected", "expired"}:
            said = Receipt(
                job=job,
                revision=values["revision"],
                attempt=values["attempt"],
                seq=values["seq"],
                node=node,
                generation=mine.credential.generation,
                state=state,
                code="",
                detail="",
                started=0,
                finished=0,
                package="app",
                version="1",
                root=bytes(32),
            )
            receipt, signature = sign_receipt(said, mine.key)
        return StatusRecord(job=job, target=node, state=state, receipt=receipt, signature=signature, **values)


def assemble(region: Region, now: list[int], tree: FakeTree, store: MemoryStore) -> World:
    """The region's parts around one database."""
    changes = Changes()
    handover = Handover(region.db, tree)
    targeting = Targeting(region)
    jobs = Jobs(region, changes, handover.wake, targeting)
    settling = Settling(region, tree.children_url)
    enrolment = Enrolment(region, jobs, changes, handover.wake, settling)
    rollouts = Rollouts(region, jobs, changes)
    return World(
        region=region,
        tree=tree,
        store=store,
        changes=changes,
        handover=handover,
        jobs=jobs,
        enrolment=enrolment,
        moves=Moves(region, enrolment, settling, changes, handover.wake),
        library=Library(region, store),
        intake=StatusIntake(region, changes),
        view=JobView(region, changes),
        targeting=targeting,
        groups=Groups(region, targeting, jobs),
        inventories=Inventories(region, targeting, jobs),
        rollouts=rollouts,
        assignments=Assignments(region, jobs, changes, rollouts),
        now=now,
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of this process, with one database at the newest schema to copy from."""
    with running() as server:
        server.make_ground()
        yield server


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file at the newest schema to copy from: the steps themselves are another test's matter."""
    path = tmp_path_factory.mktemp("ground") / "region.db"

    async def migrate() -> None:
        async with Database.open(path):
            pass

    asyncio.run(migrate())
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """Gives places for empty databases, another each time: files, or databases at a server."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            numbers, ground = count(), request.getfixturevalue("ground")
            yield lambda: shutil.copyfile(ground, tmp_path / f"region{next(numbers)}.db")
        else:
            server: Postgres = request.getfixturevalue("postgres")
            yield lambda: stack.enter_context(server.borrowed())


@pytest.fixture
async def world(new_database: NewDatabase) -> AsyncIterator[World]:
    """A new region named "r" with the server "server"."""
    now = [START]
    async with Database.open(new_database()) as db:
        await create_region(db, name="r", server="server", now=now[0])
        region = await open_region(db, PrivateKey.generate(), clock=lambda: now[0])
        yield assemble(region, now, FakeTree(), MemoryStore())


@dataclass
class Rooted:
    """A region above a real sub-tree with a broker of its own."""

    region: Region
    parts: Parts
    subtree: SubTree
    above: RegionAbove
    library: Library


@pytest.fixture
async def rooted(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Rooted]:
    """The region "r" whose server has an embedded broker and a disk."""
    async with Database.open(new_database()) as db:
        await create_region(db, name="r", server="server", now=wall_clock())
        region = await open_region(db, PrivateKey.generate())
        parts = Parts.of(region)
        above = RegionAbove(
            parts.below,
            parts.enrolment,
            parts.intake,
            parts.moves,
            parts.inventories,
            parts.sites,
            parts.joins,
            parts.assignments,
        )
        config = SubTreeConfig(
            me="server",
            region="r",
            role="server",
            folder=tmp_path / "node",
            region_key=region.key.public,
            broker=BrokerConfig(mode="embedded"),
            reserve=0,
        )
        async with open_subtree(config, above) as subtree:
            yield Rooted(region, parts, subtree, above, Library(region, subtree.depot.store))


def a_call(verb: str, **args: Any) -> Call:
    """A call as an administrator makes it."""
    return Call(verb=verb, args=args, peer=Peer(pid=1, uid=1000, gid=1000), role="admin", user="ann", cause="c")


@pytest.fixture
def call() -> Any:
    return a_call


@pytest.fixture
def build_package() -> Any:
    return build


@pytest.fixture
def assemble_world() -> Any:
    return assemble
