"""Blocking work in a thread, that a cancelled task does not leave behind.

Rules
- `asyncio.to_thread` returns at once when its task is cancelled, and the thread goes on: it would write to a
  descriptor that was closed meanwhile, or build a tree that is being deleted.  Here the task waits for its thread.
- So what is given to a thread is bounded: one batch, one file, one tree to delete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function` returns or raises, run in a thread; a cancel is heard when it has ended."""
    future = asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if not future.done():
            await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # taken note of: the cancel is what is told
        raise
