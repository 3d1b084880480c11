"""This node's own word on each open job: how much of the package it holds for those below.

Rules
- A record with this node as its target, state "relaying", or "held" when every chunk is here; bytes are raw
  bytes of the files.  Where the node is itself a target of the job, its own work speaks instead.
- At most once a second and job, but for the last: "held" is said at once.
- `seq` is the clock in milliseconds, so that it grows over restarts; from the start on it runs with the steady clock,
  or what was said before a clock was set back would stand for good.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tiercast_gateway.depot.holdings import Holding, Holdings
from tiercast_gateway.orders.orders import needs_content
from tiercast_protocol.wire.messages import StatusRecord

if TYPE_CHECKING:
    from tiercast_gateway.depot.depot import Depot
    from tiercast_protocol.content.jobs.order import Order

Digest = bytes
EVERY_SECONDS = 1.0


class Progress:
    """Follows the packages of open jobs; `tell` takes this node's records.

    With `silent` nothing is said (the server: its library holds everything).
    """

    def __init__(
        self, me: str, depot: Depot, tell: Callable[[StatusRecord], Awaitable[None]], *, silent: bool = False
    ) -> None:
        self._me, self._tell, self._silent = me, tell, silent
        self._began = time.time() - time.monotonic()
        self.holdings = Holdings(depot, self._figures_changed)
        self._jobs: dict[str, Order] = {}
        self._own: set[str] = set()
        self._why: dict[str, str] = {}
        #: Jobs without content, of which nothing is said but why they wait here.
        self._bare: dict[str, Order] = {}
        self._bare_changed: set[str] = set()
        self._changed: set[Digest] = set()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()

    def job_changed(self, order: Order, open_: bool) -> None:  # noqa: FBT001 - the callback of `Orders`
        """A job was opened (or its revision is new), or closed."""
        if self._silent:
            return
        if open_ and needs_content(order):
            self._jobs[order.job] = order
            self.holdings.follow(order.root)
            self._changed.add(order.root)
            self._wake.set()
        elif open_:
            self._bare[order.job] = order
        elif self._bare.pop(order.job, None) is not None:
            self._why.pop(order.job, None)
        elif (known := self._jobs.get(order.job)) is not None and known.revision <= order.revision:
            del self._jobs[order.job]
            self._own.discard(order.job)
            self._why.pop(order.job, None)
            if all(other.root != known.root for other in self._jobs.values()):
                self.holdings.leave(known.root)

    def reasons_changed(self, job: str, reasons: str) -> None:
        """Why the job does not go on below is another thing now, or nothing ("")."""
        order = self._jobs.get(job)
        if order is not None:
            self._why[job] = reasons
            self._changed.add(order.root)
            self._wake.set()
        elif job in self._bare:
            self._why[job] = reasons
            self._bare_changed.add(job)
            self._wake.set()

    def own_work(self, job: str) -> None:
        """The node is a target of this job itself."""
        self._own.add(job)

    def chunk_arrived(self, digest: Digest) -> None:
        """The depot holds one chunk more."""
        self.holdings.chunk_arrived(digest)

    async def run(self) -> None:
        """Say what changed, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.holdings.run())
            while True:
                await self._wake.wait()
                self._wake.clear()
                roots, self._changed = self._changed, set()
                self._urgent.clear()
                for order in list(self._jobs.values()):
                    holding = self.holdings.get(order.root)
                    known = holding is not None or order.job in self._why  # without room not even the root is here
                    if order.root in roots and order.job not in self._own and known:
                        await self._tell(self._record(order, holding))
                bare, self._bare_changed = self._bare_changed, set()
                for job in sorted(bare & self._bare.keys()):
                    await self._tell(self._record(self._bare[job], None))
                try:
                    async with asyncio.timeout(EVERY_SECONDS):
                        await self._urgent.wait()
                except TimeoutError:
                    continue

    def _figures_changed(self, root: Digest) -> None:
        self._changed.add(root)
        self._wake.set()
        holding = self.holdings.get(root)
        if holding is not None and holding.complete:
            self._urgent.set()

    def _record(self, order: Order, holding: Holding | None) -> StatusRecord:
        seq = int((self._began + time.monotonic()) * 1000)
        return StatusRecord(
            job=order.job,
            revision=order.revision,
            target=self._me,
            attempt=0,
            seq=seq,
            state="held" if holding is not None and holding.complete else "relaying",
            at=time.time_ns() // 1_000_000,
            done=holding.done if holding is not None else 0,
            total=holding.total if holding is not None else 0,
            detail=self._why.get(order.job, ""),
        )
