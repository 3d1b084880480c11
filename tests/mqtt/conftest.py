"""Brokers to test against (embedded in the loop, embedded as a process, real mosquitto) and a raw MQTT socket.

Rules: every port is chosen by the system, every wait has a deadline, everything started is stopped.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from authority import Authority
from tiercast_mqtt import codec
from tiercast_mqtt.broker import Broker, open_broker
from tiercast_mqtt.packets import Connack, Connect, Packet
from tiercast_mqtt.password import hash_password
from tiercast_mqtt.settings import Listener, Settings
from tiercast_mqtt.threaded import Taker, ThreadedClient

DEADLINE = 60.0
PROTOCOL = Path(__file__).resolve().parents[2] / "protocol"


class Raw:
    """An MQTT connection without a client library: bytes and packets as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *packets: Packet | bytes) -> None:
        for packet in packets:
            self.writer.write(packet if isinstance(packet, bytes) else codec.encode(packet))
        await self.writer.drain()

    async def packet(self, timeout: float = DEADLINE) -> Packet:
        async with asyncio.timeout(timeout):
            first = (await self.reader.readexactly(1))[0]
            size = shift = 0
            while True:
                byte = (await self.reader.readexactly(1))[0]
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            return codec.decode(first, memoryview(await self.reader.readexactly(size)))

    async def connect(self, client_id: str, **fields: object) -> int:
        await self.send(Connect(client_id, **fields))  # type: ignore[arg-type]
        answer = await self.packet()
        assert isinstance(answer, Connack)
        self.present = answer.session_present
        return answer.code

    async def ended(self, timeout: float = DEADLINE) -> bytes:
        """What still comes until the broker closes."""
        async with asyncio.timeout(timeout):
            try:
                return await self.reader.read(-1)
            except ConnectionResetError:
                return b""

    async def silent(self) -> bool:
        """Whether nothing at all arrives before the answer to a ping."""
        await self.send(codec.PINGREQ_BYTES)
        return codec.encode(await self.packet()) == codec.PINGRESP_BYTES

    def close(self) -> None:
        self.writer.transport.abort()


@dataclass
class Kit:
    """What a test needs, cleaned up after it."""

    folder: Path
    stack: AsyncExitStack
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    lost: list[Exception | None] = field(default_factory=list)
    #: What sees the bulk client's messages first, in a thread; None has the loop read.
    taker: Taker | None = None

    async def broker(self, **given: object) -> Broker:
        """An embedded broker in this loop; TCP and UNIX listeners unless told otherwise."""
        given.setdefault("listen", (Listener(), Listener(path=self.folder / "broker.sock")))
        given.setdefault("allow_anonymous", "users_file" not in given)
        return await self.stack.enter_async_context(open_broker(Settings(**given)))  # type: ignore[arg-type]

    def users(self, **passwords: str) -> Path:
        path = self.folder / "users"
        path.write_text("".join(f"{name}:{hash_password(password)}\n" for name, password in passwords.items()))
        return path

    def acl(self, text: str) -> Path:
        path = self.folder / "acl"
        path.write_text(text)
        return path

    async def raw(self, where: int | Path | Broker, tls: ssl.SSLContext | None = None) -> Raw:
        if isinstance(where, Path):
            reader, writer = await asyncio.open_unix_connection(str(where))
        else:
            number = where if isinstance(where, int) else int(where.listening[0]["port"])
            name = None if tls is None else "localhost"
            reader, writer = await asyncio.open_connection("127.0.0.1", number, ssl=tls, server_hostname=name)
        one = Raw(reader, writer)
        self.stack.callback(one.close)
        return one

    async def bulk(self, where: int | Path | Broker, client_id: str = "bulk", **given: object) -> ThreadedClient:
        if isinstance(where, Broker):
            where = int(where.listening[0]["port"])
        given.setdefault("host", None if isinstance(where, Path) else "localhost")
        given.setdefault("port", None if isinstance(where, Path) else where)
        given.setdefault("path", str(where) if isinstance(where, Path) else None)
        given.setdefault("username", None)
        given.setdefault("password", None)
        given.setdefault("on_message", lambda topic, view: self.messages.append((topic, bytes(view))))
        given.setdefault("on_lost", self.lost.append)
        client = await ThreadedClient.connect(client_id=client_id, **given)  # type: ignore[arg-type]
        self.stack.push_async_callback(client.close)
        if self.taker is not None:
            client.read_in_thread(self.taker)
        return client

    async def until(self, condition: Callable[[], bool], timeout: float = DEADLINE) -> None:
        async with asyncio.timeout(timeout):
            while not condition():  # noqa: ASYNC110 - what is awaited has no event to wait for
                await asyncio.sleep(0.005)


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    # UNIX sockets need short paths; pytest's folders are long, but below 108 bytes here.
    async with AsyncExitStack() as stack:
        yield Kit(tmp_path, stack)


@pytest.fixture
def on_uvloop(tmp_path: Path) -> Callable[[Callable[[Kit], Awaitable[None]]], None]:
    """Runs a story on uvloop: its transports differ from asyncio's in more than speed."""

    def run(story: Callable[[Kit], Awaitable[None]]) -> None:
        async def inside() -> None:
            async with AsyncExitStack() as stack:
                await story(Kit(tmp_path, stack))

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(inside())

    return run


class Process:
    """The embedded broker as users start it: a process of its own."""

    def __init__(self, folder: Path, *, config: dict[str, object], arguments: tuple[str, ...] = ()) -> None:
        self.folder = folder
        (folder / "broker.json").write_text(json.dumps(config))
        environment = os.environ | {"PYTHONPATH": str(PROTOCOL)}
        self.log = folder / "broker.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tiercast_mqtt", "--config", str(folder / "broker.json"), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.listening = json.loads(line)["listening"] if line else []

    @property
    def port(self) -> int:
        return int(self.listening[0]["port"])

    def rss(self) -> float:
        """Resident anonymous memory, MiB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no RssAnon")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                assert pipe is not None
                pipe.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(*arguments: str, **config: object) -> Process:
        config.setdefault("listen", [{"host": "127.0.0.1", "port": 0}])
        config.setdefault("allow_anonymous", "users_file" not in config)
        one = Process(tmp_path, config=config, arguments=arguments)
        started.append(one)
        return one

    yield start
    for one in started:
        one.stop()


@dataclass
class Mosquitto:
    port: int
    path: Path


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.fail(
            "mosquitto is not installed: install the system's package `mosquitto` (these tests are never skipped)"
        )
    running: list[subprocess.Popen[bytes]] = []

    def start(*settings: str, tls: tuple[Path, Path] | None = None) -> Mosquitto:
        path = tmp_path / "mosquitto.sock"
        for _ in range(5):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            lines = [f"listener 0 {path}", f"listener {port} 127.0.0.1", "persistence false", "set_tcp_nodelay true"]
            if tls is not None:
                # A listener's own settings stand below its line.
                lines[2:2] = [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
            if not any(line.startswith("password_file") for line in settings):
                lines.append("allow_anonymous true")
            (tmp_path / "mosquitto.conf").write_text("\n".join([*lines, *settings, ""]))
            one = subprocess.Popen(
                [program, "-c", str(tmp_path / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            running.append(one)
            while one.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                except ConnectionRefusedError:
                    continue
                return Mosquitto(port, path)
        pytest.fail("mosquitto does not start on any free port")

    yield start
    for one in running:
        one.terminate()
        one.wait()


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], Authority]:
    return lambda name="authority": Authority(tmp_path / f"ca-{name}", name)


Start = Callable[..., Awaitable[Broker]]
