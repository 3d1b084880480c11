"""Children die with us, and what they say is logged."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tiercast_protocol.node import child as child_module
from tiercast_protocol.node.child import Child

PROGRAM = """
import sys, time
print(sys.argv[1], flush=True)
print("Error: " + sys.argv[1], file=sys.stderr, flush=True)
time.sleep(60)
"""


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def _said(capsys: pytest.CaptureFixture[str], text: str) -> str:
    out = ""
    async with asyncio.timeout(60):
        while text not in out:
            await asyncio.sleep(0.01)
            out += capsys.readouterr().out
    return out


async def test_what_it_says_is_logged_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    child = await Child.start([sys.executable, "-c", PROGRAM, "hello"], name="talker")
    assert child.alive
    out = await _said(capsys, "Error: hello")
    assert "error" in out
    await child.end()
    assert not child.alive
    assert child.returncode == -signal.SIGTERM
    await child.end()


async def test_one_that_does_not_listen_is_killed(capsys: pytest.CaptureFixture[str]) -> None:
    deaf = "import signal,time;signal.signal(15,signal.SIG_IGN);print('deaf',flush=True);time.sleep(60)"
    child = await Child.start([sys.executable, "-c", deaf], name="deaf")
    await _said(capsys, "deaf")
    await child.end(patience=0.1)
    assert child.returncode == -signal.SIGKILL


async def test_a_stopped_one_is_ended_too() -> None:
    child = await Child.start(["/bin/sleep", "60"], name="sleeper")
    child.signal(signal.SIGSTOP)
    await child.end(patience=5)
    assert not child.alive


async def test_waiting_may_be_given_up() -> None:
    child = await Child.start(["/bin/sleep", "60"], name="sleeper")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await child.wait()
    child.signal(signal.SIGKILL)
    assert await child.wait() == -9
    child.signal(signal.SIGTERM)  # of a dead one: nothing
    await child.end()


async def test_a_program_that_is_not_there() -> None:
    child = await Child.start(["/does/not/exist"], name="none")
    assert await child.wait() != 0
    await child.end()


async def test_its_environment() -> None:
    child = await Child.start(["/bin/sh", "-c", 'exit "$CODE"'], name="sh", environment={"CODE": "7"})
    assert await child.wait() == 7
    await child.end()


def test_it_dies_with_its_daemon_even_by_sigkill() -> None:
    program = (
        "import asyncio\nfrom tiercast_protocol.node.child import Child\n"
        "async def main():\n"
        "    child = await Child.start(['/bin/sleep','60'],name='x')\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    root = str(Path(child_module.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as daemon:
        assert daemon.stdout is not None
        pid = int(daemon.stdout.readline())
        # the launcher has become the program: from then on the kernel stands by its word
        _until(lambda: b"/bin/sleep" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0])
        daemon.kill()
        daemon.wait()
        _until(lambda: _gone(pid))


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
