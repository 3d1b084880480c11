"""Waits for a daemon that is starting: who types the next command at once need not type it twice.

Rules
- It starts while its state folder's lock is held and its socket does not answer: up to `PATIENCE_S` for that.
- A folder with settings whose lock nobody holds may be one whose daemon was started in this very moment: `GRACE_S`.
- Anything else is not waited for.  Looking never takes the lock, which would keep the daemon from starting.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from pathlib import Path

PATIENCE_S = 5.0
GRACE_S = 1.0
_PAUSE_S = 0.05
_SETTINGS = ("server.toml", "gateway.toml", "endpoint.toml")


async def wait_for(path: Path, folder: Path) -> None:
    """Return when the socket `path` answers, or when waiting for the daemon of `folder` is pointless."""
    began = time.monotonic()
    while not _answered(path):
        waited = time.monotonic() - began
        if waited > PATIENCE_S:
            return
        if not held(folder / "lock") and (waited > GRACE_S or not any((folder / name).exists() for name in _SETTINGS)):
            return
        await asyncio.sleep(_PAUSE_S)


def _answered(path: Path) -> bool:
    """Whether somebody listens, or connecting fails in a way that no waiting mends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            return error.errno not in {errno.ENOENT, errno.ECONNREFUSED}
    return True


def held(lock: Path) -> bool:
    """Whether a process holds the flock on `lock`, as the kernel lists it."""
    try:
        inode = str(lock.stat().st_ino)
        pid = lock.read_bytes()[:32].decode("ascii", "replace").strip() if os.access(lock, os.R_OK) else ""
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return False
    for line in lines:
        words = line.split()
        # some file systems list an inode of theirs: then the process that the lock file names tells
        if "FLOCK" in words and (words[-3].rpartition(":")[2] == inode or words[-4] == pid):
            return True
    return False
