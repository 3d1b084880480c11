"""Keeps the process small: what chunks pass through must not stay with the allocator.

Rules
- glibc gives each thread an arena of its own and keeps what was freed in it; with chunks of up to 256 KiB going
  through several threads that is 10 to 20 MiB for nothing.  Two arenas do, and what is free goes back after a job.
- With another C library there is nothing to do, and nothing is done.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

#: mallopt's number for the most arenas.
_M_ARENA_MAX = -8
_ARENAS = 2
#: Threads for blocking work; the disk gains nothing by more, and each keeps a stack and buffers.
_THREADS = 3
#: Seconds without anything that ends.
QUIET_S = 5.0


def keep_small() -> None:
    """Bound arenas and threads; once, in the event loop, before work begins."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="work"))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


class Quiet:
    """Gives memory back once nothing was done for a while: what a job used is let go of little by little after its end.

    Args:
        let_go: has others drop what they keep for more of the same.
    """

    def __init__(self, let_go: Callable[[], None] = lambda: None) -> None:
        self._let_go = let_go
        self._timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """Something has ended: later, unless it happens again before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(QUIET_S, self._give_back)

    def _give_back(self) -> None:
        self._timer = None
        self._let_go()
        gc.collect()
        give_back()


def give_back() -> None:
    """Return free memory to the system (some milliseconds)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
