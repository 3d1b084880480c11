"""The agent starts again because the region ordered it (docs/jobs.md).

Rules
- Everything is unwound in order first, as at a signal; then the process puts a fresh one in its own place, with the
  command line that it was started with.  So it comes back also where no service manager would start it again, and one
  that watches it sees the same process.
- The order's job ends in the next life: its receipt says that the agent is back.
- Whoever stops the agent by a signal means it: an order that is under way then ends with the next start, whenever that
  is.
- A program that runs is waited for: ended by us, it would be `interrupted`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import structlog

from tiercast_protocol.node.lifecycle import Stop

log = structlog.get_logger(__name__)


class Restart:
    """Whether the agent is to start again; `asked` is set by whoever carries out the order."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        #: A signal told the agent to stop: whatever was ordered, it stays stopped.
        self.stopped = False
        self._unwinding = False

    @property
    def due(self) -> bool:
        """Whether what follows the end of this life is the next one."""
        return self._unwinding and not self.stopped

    async def wait(self, quiet: Callable[[], Awaitable[None]]) -> None:
        """Until it was asked for and `quiet` says when; then ends the daemon's tasks.

        Raises:
            Stop: now.
        """
        await self.asked.wait()
        await quiet()
        self._unwinding = True
        log.info("stopping", reason="restart ordered")
        raise Stop


def again() -> None:
    """Be a fresh process with the same command line; does not return.

    Raises:
        OSError: the interpreter is gone.
    """
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command line, no shell
