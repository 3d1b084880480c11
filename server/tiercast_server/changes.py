"""Who waits for a job to change is told when it may have.

Rules
- A touch says "look again", never what changed: many touches in a row are one look.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping


class Changes:
    """Touched jobs and those who wait for them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._ended: set[str] = set()
        self._touched = asyncio.Event()

    def touch(self, *jobs: str) -> None:
        """These jobs may look different now."""
        self._counts.update(jobs)
        touched, self._touched = self._touched, asyncio.Event()
        touched.set()

    def end(self, *jobs: str) -> None:
        """These jobs have ended: whoever paces himself need not."""
        self._ended.update(jobs)
        self.touch(*jobs)

    async def pace(self, job: str, seconds: float) -> None:
        """Let `seconds` pass, or less if `job` ends."""
        await self._until(lambda: job in self._ended, seconds)

    def count(self, job: str) -> int:
        """How often `job` was touched; remember it before you look, wait for more afterwards."""
        return self._counts[job]

    async def wait(self, job: str, seen: int, *, timeout: float) -> None:
        """Until `job` was touched more than `seen` times, at most `timeout` seconds."""
        await self._until(lambda: self._counts[job] > seen, timeout)

    async def wait_any(self, seen: Mapping[str, int], *, timeout: float) -> None:
        """Until one of these jobs was touched more often than was seen, at most `timeout` seconds."""
        await self._until(lambda: any(self._counts[job] > count for job, count in seen.items()), timeout)

    def touches(self) -> int:
        """How often any job was touched; as `count`, for `wait_touch`."""
        return self._counts.total()

    async def wait_touch(self, seen: int, *, timeout: float) -> None:
        """Until there were more than `seen` touches, at most `timeout` seconds."""
        await self._until(lambda: self.touches() > seen, timeout)

    async def _until(self, true: Callable[[], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not true():
                    await self._touched.wait()
        except TimeoutError:
            return
