"""What a gateway does by itself because an order names it: preload, purge, cancel.

Rules
- Only with the region's signature and this node's own inclusion proof (docs/protocol.md, section 7).
- Idempotent: after a restart the same order is begun again, and what is held is not fetched again.
- It ends with a receipt signed by this node's key, exactly one per (job, revision) that counts; `seq` is the
  clock in milliseconds, so it grows over restarts.
- A preload brings the file groups that machines below take (depot/kinds.py).
- A failed preload says why; full disk and absent chunks are tried again, for both may pass: as the order says, else
  for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import structlog

from tiercast_protocol.content.jobs import times
from tiercast_protocol.content.jobs.order import CANCEL, PRELOAD, PURGE, Order, check_target
from tiercast_protocol.content.jobs.reason import Reason, because, packed
from tiercast_protocol.content.jobs.receipt import Receipt, sign_receipt
from tiercast_protocol.content.jobs.understood import not_understood
from tiercast_protocol.content.sealed.manifest import Root
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, SignatureInvalid, StoreFull, TiercastError, UsageError
from tiercast_protocol.node.fetch import Fetcher, fetch_package
from tiercast_protocol.wire.messages import StatusRecord

if TYPE_CHECKING:
    from tiercast_gateway.depot.depot import Depot
    from tiercast_gateway.orders.orders import OwnOrder

log = structlog.get_logger(__name__)

Digest = bytes

#: Pauses before a preload that lacks chunks or room is tried again, in seconds, where its order says nothing of tries.
RETRIES = (2.0, 10.0, 30.0)
_TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is: its key pair and the generation of its name."""

    name: str
    key: PrivateKey
    generation: int


class OwnWork:
    """Runs this node's own part of orders, one task per job.

    Args:
        identity: signs receipts.
        depot: what is filled and emptied.
        fetcher: brings chunks from above.
        bring: makes what patches make of a package.
        left_out: says what of a package is for nobody below.
        tell: takes this node's status records.
        done: called when the order needs no more work here.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        depot: Depot,
        fetcher: Fetcher,
        bring: Callable[[Digest, str], Awaitable[None]],
        left_out: Callable[[Root], Awaitable[frozenset[str]]],
        tell: Callable[[StatusRecord], Awaitable[None]],
        done: Callable[[Order], Awaitable[None]],
    ) -> None:
        self._identity, self._depot, self._fetcher, self._bring = identity, depot, fetcher, bring
        self._left_out, self._tell, self._done = left_out, tell, done
        #: Why a job is tried again after a pause.
        self._again: dict[str, Reason] = {}
        self._queue: asyncio.Queue[OwnOrder] = asyncio.Queue()
        self._running: dict[str, tuple[int, asyncio.Task[None]]] = {}

    def do(self, own: OwnOrder) -> None:
        """Begin, unless this or a later revision of the job is under way."""
        self._queue.put_nowait(own)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                own = await self._queue.get()
                job = own.order.job
                revision, running = self._running.get(job, (0, None))
                if revision >= own.order.revision:
                    continue
                if running is not None:
                    running.cancel()
                task = tasks.create_task(self._work(own))
                self._running[job] = (own.order.revision, task)
                task.add_done_callback(partial(self._ended, job))

    def _ended(self, job: str, task: asyncio.Task[None]) -> None:
        if self._running.get(job, (0, None))[1] is task:
            del self._running[job]

    async def _work(self, own: OwnOrder) -> None:
        order, started = own.order, _now()
        structlog.contextvars.bind_contextvars(cause=own.cause)
        try:
            await self._act(own)
        except SignatureInvalid as error:
            await self._finish(order, started, "rejected", "order.proof", str(error))
        except UsageError as error:
            state = "rejected" if error.code == "order.unknown-option" else "failed"
            await self._finish(order, started, state, error.code, error.what)
        except (ChunkMissing, ChunkCorrupt) as error:
            await self._finish(order, started, "failed", "chunk.missing", str(error))
        except StoreFull as error:
            await self._finish(order, started, "failed", "store.full", str(error))
        except TiercastError as error:
            await self._finish(order, started, "failed", "package.invalid", str(error))
        except Exception:
            log.exception("order.broken", job=order.job)
            await self._finish(order, started, "failed", "internal", "see this node's log")
        else:
            await self._finish(order, started, "cancelled" if order.type == CANCEL else "done", "", "")

    async def _act(self, own: OwnOrder) -> None:
        order = own.order
        check_target(order, own.target, self._identity.key.public, self._identity.generation)
        if unknown := not_understood(order.must):
            raise UsageError(code="order.unknown-option", what=f"Not known here: {', '.join(unknown)}.")
        if order.type == PRELOAD:
            await self._preload(order)
        elif order.type == PURGE:
            freed = await self._depot.drop(order.root)
            log.info("depot.purged", package=order.package, version=order.version, bytes=freed)
        elif order.type != CANCEL:
            raise UsageError(code="order.type", what=f"a gateway can't {order.type}")

    async def _preload(self, order: Order) -> None:
        told = 0.0
        figures = (0, 0)

        def progress(done: int, total: int) -> None:
            nonlocal figures
            figures = (done, total)

        async def tell_now_and_then() -> None:
            nonlocal told
            while True:
                why = self._again.get(order.job)
                code, detail = packed(why) if why is not None else ("", "")
                done, total = figures
                await self._tell(self._record(order, "fetching", code=code, detail=detail, done=done, total=total))
                told = time.monotonic()
                await asyncio.sleep(_TELL_SECONDS)

        async with asyncio.TaskGroup() as tasks:
            teller = tasks.create_task(tell_now_and_then())
            try:
                await self._fetch(order, progress)
            except TiercastError as error:
                failure: TiercastError | None = error
            else:
                failure = None
            finally:
                self._again.pop(order.job, None)
                teller.cancel()
        if failure is not None:
            raise failure

    async def _fetch(self, order: Order, progress: Callable[[int, int], None]) -> None:
        limit = times.read(order.options).send_timeout_s
        for failed in count(1):
            try:
                async with asyncio.timeout(limit or None):
                    await self._bring(order.root, order.job)
                    await fetch_package(
                        order.root,
                        self._fetcher,
                        self._depot,
                        job=order.job,
                        left_out=self._left_out,
                        on_progress=progress,
                    )
            except (ChunkMissing, ChunkCorrupt, StoreFull, TimeoutError) as late:
                error: Exception = late
                if isinstance(late, TimeoutError):
                    error = UsageError("send.timeout", f"It was not all here within {limit:,} s.")
                code = error.code if isinstance(error, UsageError) else "chunk.missing"
                pause = pause_after(order, failed, "store.full" if isinstance(error, StoreFull) else code)
                if pause is None:
                    raise error from late
                log.warning("preload.again", job=order.job, reason=str(error), again_in=pause)
                now = _now()
                self._again[order.job] = because(
                    "preload.again", error=str(error), since=now, until=now + int(pause * 1000)
                )
                await asyncio.sleep(pause)
                self._again.pop(order.job, None)
            else:
                return

    async def _finish(self, order: Order, started: int, state: str, code: str, detail: str) -> None:
        now = _now()
        receipt = Receipt(
            job=order.job,
            revision=order.revision,
            attempt=1,
            seq=now,
            node=self._identity.name,
            generation=self._identity.generation,
            state=state,
            code=code,
            detail=detail,
            started=started,
            finished=now,
            package=order.package,
            version=order.version,
            root=order.root,
        )
        data, signature = sign_receipt(receipt, self._identity.key)
        await self._tell(
            self._record(order, state, seq=now, code=code, detail=detail, receipt=data, signature=signature)
        )
        await self._done(order)

    def _record(
        self,
        order: Order,
        state: str,
        *,
        seq: int = 0,
        code: str = "",
        detail: str = "",
        done: int = 0,
        total: int = 0,
        receipt: bytes = b"",
        signature: bytes = b"",
    ) -> StatusRecord:
        now = _now()
        return StatusRecord(
            job=order.job,
            revision=order.revision,
            target=self._identity.name,
            attempt=1,
            seq=seq or now,
            state=state,
            at=now,
            code=code,
            detail=detail,
            done=done,
            total=total,
            receipt=receipt,
            signature=signature,
        )


def pause_after(order: Order, failed: int, code: str) -> float | None:
    """Seconds until the next try after the `failed`-th failed with `code`; None where there is none.

    Raises:
        UsageError: the order's times can't be read.
    """
    if times.TRIES in order.options:
        pause = times.read(order.options).transfer.pause_after(failed, code)
        return None if pause is None else pause / 1000
    return RETRIES[failed - 1] if failed <= len(RETRIES) else None


def _now() -> int:
    return time.time_ns() // 1_000_000
