"""A node that does not keep to the protocol, and what must be true after it has been at work.

Rules
- It has what an attacker with a stolen state folder has: its own credentials, and any bytes that it likes.
- Whether a message was dealt with is asked by a message behind it, never guessed by a pause.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgpack

from cluster import asked, build, until
from region import Region
from tiercast_mqtt.bulk import BulkClient
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.node import joined
from tiercast_protocol.wire import codec, frame
from tiercast_protocol.wire.envelope import Envelope, open_, seal, wrap
from tiercast_protocol.wire.messages import KIND_OF, Absent, Ack, Message, Report, body_of
from tiercast_protocol.wire.topics import Topics

#: MiB that any daemon or broker may have grown by after all attacks of a file: what allocators keep, no leak.
MOST_GROWN = 64.0


class Intruder:
    """One connection to `parent`'s broker, as the user `name`."""

    def __init__(self, name: str, region: str, parent: str) -> None:
        self.name, self.parent = name, parent
        self.topics = Topics(region)
        self.heard: list[tuple[str, bytes]] = []
        self.lost = asyncio.Event()
        self._news = asyncio.Event()
        self._client: BulkClient | None = None

    @property
    def client(self) -> BulkClient:
        """The connection."""
        assert self._client is not None
        return self._client

    async def connect(self, port: int, password: str, client_id: str = "") -> None:
        """Log in; raises ConnectionError when the broker refuses."""

        def on_message(topic: str, view: memoryview) -> None:
            self.heard.append((topic, bytes(view)))
            self._news.set()

        self.lost.clear()
        self._client = await BulkClient.connect(
            host="127.0.0.1",
            port=port,
            client_id=client_id or f"{self.name}:intruder",
            username=self.name,
            password=password,
            on_message=on_message,
            on_lost=lambda _: self.lost.set(),
        )

    async def up(self, payload: bytes) -> None:
        """Publish on our own control topic; returns at the broker's acknowledgement."""
        await self.client.publish(self.topics.up(self.name), payload, qos=1)

    async def say(self, message: Message, *, to: str = "", sender: str = "") -> Envelope:
        """Publish a well-formed envelope; it."""
        envelope = wrap(KIND_OF[type(message)], message, sender=sender or self.name, to=to)
        await self.up(seal(envelope))
        return envelope

    async def report(self, report: Report | bytes) -> None:
        """Publish on our own report topic."""
        payload = report if isinstance(report, bytes) else frame.guarded(codec.encode(report))
        await self.client.publish(self.topics.report(self.name), payload)

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        """Wait for `condition`, asked again with every message that comes and every half second."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not condition():
            self._news.clear()
            left = deadline - asyncio.get_running_loop().time()
            assert left > 0, f"not within {seconds:.0f} s: {what}"
            try:
                async with asyncio.timeout(min(left, 0.5)):
                    await self._news.wait()
            except TimeoutError:
                continue

    def envelopes(self) -> list[Envelope]:
        """The envelopes that came for us."""
        found: list[Envelope] = []
        for topic, payload in self.heard:
            if topic.endswith("/control"):
                try:
                    found.append(open_(payload))
                except MessageInvalid:
                    continue
        return found

    def acknowledged(self) -> set[bytes]:
        """Every id that the parent acknowledged."""
        return {id_ for e in self.envelopes() if e.kind == "ack.v1" for id_ in body_of(e, Ack).ids}

    async def dealt_with(self, kind: str = "unheard.of.v1") -> None:
        """Return when the parent has handled all that we said on our control topic; `kind` is one that it hears."""
        last = wrap(kind, {}, sender=self.name)

        async def repeat() -> None:
            while True:
                await self.up(seal(last))  # what waited before it may have filled the parent's queue
                await asyncio.sleep(0.2)

        async with asyncio.TaskGroup() as tasks:
            repeating = tasks.create_task(repeat())
            try:
                await self.until(lambda: last.id in self.acknowledged(), "the parent answers after the attack")
            finally:
                repeating.cancel()

    async def reports_dealt_with(self) -> None:
        """Return when the parent has handled all our reports: it says that a chunk nobody holds is absent."""
        session, digest = int.from_bytes(os.urandom(6), "big"), os.urandom(32)

        def answered() -> bool:
            return any(e.kind == "absent.v1" and digest in body_of(e, Absent).digests for e in self.envelopes())

        await self.report(Report(session=session, received=0, window=1 << 20, wants=digest))
        await self.until(answered, "the parent answers a want after the attack")


def join_only(region: Region, name: str, parent: str = "server") -> None:
    """Enrol the endpoint `name`, and do not start it."""
    below = () if parent == "server" else ("--parent", parent)
    token = str(region.cli("node", "invite", name, *below)["token"])
    folder = region.folder / name
    region.tool("tiercast_endpoint", "join", token, "--state", str(folder), "--install-root", str(region.apps(name)))


@asynccontextmanager
async def connected(one: Intruder, port: int, password: str, client_id: str = "") -> AsyncIterator[Intruder]:
    """`one`, logged in; raises ConnectionError when the broker refuses."""
    await one.connect(port, password, client_id)
    try:
        yield one
    finally:
        await one.client.close()


@asynccontextmanager
async def intruder(region: Region, name: str) -> AsyncIterator[Intruder]:
    """`name`, connected with what lies in its state folder and listening to what is for it."""
    enrolled = joined.load(region.folder / name)
    one = Intruder(name, enrolled.region, enrolled.parent)
    async with connected(one, int(enrolled.url.rpartition(":")[2]), enrolled.password):
        await one.client.subscribe(one.topics.down(enrolled.parent, name), qos=1)
        yield one


def processes(region: Region) -> dict[str, int]:
    """Process ids of every running daemon and its broker."""
    found = {d.name: d.pid for d in region.daemons.values() if d.process is not None}
    for name in [d.name for d in region.daemons.values() if d.role != "endpoint" and d.process is not None]:
        found[f"{name}'s broker"] = int(asked(region, "status", at=name)["broker"]["pid"])
    return found


def memory(pid: int) -> float:
    """MiB of anonymous memory of a process now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} shows no memory")


class Watch:
    """What a region must still be after an attack: the same processes, hardly larger, and able to install."""

    def __init__(self, region: Region, source: Path, honest: str) -> None:
        self._region, self._source, self._honest = region, source, honest
        self._pids = processes(region)
        self._version = 0
        self.unharmed()
        self._before = {name: memory(pid) for name, pid in self._pids.items()}

    def unharmed(self) -> None:
        """Assert all of it."""
        region = self._region
        for daemon in region.daemons.values():
            assert daemon.process is None or daemon.process.poll() is None, f"{daemon.name} has ended"
        assert processes(region) == self._pids
        self._version += 1
        (self._source / "version").write_text(f"{self._version}\n")
        build(region, self._source, "still", str(self._version))
        job = region.cli("job", "install", f"still={self._version}", "--on", self._honest)["job"]

        def counts() -> dict[str, int]:
            found: dict[str, int] = asked(region, "job.show", job=job)["counts"]
            return found

        until(lambda: counts() == {"done": 1}, f"an ordinary install after the attack: {counts()}")
        installed = region.apps(self._honest) / "still" / "version"
        assert installed.read_text() == f"{self._version}\n"

    def not_grown(self) -> None:
        """Assert that no process holds much more memory than at the beginning."""
        grown = {name: memory(pid) - self._before[name] for name, pid in self._pids.items()}
        assert max(grown.values()) < MOST_GROWN, {name: round(mib) for name, mib in grown.items()}


def nested(depth: int) -> bytes:
    """Msgpack of `depth` lists, one in the other."""
    return b"\x91" * depth + b"\xc0"


def bombs() -> list[bytes]:
    """Small messages that claim to be large, or become it."""
    return [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdd\x00\x00\xff\xff" * 1600,
        nested(11),
        nested(13),
        nested(1000),
        nested(500_000),
        b"\x90" * 900_000,
        b"\xdc\xff\xff" + b"\x90" * 65535,
        msgpack.packb([[[] for _ in range(60_000)] for _ in range(15)]),
        msgpack.packb({str(n): n for n in range(5000)}),
        b"\xc9\x00\x00\x00\x01\x01\x00",
        b"\xa4\xff\xfe\xfd\xfc",
    ]
