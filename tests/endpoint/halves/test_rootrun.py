"""The root half as a process: begun by a socket that is passed to it, and gone when nobody asks."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.endpoint.halves.test_trusted import enrolled
from tests.endpoint.lab import Region, agent_over, pack
from tests.endpoint.two import USER

from tiercast_endpoint.halves import rootrun, trusted
from tiercast_endpoint.halves.trusted import RootSettings
from tiercast_endpoint.jobs.story import Step
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.errors import StateError, UsageError
from tiercast_protocol.node.config import Duration, Size

#: Becomes the program with its id in LISTEN_PID, and the socket where a service manager puts it.
PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "tiercast_endpoint", *sys.argv[2:]])
"""


class Activator:
    """What a service manager does with `Accept=no`: waits for a connection, then starts the service with the socket."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen()
        self.folder = folder
        self.codes: list[int] = []
        self.process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        loop, env = asyncio.get_running_loop(), {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        while True:
            came = asyncio.Event()
            loop.add_reader(self.sock, came.set)
            try:
                await came.wait()
            finally:
                loop.remove_reader(self.sock)
            fd = self.sock.fileno()
            args = [str(fd), "root", "run", "--state", str(self.folder)]
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", PASS, *args, env=env, pass_fds=[fd], stderr=subprocess.DEVNULL
            )
            try:
                self.codes.append(await self.process.wait())
            finally:
                if self.process.returncode is None:
                    self.process.kill()
                    await self.process.wait()


@pytest.fixture
def place(tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root's own folder, for a half that is a process."""
    monkeypatch.setattr("tiercast_endpoint.halves.halves.CLOSE_S", 0.05)
    settings = RootSettings(
        install_root=tmp_path / "agent" / "root", user=USER, reserve=Size(0), idle=Duration(0.2), log_level="error"
    )
    said = enrolled(region)
    said.generation = region.generation  # type: ignore[misc]
    trusted.write(tmp_path / "rooted", settings, said)
    return tmp_path / "rooted"


async def test_it_is_begun_by_its_socket_and_gone_when_idle(tmp_path: Path, region: Region, place: Path) -> None:
    path = tmp_path / "s"
    one, two = pack("hello", "1.0", {"a": b"one"}), pack("hello", "2.0", {"a": b"two"})
    activator = Activator(path, place)
    with activator.sock:
        async with asyncio.TaskGroup() as tasks:
            manager = tasks.create_task(activator.run())
            async with agent_over(tmp_path / "agent", region, root_half=path) as agent:
                agent.offer(one, two)
                for number, package in enumerate((one, two), 1):
                    record = await agent.do(f"j{number}", "install", package)
                    assert (record.state, record.detail) == ("done", "")
                    assert agent.tree("hello") == package.files
                    async with asyncio.timeout(60):
                        while len(activator.codes) < number:  # noqa: ASYNC110 - no event for us
                            await asyncio.sleep(0.01)
            manager.cancel()
    assert activator.codes == [0, 0]


async def test_killed_at_any_step_it_goes_on_where_it_was(tmp_path: Path, region: Region, place: Path) -> None:
    rng = random.Random(7)
    ran = tmp_path / "ran"
    program = Program(argv=("/bin/sh", "-c", f"echo x >> {ran}"))
    one = pack("hello", "1.0", {"a": b"one", "big": os.urandom(2_000_000)}, run_before=program)
    activator = Activator(tmp_path / "s", place)
    kills: list[Step] = []

    async def watch(moment: str, step: Step) -> None:
        # once before run-before and at each step that may be repeated, somewhere in its middle
        if moment == "performing" and step in {Step.ASSEMBLE, Step.SWITCH, Step.SETTLE} and step not in kills:
            kills.append(step)
            asyncio.get_running_loop().call_later(rng.random() * 0.03, kill)

    def kill() -> None:
        if activator.process is not None and activator.process.returncode is None:
            activator.process.kill()

    with activator.sock:
        async with asyncio.TaskGroup() as tasks:
            manager = tasks.create_task(activator.run())
            async with agent_over(tmp_path / "agent", region, root_half=tmp_path / "s", watch=watch) as agent:
                agent.offer(one)
                record = await agent.do("j1", "install", one)
                assert (record.state, record.detail) == ("done", "")
                assert agent.tree("hello") == one.files
            manager.cancel()
    assert kills == [Step.ASSEMBLE, Step.SWITCH, Step.SETTLE]
    assert ran.read_text() == "x\n"
    assert -9 in activator.codes


def test_what_is_no_listening_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rootrun.passed_socket() is None
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    with pytest.raises(UsageError, match="one listening UNIX socket"):
        rootrun.passed_socket()
    monkeypatch.setenv("LISTEN_PID", "1")
    assert rootrun.passed_socket() is None


def test_a_path_that_is_taken_by_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StateError):
        rootrun.own_socket(tmp_path / "file", os.geteuid())
    assert (tmp_path / "file").read_text() == "x"
    rootrun.own_socket(tmp_path / "s", os.geteuid()).close()
    rootrun.own_socket(tmp_path / "s", os.geteuid()).close()
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
