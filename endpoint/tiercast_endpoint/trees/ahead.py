"""Building a tree while its chunks still come (docs/on-the-endpoint.md).

Rules
- The tree is begun while the first chunks are asked for, which waits for nothing: those of large files go straight to
  their places (placing.py), unless they come before the tree knows of them.
- On a thin link the machine has time: what else is here is written to the tree at once, so that little is left to do
  when the last chunk has come.  A machine that is busy with the transfer itself builds afterwards.
- It is a gift: whatever goes wrong here is forgotten, and the step that assembles begins anew and says what is wrong.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from tiercast_endpoint.trees.assemble import Assembler

log = structlog.get_logger(__name__)

Digest = bytes
#: Called with bytes done and bytes in all.
Progress = Callable[[int, int], None]
#: Called with chunks that are asked for.
Asked = Callable[[Sequence[Digest]], None]
#: The share of the time that this process may wait for a processor before the machine counts as busy, and for how
#: many seconds what was seen holds.
BUSY_SHARE = 0.25
LOOK_SECONDS = 0.25
_SCHEDSTAT = Path("/proc/self/schedstat")


class Machine:
    """Whether the machine has a processor for us; where the system doesn't tell, it has."""

    def __init__(self, waited_ns: Callable[[], int] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._waited_ns = waited_ns or _waited_ns
        self._clock = clock
        self._at, self._waited = clock(), self._waited_ns()
        self._busy = True

    def busy(self) -> bool:
        """Whether we waited for a processor for too great a share of the last quarter of a second."""
        now = self._clock()
        if now >= self._at + LOOK_SECONDS:
            waited = self._waited_ns()
            self._busy = (waited - self._waited) / 1e9 > BUSY_SHARE * (now - self._at)
            self._at, self._waited = now, waited
        return self._busy


class Ahead:
    """The trees of one agent that are begun before all of their chunks are here, by the number of their job."""

    def __init__(self, machine: Machine | None = None) -> None:
        self._machine = machine or Machine()
        self._begun: dict[int, Assembler] = {}

    async def beside(
        self,
        number: int,
        begin: Callable[[], Awaitable[Assembler]],
        held: Callable[[Sequence[Digest]], bool],
        fetch: Callable[[Progress, Asked], Awaitable[None]],
        tell: Progress,
    ) -> None:
        """Fetch, and build what is here meanwhile; returns when all is fetched.

        Args:
            number: of the job.
            begin: opens the tree.
            held: whether all of these chunks can be read.
            fetch: brings the chunks, and tells its second argument which it asks for; raises what it raises.
            tell: told the progress of the fetching.
        """
        fetched = asyncio.Event()
        asked: asyncio.Queue[Sequence[Digest]] = asyncio.Queue()

        def ready(digests: Sequence[Digest]) -> bool:
            return not (fetched.is_set() or self._machine.busy()) and held(digests)

        async def expect(tree: Assembler) -> None:
            while not fetched.is_set():
                await tree.expect(await asked.get())

        async def build() -> None:
            try:
                tree = self._begun[number] = await begin()
                async with asyncio.TaskGroup() as tasks:
                    expecting = tasks.create_task(expect(tree))
                    whole = False
                    while not (whole or fetched.is_set()):
                        with suppress(TimeoutError):
                            async with asyncio.timeout(LOOK_SECONDS / 4):
                                await fetched.wait()
                        whole = await tree.advance(ready)
                    await fetched.wait()
                    expecting.cancel()
            except Exception as error:  # noqa: BLE001 - the step that assembles says what is wrong
                log.info("tree not built ahead", reason=str(error) or type(error).__name__)
                await self.drop(number)

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(build())
                try:
                    await fetch(tell, asked.put_nowait)
                finally:
                    fetched.set()
        except BaseExceptionGroup as group:
            await self.drop(number)
            raise group.exceptions[0] from None
        except BaseException:
            await self.drop(number)
            raise

    def take(self, number: int) -> Assembler | None:
        """The tree that was begun for the job; whoever takes it closes it."""
        return self._begun.pop(number, None)

    async def drop(self, number: int) -> None:
        """Close what was begun for the job; its folder is the caller's."""
        assembler = self._begun.pop(number, None)
        if assembler is not None:
            await assembler.close()


def _waited_ns() -> int:
    """Nanoseconds for which this process was ready to run and did not."""
    try:
        return int(_SCHEDSTAT.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
