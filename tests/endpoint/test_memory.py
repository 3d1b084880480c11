"""Free memory goes back to the system."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tiercast_endpoint import memory
from tiercast_endpoint.memory import Quiet, give_back, keep_small


def anonymous_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


async def test_what_is_freed_goes_back() -> None:
    keep_small()
    names = {await asyncio.to_thread(lambda: threading.current_thread().name) for _ in range(20)}
    assert len(names) <= 3
    held = [bytes(bytearray(100_000)) for _ in range(400)]
    full = anonymous_kib()
    keep = held[-1]
    held.clear()
    give_back()
    assert anonymous_kib() < full - 20_000
    assert len(keep) == 100_000


async def test_only_what_was_quiet_for_a_while_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "QUIET_S", 0.02)
    swept: list[float] = []
    done = asyncio.Event()
    quiet = Quiet(lambda: (swept.append(asyncio.get_running_loop().time()), done.set())[0])
    for _ in range(5):
        quiet.soon()
        await asyncio.sleep(0)
    last = asyncio.get_running_loop().time()
    async with asyncio.timeout(60):
        await done.wait()
    assert len(swept) == 1
    assert swept[0] >= last
