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
import json
import os
import sys
from collections.abc import Awaitable, Callable

import structlog

from tiercast_endpoint.update.starter import AGAIN, BEFORE
from tiercast_protocol.node.lifecycle import Stop

log = structlog.get_logger(__name__)


class Restart:
    """Whether the agent is to start again; `asked` is set by whoever carries out the order."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        #: A signal told the agent to stop: whatever was ordered, it stays stopped.
        self.stopped = False
        self._unwinding = False
        #: The job that asked: its own program is not waited for.
        self.but = ""

    @property
    def due(self) -> bool:
        """Whether what follows the end of this life is the next one."""
        return self._unwinding and not self.stopped

    async def wait(self, quiet: Callable[[str], Awaitable[None]]) -> None:
        """Until it was asked for and `quiet`, told whose job is not waited for, says when; then ends the tasks.

        Raises:
            Stop: now.
        """
        await self.asked.wait()
        await quiet(self.but)
        self._unwinding = True
        log.info("stopping", reason="restart ordered")
        raise Stop


def command_again() -> list[str]:
    """The command line of the starter that chose this version; empty without one."""
    try:
        said = json.loads(os.environ.get(AGAIN, "[]"))
    except ValueError:
        return []
    return said if isinstance(said, list) and all(isinstance(word, str) for word in said) else []


def again() -> None:
    """Be a fresh process with the same command line; does not return.

    Raises:
        OSError: the interpreter is gone.
    """
    # Whoever starts versions decides anew; what it set for this one is not for the next.
    command = command_again() or [sys.executable, *sys.orig_argv[1:]]
    if (before := os.environ.pop(BEFORE, None)) is not None:
        os.environ["PYTHONPATH"] = before
    os.execv(command[0], command)  # noqa: S606 - our own command line, no shell
