"""Reports on their way to the parent: in order, and never more of them than the socket will take soon.

Rules
- What does not fit is not kept: once there is room all of it is said again, from what is true then.
- A lost connection loses them; the next one has everything said again anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tiercast_protocol.wire import codec, frame
from tiercast_protocol.wire.messages import Report

#: Reports that wait for the socket.
MOST_REPORTS = 256


class Reports:
    """The queue before the bulk connection.

    Args:
        publish: sends one; returns when the socket takes more.
        again: has all that is to be said made into reports anew.
    """

    def __init__(self, publish: Callable[[bytes], Awaitable[None]], again: Callable[[], None]) -> None:
        self._publish, self._again = publish, again
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(MOST_REPORTS)
        self._unsaid = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._queue.qsize()

    def say(self, report: Report) -> None:
        """Send it after those that wait."""
        if self._queue.full():
            self._unsaid = True
        else:
            self._queue.put_nowait(frame.guarded(codec.encode(report)))

    async def run(self) -> None:
        """Publish, until cancelled."""
        while True:
            await self._publish(await self._queue.get())
            if self._unsaid and self._queue.empty():
                self._unsaid = False
                self._again()
