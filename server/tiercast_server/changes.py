"""Who waits for a job to change is told when it may have.

Rules
- A touch says "look again", never what changed: many touches in a row are one look.
"""

from __future__ import annotations

import asyncio
from collections import Counter


class Changes:
    """Touched jobs and those who wait for them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._touched = asyncio.Event()

    def touch(self, *jobs: str) -> None:
        """These jobs may look different now."""
        self._counts.update(jobs)
        touched, self._touched = self._touched, asyncio.Event()
        touched.set()

    def count(self, job: str) -> int:
        """How often `job` was touched; remember it before you look, wait for more afterwards."""
        return self._counts[job]

    async def wait(self, job: str, seen: int, *, timeout: float) -> None:
        """Until `job` was touched more than `seen` times, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._counts[job] <= seen:
                    await self._touched.wait()
        except TimeoutError:
            return
