"""Many endpoints in one process: real MQTT clients around the agent's real machines, without a disk below them.

    python crowd.py SPEC    (a JSON file: what `seeded.Seat` holds; commands as JSON lines on standard input)

Rules
- Real: credentials and keys, two MQTT connections each, hop, outbox and inbox, the receiver with its wants and credit,
  the judging of orders (signature, proof, epoch, time), the journal and its tables, the job machine, signed receipts.
- Simulated: the MQTT library of the control connection (`tiercast_mqtt`'s, with a clean session, for paho wants a timer
  a second for each), SQLite in memory and in the loop (a real one has four threads), chunks in memory (verified as on
  a disk), and the installation: files are checked against their digests and written nowhere.
- Left out: inventory, roaming, control socket, ledger.
- An effect (`Step.SWITCH`, `Step.KEEP`) is counted by job: a second one is a job done twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import structlog
import uvloop
from blake3 import blake3

from tiercast_endpoint.daemon import SCHEMA
from tiercast_endpoint.jobs.actions import Actions
from tiercast_endpoint.jobs.install import Event, Plan, Step, StepDone, StepFailed
from tiercast_endpoint.jobs.jobs import Jobs
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.orders import Identity
from tiercast_endpoint.jobs.reports import Reporter
from tiercast_mqtt.bulk import BulkClient
from tiercast_protocol.content.sealed.chunk import unseal
from tiercast_protocol.content.sealed.manifest import Root, decode_list, decode_root
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import BrokerLost, ChunkCorrupt, ChunkMissing, TiercastError
from tiercast_protocol.node.chunks.port import Taken
from tiercast_protocol.node.database import Database, Unit
from tiercast_protocol.node.post import Post
from tiercast_protocol.node.retry import Pauses
from tiercast_protocol.node.upstream import Upstream
from tiercast_protocol.wire.topics import Topics

KEEPALIVE = 120
#: Endpoints of one process that connect side by side when nothing has happened; after a cut all of them do.
AT_ONCE = 16
#: As the agent's.
GATHER_SECONDS, WINDOW = 0.25, 1 << 20


class Notebook:
    """What `Database` is, in memory and at once."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        for _, script in SCHEMA:
            self._connection.executescript(script)

    async def write(self, unit: Unit[Any]) -> Any:
        """Run `unit` whole or not at all."""
        self._connection.execute("BEGIN")
        try:
            done = unit(self._connection)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return done

    async def read(self, unit: Unit[Any]) -> Any:
        """Run `unit`."""
        return unit(self._connection)

    def peek(self, unit: Unit[Any]) -> Any:
        """Run `unit`."""
        return unit(self._connection)


class Shelf:
    """Chunks in memory; what does not verify is refused, as by a disk."""

    def __init__(self) -> None:
        self._chunks: dict[bytes, bytes] = {}

    async def get(self, digest: bytes) -> bytes:
        """The stored form."""
        found = self._chunks.get(digest)
        if found is None:
            raise ChunkMissing(digest)
        return found

    async def has(self, digest: bytes) -> bool:
        """Whether it is here."""
        return digest in self._chunks

    def held(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        """Those that are here, with their sizes."""
        return {digest: len(self._chunks[digest]) for digest in digests if digest in self._chunks}

    async def put(self, digest: bytes, stored: bytes) -> bool:
        """Take one."""
        unseal(digest, stored)
        new = digest not in self._chunks
        self._chunks[digest] = bytes(stored)
        return new

    async def put_many(self, chunks: Sequence[tuple[bytes, bytes | memoryview]]) -> list[Taken]:
        """Take some."""
        taken: list[Taken] = []
        for digest, stored in chunks:
            try:
                taken.append(await self.put(digest, bytes(stored)))
            except ChunkCorrupt as error:
                taken.append(error)
        return taken

    def clear(self) -> None:
        """After the installation nothing of it is needed."""
        self._chunks.clear()


class Control:
    """The control connection over the thin client: what `Hop` uses of `ControlLink`."""

    def __init__(self, crowd: Crowd, seat: dict[str, Any], hop: Any) -> None:
        topics = Topics(crowd.region)
        self.url, self._crowd, self._seat, self._hop = seat["url"], crowd, seat, hop
        self._down = topics.down(seat["parent"], seat["name"])
        self._client: BulkClient | None = None
        self._came: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._pauses = Pauses(None)

    @property
    def connected(self) -> bool:
        """Whether a publish may be tried."""
        return self._client is not None

    def tcp_info(self) -> None:
        """Nobody asks."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """QoS 1, until the broker has it."""
        if self._client is None:
            raise BrokerLost(self.url, "not connected")
        try:
            await self._client.publish(topic, payload, qos=1)
        except OSError as error:
            raise BrokerLost(self.url, str(error)) from error

    async def run(self) -> None:
        """Keep the connection."""
        while True:
            await self._crowd.stays.wait()
            try:
                await self._once()
            except (OSError, BrokerLost):
                self._crowd.lost += 1
            await asyncio.sleep(self._pauses.next(refused=False))

    async def _once(self) -> None:
        ended = asyncio.Event()
        host, port = self.url.removeprefix("mqtt://").rsplit(":", 1)
        async with self._crowd.turn:
            client = await BulkClient.connect(
                host=host,
                port=int(port),
                client_id=self._seat["name"],
                username=self._seat["name"],
                password=self._seat["password"],
                keepalive=KEEPALIVE,
                on_message=lambda topic, view: self._came.put_nowait((topic, bytes(view))),
                on_lost=lambda _error: ended.set(),
                timeout=30.0,
            )
            await client.subscribe(self._down, qos=1)
        try:
            self._client = client
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read())
                await self._hop._link_up()  # noqa: SLF001 - as ControlLink calls it
                going = tasks.create_task(self._crowd.goes.wait())
                await asyncio.wait([going, tasks.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
                reading.cancel()
                going.cancel()
                ended.set()
        finally:
            self._client = None
            await self._hop._link_lost()  # noqa: SLF001 - as ControlLink calls it
            await client.close()

    async def _read(self) -> None:
        while True:
            await self._hop._control_arrived(*await self._came.get())  # noqa: SLF001 - as above


class Hands:
    """Performs the steps of packages: fetches in earnest, verifies every file, writes nothing."""

    def __init__(self, crowd: Crowd, shelf: Shelf, upstream: Upstream, installed: dict[str, str]) -> None:
        self._crowd, self._shelf, self._upstream, self._installed = crowd, shelf, upstream, installed

    async def perform(self, job: Job, step: Step, tell: Callable[[int, int], None]) -> tuple[Job, Event]:
        """See `Performer`."""
        if step in {Step.PLAN, Step.FETCH, Step.ASSEMBLE}:
            tell(0, 0)
        try:
            return job, await self._do(job, step)
        except TiercastError as error:
            return job, StepFailed(step, "agent.bug", str(error))

    async def _do(self, job: Job, step: Step) -> Event:
        match step:
            case Step.PLAN:
                await self._upstream.fetch([job.root], job.job)
                await self._upstream.fetch(list((await self._root(job)).lists), job.job)
                return StepDone(step, Plan())
            case Step.FETCH:
                await self._upstream.fetch(list(await self._parts(await self._root(job))), job.job)
            case Step.ASSEMBLE:
                await self._verify(await self._root(job))
            case Step.SWITCH:
                self._crowd.effect(job)
                self._installed[job.package] = job.version
            case Step.UNLINK:
                self._installed.pop(job.package, None)
            case Step.SETTLE | Step.DISCARD:
                self._shelf.clear()
            case _:
                pass
        return StepDone(step)

    async def _root(self, job: Job) -> Root:
        return decode_root(unseal(job.root, await self._shelf.get(job.root)))

    async def _parts(self, root: Root) -> dict[bytes, None]:
        found: dict[bytes, None] = {}
        for digest in root.lists:
            for entry in decode_list(unseal(digest, await self._shelf.get(digest))):
                found.update((part.digest, None) for part in entry.parts)
        return found

    async def _verify(self, root: Root) -> None:
        for digest in root.lists:
            for entry in decode_list(unseal(digest, await self._shelf.get(digest))):
                file = blake3()
                for part in entry.parts:
                    raw = unseal(part.digest, await self._shelf.get(part.digest))
                    file.update(raw[part.offset : part.offset + part.length])
                if entry.parts and file.digest() != entry.digest:
                    raise ChunkCorrupt(entry.digest, "the file is another")


class Endpoint:
    """One of them."""

    def __init__(self, crowd: Crowd, seat: dict[str, Any]) -> None:
        key = PrivateKey(bytes.fromhex(seat["seed"]))
        name, parent = seat["name"], seat["parent"]
        db = cast("Database", Notebook())
        shelf = Shelf()
        self.post = Post(db, me=name, transmit=lambda _peer, payload: self.upstream.transmit(payload))
        self.upstream = Upstream(
            me=name,
            region=crowd.region,
            parent=parent,
            url=seat["url"],
            login=(name, seat["password"]),
            store=shelf,
            post=self.post,
            window=WINDOW,
            gather=GATHER_SECONDS,
        )
        self.upstream.hop.control = Control(crowd, seat, self.upstream.hop)  # type: ignore[assignment]
        reporter = Reporter(db=db, post=self.post, parent=lambda: parent, me=name, generation=1, key=key, now_ms=now_ms)
        steps = Actions(
            db=db,
            steps=Hands(crowd, shelf, self.upstream, {}),
            restart=asyncio.Event(),
            look=_nothing,
            now_ms=now_ms,
        )
        identity = Identity(crowd.region, crowd.region_key, name, key.public, 1)
        self.jobs = Jobs(db=db, me=identity, steps=_Counted(crowd, steps), reporter=reporter, now_ms=now_ms)
        self.post.on("order.v1", self.jobs.on_order)

    async def run(self) -> None:
        """Until cancelled."""
        started = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.jobs.run(started))
            await started.wait()
            tasks.create_task(self.post.run())
            tasks.create_task(self.upstream.run())


class _Counted:
    """Counts messages that were kept; all else is performed by `inner`."""

    def __init__(self, crowd: Crowd, inner: Any) -> None:
        self._crowd, self._inner = crowd, inner

    async def perform(self, job: Job, step: Step, tell: Callable[[int, int], None]) -> tuple[Job, Event]:
        if step is Step.KEEP:
            self._crowd.effect(job)
        done: tuple[Job, Event] = await self._inner.perform(job, step, tell)
        return done


class Crowd:
    """All endpoints of this process."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.region, self.region_key = spec["region"], bytes.fromhex(spec["region_key"])
        self.turn = asyncio.Semaphore(AT_ONCE)
        self.stays, self.goes = asyncio.Event(), asyncio.Event()
        self.stays.set()
        self.lost = 0
        self.effects: Counter[str] = Counter()
        self.endpoints = [Endpoint(self, seat) for seat in spec["seats"]]

    def effect(self, job: Job) -> None:
        """The job takes effect on one endpoint, now."""
        self.effects[job.job] += 1

    async def run(self) -> None:
        """Until standard input ends."""
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(endpoint.run()) for endpoint in self.endpoints]
            await self._obey()
            for task in running:
                task.cancel()

    async def _obey(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            if command == "leave":
                self.stays.clear()
                self.goes.set()
            elif command == "come":
                # As after a power cut: nobody waits for anybody.
                self.turn = asyncio.Semaphore(len(self.endpoints))
                self.goes.clear()
                self.stays.set()
            print(json.dumps(self._state()), flush=True)

    def _state(self) -> dict[str, Any]:
        return {
            "connected": sum(endpoint.upstream.connected for endpoint in self.endpoints),
            "effects": dict(self.effects),
            "lost": self.lost,
            "cpu": time.process_time(),
        }


async def _nothing() -> None:
    return


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def live() -> None:
    """Entry point."""
    level = structlog.make_filtering_bound_logger(int(os.environ.get("CROWD_LOG", "40")))
    structlog.configure(wrapper_class=level, logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    spec = json.loads(Path(sys.argv[1]).read_text())

    async def work() -> None:
        await Crowd(spec).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


if __name__ == "__main__":
    live()
