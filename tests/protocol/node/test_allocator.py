"""What large blocks leave behind once they are freed."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

import tiercast_protocol

#: Six threads, each with blocks of 8 and 16 MiB that small ones outlive: growth of the process in MiB.
SCRIPT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from tiercast_protocol.node.allocator import large_blocks_apart

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024

def work(_number):
    together.wait()
    large = [bytearray(16 << 20) for _ in range(2)]
    small = [bytes(2000) for _ in range(100)]
    large += [bytearray(b"x") * (8 << 20)]
    return small

if sys.argv[1] == "apart":
    large_blocks_apart()
together = Barrier(6)
before = anonymous()
with ThreadPoolExecutor(6) as some:
    kept = [list(some.map(work, range(6))) for _ in range(4)]
    print(anonymous() - before)
"""


def growth(mode: str) -> int:
    path = str(Path(tiercast_protocol.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps them")
def test_large_blocks_that_are_freed_are_gone() -> None:
    assert growth("as it is") > 2 * growth("apart")
    assert growth("apart") < 24
