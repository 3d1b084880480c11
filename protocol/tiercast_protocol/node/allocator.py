"""Large blocks go back to the system when they are freed.

Rules
- Left alone, glibc learns from each large block that is freed to keep the next ones (up to 32 MiB) in its heaps, of
  which every thread may have one, and what lies free at the end of such a heap stays with the process whoever trims.
  Applying patches, whose references are 16 MiB, a process kept up to 177 MiB of nothing.
- So blocks of `LARGE` bytes and more have a mapping of their own, always, and an end of a heap is kept up to `KEPT`.
  Chunks, frames and buffers of the receive path are smaller and stay in the heaps.
- With another C library there is nothing to do, and nothing is done.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

LARGE, KEPT = 4 << 20, 2 << 20
#: mallopt's numbers for the least block with a mapping of its own, and the most that is free at the end of a heap.
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1


def large_blocks_apart() -> None:
    """Have it so in this process; once, at its start."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT)
