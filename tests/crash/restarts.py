"""A machine that is restarted: what a service manager and the kernel do between two lives of an agent.

Rules
- Every process that the former life left is gone, and the machine has another id.
- Before the agent starts, what was half placed is recovered (`tiercast-recover.service`).
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from contextlib import suppress
from pathlib import Path

from tests.crash.lives import BOOT_ID

from tiercast_endpoint.acting.recovery import recover

GONE_S = 30.0


def restart_machine(folder: Path) -> list[str]:
    """Restart the machine of the agent in `folder`; what was recovered early."""
    deadline = time.monotonic() + GONE_S
    while left := left_of(folder):
        assert time.monotonic() < deadline, f"{left} do not end"
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    (folder / BOOT_ID).write_text(str(uuid.uuid4()))
    agent = folder / "agent"
    return recover(agent / "agent.db", agent / "prefix", agent / "kept")


def left_of(folder: Path) -> list[int]:
    """Processes that an agent in `folder` started: their environment names its tree, or they work inside."""
    mark = f"TIERCAST_TREE={folder}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended, or is not ours
            inside = (entry / "cwd").readlink().is_relative_to(folder)
            if inside or mark in b"\0" + (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found
