"""The control socket under good and bad clients."""

from __future__ import annotations

import asyncio
import os
import pwd
import resource
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tiercast_protocol.errors import StateError, UsageError
from tiercast_protocol.node.control import framing
from tiercast_protocol.node.control import server as server_module
from tiercast_protocol.node.control.client import connect
from tiercast_protocol.node.control.server import ControlServer
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.metrics import METRICS


class Story:
    """Verbs that tell what became of them."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.made = 0
        self.verbs = Verbs()
        for name, role, handler in (
            ("hello", "viewer", self.hello),
            ("order", "admin", self.order),
            ("hang", "viewer", self.hang),
            ("flood", "viewer", self.flood),
            ("refuse", "viewer", self.refuse),
            ("crash", "viewer", self.crash),
            ("gone", "viewer", self.gone),
            ("big", "viewer", self.big),
        ):
            self.verbs.add(name, role, handler)  # type: ignore[arg-type]

    async def hello(self, call: Call) -> dict[str, Any]:
        return {"user": call.user, "role": call.role, "pid": call.peer.pid}

    async def order(self, call: Call) -> str:
        return "done"

    async def hang(self, call: Call) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def flood(self, call: Call) -> AsyncIterator[bytes]:
        self.started.set()
        try:
            while True:
                self.made += 1
                yield b"x" * 100_000
        finally:
            self.cancelled.set()

    async def refuse(self, call: Call) -> None:
        raise UsageError("node.unknown", "No such node", "n1", "See `tiercast node list`.")

    async def crash(self, call: Call) -> None:
        raise RuntimeError("secret of the inside")

    async def gone(self, call: Call) -> None:
        raise FileNotFoundError(2, "No such file")

    async def big(self, call: Call) -> bytes:
        return b"x" * (framing.MAX_FRAME + 1)


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
async def path(tmp_path: Path, story: Story) -> AsyncIterator[Path]:
    async with ControlServer(tmp_path / "s" / "control.sock", story.verbs) as server:
        yield server.path


def _bad() -> int:
    return METRICS.counter("control_frames_bad_total", "").value


async def test_socket_and_folder_are_private(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) in {0o700, 0o750}


async def test_a_daemon_may_keep_its_group_out(tmp_path: Path, story: Story) -> None:
    async with ControlServer(tmp_path / "control.sock", story.verbs, group="no-such-group", mode=0o600) as server:
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600


async def test_the_kernel_says_who_calls(path: Path) -> None:
    async with connect(path) as client:
        assert await client.call("hello") == {
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "role": "admin",
            "pid": os.getpid(),
        }


async def test_errors_of_humans_arrive_as_they_are(path: Path) -> None:
    async with connect(path) as client:
        with pytest.raises(UsageError) as caught:
            await client.call("refuse")
        assert caught.value == UsageError("node.unknown", "No such node", "n1", "See `tiercast node list`.")


@pytest.mark.parametrize("verb", ["crash", "gone", "big"])
async def test_our_own_errors_do_not_end_the_daemon_nor_tell_its_inside(path: Path, verb: str) -> None:
    async with connect(path) as client:
        with pytest.raises(UsageError) as caught:
            await client.call(verb)
        assert caught.value.code == "daemon.failed"
        assert "secret" not in str(caught.value)
        assert (await client.call("hello"))["role"] == "admin"


async def test_an_unknown_verb_is_an_error_of_the_call(path: Path) -> None:
    async with connect(path) as client:
        with pytest.raises(UsageError) as caught:
            await client.call("nix")
        assert caught.value.code == "verb.unknown"


@pytest.mark.parametrize(
    ("role", "code"), [("operator", "role.missing"), ("viewer", "role.missing"), (None, "role.none")]
)
async def test_roles(path: Path, monkeypatch: pytest.MonkeyPatch, role: str | None, code: str) -> None:
    monkeypatch.setattr(server_module.peers, "role_of", lambda *_, **__: role)
    async with connect(path) as client:
        with pytest.raises(UsageError) as caught:
            await client.call("order")
        assert caught.value.code == code


async def test_a_client_that_goes_away_cancels_its_calls(path: Path, story: Story) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(framing.pack({"id": 1, "verb": "hang"}))
    await story.started.wait()
    writer.close()
    await asyncio.wait_for(story.cancelled.wait(), 60)
    del reader


async def test_a_cancel_ends_one_call_and_leaves_the_others(path: Path, story: Story) -> None:
    async with connect(path) as client:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            hanging = tasks.create_task(client.call("hang"))
            await story.started.wait()
            hanging.cancel()
            await story.cancelled.wait()
        assert (await client.call("hello"))["role"] == "admin"


async def test_a_slow_reader_stops_its_stream_and_costs_no_memory(path: Path, story: Story) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(framing.pack({"id": 1, "verb": "flood"}))
        await story.started.wait()
        before = -1
        while before != story.made:  # until nothing more is made
            before = story.made
            await asyncio.sleep(0.1)
        assert story.made * 100_000 < 4 << 20
        async with connect(path) as other:
            assert (await other.call("hello"))["role"] == "admin"
    await asyncio.wait_for(story.cancelled.wait(), 60)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 100,
        framing.LENGTH.pack(5) + b"\xc1\xc1\xc1\xc1\xc1",
        framing.LENGTH.pack(20_000) + b"\x91" * 20_000,
        framing.pack({"id": 0, "verb": "hello"}),
        framing.pack({"id": 1, "verb": "hello", "args": []}),
        framing.pack({"id": 1, "verb": "hang"}) + framing.pack({"id": 1, "verb": "hello"}),
        framing.LENGTH.pack(100) + b"half",
    ],
)
async def test_garbage_ends_its_connection_and_is_counted(path: Path, garbage: bytes) -> None:
    before = _bad()
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(garbage)
    writer.write_eof()
    async with asyncio.timeout(60):
        await reader.read()
    writer.close()
    assert _bad() == before + 1
    async with connect(path) as client:
        assert (await client.call("hello"))["role"] == "admin"


async def test_an_announced_frame_takes_no_memory_before_it_comes(path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    open_: list[asyncio.StreamWriter] = []
    for _ in range(40):
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.write(framing.LENGTH.pack(framing.MAX_FRAME) + b"x")
        open_.append(writer)
    async with connect(path) as client:
        await client.call("hello")
    for writer in open_:
        writer.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


async def test_too_many_calls_and_connections(tmp_path: Path, story: Story) -> None:
    async with (
        ControlServer(tmp_path / "s", story.verbs, max_connections=1, max_calls=2) as server,
        connect(server.path) as client,
        asyncio.TaskGroup() as tasks,
    ):
        hanging = [tasks.create_task(client.call("hang")) for _ in range(2)]
        await story.started.wait()
        with pytest.raises(UsageError, match="2 calls") as caught:
            await client.call("hello")
        assert caught.value.code == "control.busy"
        async with connect(server.path) as second:
            with pytest.raises(UsageError, match="1 connections"):
                await second.call("hello")
        for task in hanging:
            task.cancel()


async def test_a_socket_of_a_dead_daemon_is_replaced_and_a_living_one_is_not(tmp_path: Path, story: Story) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with ControlServer(path, story.verbs):
        with pytest.raises(StateError, match="another daemon listens"):
            await ControlServer(path, story.verbs).__aenter__()
        async with connect(path) as client:
            assert (await client.call("hello"))["role"] == "admin"
    assert not path.exists()


async def test_a_file_in_its_place_is_left_alone(tmp_path: Path, story: Story) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(StateError):
        await ControlServer(tmp_path / "f", story.verbs).__aenter__()
    assert (tmp_path / "f").read_text() == "mine"


async def test_a_folder_that_others_write_is_refused(tmp_path: Path, story: Story) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StateError, match="others could replace"):
        await ControlServer(tmp_path / "s", story.verbs).__aenter__()


async def test_the_end_of_the_server_ends_its_calls(tmp_path: Path, story: Story) -> None:
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        async with ControlServer(tmp_path / "s", story.verbs) as server:

            async def ask() -> None:
                async with connect(server.path) as client:
                    with pytest.raises(UsageError, match="daemon is gone"):
                        await client.call("hang")

            tasks.create_task(ask())
            await story.started.wait()
        assert story.cancelled.is_set()
