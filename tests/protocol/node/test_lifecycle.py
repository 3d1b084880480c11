"""A daemon's life, told by real processes and real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tiercast_protocol.errors import ConfigError, Mistake, StateError, UsageError
from tiercast_protocol.node import lifecycle

Start = Callable[..., subprocess.Popen[str]]

PROGRAM = """
import asyncio, sys
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import lifecycle, logs
logs.configure("info", "json")

def say(text):
    print(text, flush=True)

async def main(stack):
    stack.callback(say, "unwound first")
    stack.callback(say, "unwound last")
    if "early" in sys.argv:
        say("started"); await asyncio.sleep(60)
    if "usage" in sys.argv:
        raise UsageError("x.y", "this is wrong", "here", "mend it")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(lifecycle.until_signal())
        if "crash" in sys.argv:
            raise RuntimeError("boom")
        if "stubborn" in sys.argv:
            async def never():
                while True:
                    try:
                        await asyncio.sleep(60)
                    except asyncio.CancelledError:
                        say("not yet")
            tasks.create_task(never())
        await asyncio.sleep(0)
        lifecycle.ready(name="n")
        say("started")

sys.exit(lifecycle.run_daemon(main))
"""


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def _start(*args: str, **environment: str) -> subprocess.Popen[str]:
        root = str(Path(lifecycle.__file__).parents[2])
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root, **environment},
        )
        started.append(process)
        return process

    yield _start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", ["serving", "early"])
def test_a_signal_unwinds_in_reverse_and_exits_0(start: Start, number: int, when: str) -> None:
    process = start(when)
    assert _line(process) == "started\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert out.splitlines() == ["unwound last", "unwound first"]
    assert process.returncode == 0
    assert '"event": "stopping"' in err
    assert "Traceback" not in err


def test_a_second_signal_does_not_wait(start: Start) -> None:
    process = start("stubborn")
    assert _line(process) == "started\n"
    process.terminate()
    assert _line(process) == "not yet\n"
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "unwound" not in out


def test_a_mistake_of_a_human_is_said_plainly(start: Start) -> None:
    out, err = start("usage").communicate(timeout=60)
    assert err == "error: this is wrong (here)\n  mend it\n"
    assert "unwound first" in out


def test_a_bug_is_logged_with_its_traceback(start: Start) -> None:
    process = start("crash")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert '"event": "failed"' in err
    assert "boom" in err


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears_all(start: Start, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(60)
        path = f"/tmp/tiercast-test-{os.getpid()}-{abstract:d}"
        try:
            manager.bind("\0" + path if abstract else path)
            process = start(NOTIFY_SOCKET="@" + path if abstract else path, WATCHDOG_USEC="200000")
            heard = [manager.recv(200).decode().splitlines() for _ in range(4)]
            process.terminate()
            while heard[-1] != ["STOPPING=1"]:
                heard.append(manager.recv(200).decode().splitlines())
        finally:
            Path(path).unlink(missing_ok=True)
    assert process.wait(60) == 0
    assert sum("READY=1" in lines for lines in heard) == 1
    assert heard.count(["WATCHDOG=1"]) >= 3


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert lifecycle.notify("READY=1") is False
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert lifecycle.notify("READY=1") is False


def test_one_daemon_per_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with lifecycle.StateLock(folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        with pytest.raises(StateError, match=f"process {os.getpid()}") as caught, lifecycle.StateLock(folder):
            pass
        assert "--state" in caught.value.todo
    with lifecycle.StateLock(folder):
        pass


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    text = (
        "import sys,pathlib,time;from tiercast_protocol.node.lifecycle import StateLock\n"
        "with StateLock(pathlib.Path(sys.argv[1])): print('held',flush=True); time.sleep(60)"
    )
    root = str(Path(lifecycle.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", text, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as process:
        assert _line(process) == "held\n"
        with pytest.raises(StateError, match=f"process {process.pid}"), lifecycle.StateLock(tmp_path):
            pass
        process.kill()
        process.wait()
        with lifecycle.StateLock(tmp_path):
            pass


def test_a_folder_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError), lifecycle.StateLock(tmp_path / "file"):
        pass


def test_exit_codes() -> None:
    assert lifecycle.exit_code_for(UsageError("a", "b")) == 2
    assert lifecycle.exit_code_for(ConfigError("f", (Mistake("k", "p", "e"),))) == 2
    assert lifecycle.exit_code_for(UsageError("daemon.unreachable", "b")) == 3
    assert lifecycle.exit_code_for(StateError("a", "b", "c")) == 1
    assert lifecycle.exit_code_for(KeyboardInterrupt()) == 130
    group = ExceptionGroup("", [ExceptionGroup("", [ValueError("x")]), KeyError("y")])
    assert [type(e) for e in lifecycle.leaves(group)] == [ValueError, KeyError]


async def test_until_signal_needs_a_daemon() -> None:
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(lifecycle.until_signal(), 1)
