"""A gateway's own use of patches: it holds the base, so it fetches the patch and serves chunks.

Rules (docs/protocol.md, section 11)
- Whoever below holds the base asks for the patch.  A child that asks for a package's root holds nothing of it, so it
  will ask for all: that, and an order to preload, is when a patch is applied here.
- What a patch is about to make is held back and not asked for above; it goes down the moment it is made and proved.
- Of file groups those are made that machines below take, out of a base of which those are held.
- Whatever is not made in the end (no base, a patch that fails, no room) is asked for above like any other chunk.
- A further job that wants what a patch is about to make wants the patch too: the terms of the first don't hold it up.
- The base is leased meanwhile; a base that is gone all the same costs the regions that needed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from tiercast_protocol.content.patches.patch import CONTENT, INDEX
from tiercast_protocol.content.patches.patchway import cheapest_way
from tiercast_protocol.content.sealed.chunk import LEVEL
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ProtocolError, StoreFull
from tiercast_protocol.node.fetch import Fetcher, data_chunks, package_digests, read_root
from tiercast_protocol.node.leases import WORK
from tiercast_protocol.node.patching import Patcher

if TYPE_CHECKING:
    from tiercast_gateway.depot.depot import Depot
    from tiercast_gateway.depot.offers import Offers
    from tiercast_protocol.content.sealed.manifest import Root
    from tiercast_protocol.wire.messages import PatchOffer

log = structlog.get_logger(__name__)

Digest = bytes


class Patches:
    """Stands between the streams, which want chunks, and what stands above.

    Args:
        depot: where bases lie and results go.
        offers: the patches that there are.
        fetcher: brings a patch's chunks; None where all content begins (the server), so nothing is applied.
        ask_above: fetch these chunks for a job.
        drop_above: nobody below wants these any more.
        arrived: told digest and stored size of each chunk that was made.
        left_out: says which folders at the top of a package are for nobody below.
    """

    def __init__(
        self,
        *,
        depot: Depot,
        offers: Offers,
        fetcher: Fetcher | None,
        ask_above: Callable[[Sequence[Digest], str], None],
        drop_above: Callable[[Sequence[Digest]], None],
        arrived: Callable[[Digest, int], None],
        left_out: Callable[[Root], Awaitable[frozenset[str]]],
    ) -> None:
        self._left_out = left_out
        self._depot, self._offers, self._fetcher = depot, offers, fetcher
        self._ask_above, self._drop_above, self._arrived = ask_above, drop_above, arrived
        self._patcher: Patcher | None = None
        self._joined = _Joined(depot, fetcher, ask_above) if fetcher is not None else None
        if self._joined is not None:
            self._patcher = Patcher(_DepotStore(depot), self._joined, on_stored=self._made, level=LEVEL)
        #: What is wanted below and about to be made here, with the job that wants it.
        self._held_back: dict[Digest, str] = {}
        self._expected: set[Digest] = set()
        self._runs: dict[Digest, asyncio.Event] = {}
        #: For which job a package's patch was begun.
        self._first: dict[Digest, str] = {}
        self._queue: asyncio.Queue[tuple[Digest, str]] = asyncio.Queue()

    def shown(self) -> dict[str, Any]:
        """As the `status` verb answers it."""
        return self._patcher.tally.shown() if self._patcher is not None else {}

    async def run(self) -> None:
        """Apply patches as they are needed, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                root, job = await self._queue.get()
                tasks.create_task(self._bring(root, job))

    # -- wants from below ------------------------------------------------------------------------------

    def want(self, digests: Sequence[Digest], job: str = "") -> None:
        """Have these come: out of a patch if one is about to make them, else from above."""
        rest: list[Digest] = []
        for digest in digests:
            if self._fetcher is not None and self._offers.leads_to(digest):
                self._held_back[digest] = job
                self._start(digest, job)
            elif digest in self._expected:
                self._held_back[digest] = job
            else:
                rest.append(digest)
        if rest:
            self._ask_above(rest, job)

    def unwant(self, digests: Sequence[Digest]) -> None:
        """Nobody below wants these any more."""
        for digest in digests:
            self._held_back.pop(digest, None)
        self._drop_above(digests)

    async def bring(self, root: Digest, job: str) -> None:
        """Make what patches make of a package that is to be held here; the rest is the caller's to fetch."""
        if self._fetcher is not None and self._offers.leads_to(root):
            await self._start(root, job).wait()

    def _start(self, root: Digest, job: str) -> asyncio.Event:
        if root not in self._runs:
            self._runs[root] = asyncio.Event()
            self._first[root] = job
            self._queue.put_nowait((root, job))
        elif self._joined is not None:
            self._joined.add(self._first[root], job)
        return self._runs[root]

    # -- applying --------------------------------------------------------------------------------------

    async def _bring(self, root: Digest, job: str) -> None:
        expected: set[Digest] = set()
        try:
            for offer in await self._way(root):
                if not await self._step(offer, job, expected):
                    break
        except (ChunkMissing, ChunkCorrupt, ProtocolError, StoreFull) as error:
            log.warning("patch.failed", package=root.hex()[:16], reason=str(error))
            self._failed()
        finally:
            self._expected -= expected
            self._runs.pop(root).set()
            del self._first[root]
            if self._joined is not None and job not in self._first.values():
                self._joined.over(job)
            self._let_go({root, *expected})

    async def _way(self, root: Digest) -> list[PatchOffer]:
        offers = self._offers.leading_to(root)
        bases = {offer.base for offer in offers} - {root}
        held = {base for base in bases if await self._is_whole(base)}
        return cheapest_way(offers, held, root)

    async def _is_whole(self, root: Digest) -> bool:
        if self._depot.size(root) is None:
            return False
        try:
            chunks, _ = await self._chunks(root)
        except (ChunkMissing, ChunkCorrupt, ProtocolError):
            return False
        return all(self._depot.size(digest) is not None for digest in chunks)

    async def _step(self, offer: PatchOffer, job: str, expected: set[Digest]) -> bool:
        if self._patcher is None:
            return False
        leases = self._depot.store.leases
        base = await package_digests(offer.base, self._depot)
        with leases.held(WORK, base):
            patch = await self._patcher.fetch(offer, job)
            if not await self._patcher.apply(patch, INDEX, job):
                return False
            chunks, part = await self._chunks(offer.result)
            expected.update(digest for digest in chunks if self._depot.size(digest) is None)
            self._expected |= expected
            self._held_back.pop(offer.result, None)
            self._arrived(offer.result, self._depot.size(offer.result) or 0)
            return await self._patcher.apply(patch, CONTENT, job, chunks if part else None)

    async def _chunks(self, root: Digest) -> tuple[dict[Digest, int], bool]:
        """The data chunks that are for machines below, and whether these are a part of the package."""
        head = await read_root(root, self._depot)
        out = await self._left_out(head)
        return await data_chunks(head, self._depot, out), bool(out)

    def _made(self, digest: Digest, size: int) -> None:
        if digest in self._runs:
            return  # told once it is known what else will be made: whoever has the root asks for that next
        self._expected.discard(digest)
        self._held_back.pop(digest, None)
        self._arrived(digest, size)

    def _let_go(self, digests: Iterable[Digest]) -> None:
        """What was held back goes where it would have gone: down if it is here by now, else it is asked for above."""
        by_job: dict[str, list[Digest]] = {}
        for digest in digests:
            job = self._held_back.pop(digest, None)
            if job is None:
                continue
            size = self._depot.size(digest)
            if size is not None:
                self._arrived(digest, size)
            else:
                by_job.setdefault(job, []).append(digest)
        for job, wanted in by_job.items():
            self._ask_above(wanted, job)

    def _failed(self) -> None:
        if self._patcher is not None:
            self._patcher.tally.failed += 1


class _Joined:
    """Brings a patch's chunks for the job that it was begun for, and asks above for each job that came to want it."""

    def __init__(self, depot: Depot, fetcher: Fetcher, ask_above: Callable[[Sequence[Digest], str], None]) -> None:
        self._depot, self._fetcher, self._ask_above = depot, fetcher, ask_above
        self._further: dict[str, set[str]] = {}
        self._waiting: dict[str, set[Digest]] = {}

    def add(self, first: str, job: str) -> None:
        """`job` too wants what comes for `first`."""
        further = self._further.setdefault(first, set())
        if job != first and job not in further:
            further.add(job)
            self._ask(list(self._waiting.get(first, ())), job)

    def over(self, first: str) -> None:
        """Nothing more comes for it."""
        self._further.pop(first, None)
        self._waiting.pop(first, None)

    async def fetch(self, digests: Sequence[Digest], job: str = "") -> None:
        """See `Fetcher`."""
        waiting = self._waiting.setdefault(job, set())
        waiting.update(digests)
        for other in sorted(self._further.get(job, ())):
            self._ask(digests, other)
        try:
            await self._fetcher.fetch(digests, job)
        finally:
            waiting.difference_update(digests)

    def _ask(self, digests: Sequence[Digest], job: str) -> None:
        missing = [digest for digest in digests if self._depot.size(digest) is None]
        if missing:
            self._ask_above(missing, job)


class _DepotStore:
    """The depot, which makes room, as a store that unpacks."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def get(self, digest: Digest) -> bytes:
        """See `ChunkStore`."""
        return await self._depot.get(digest)

    async def has(self, digest: Digest) -> bool:
        """See `ChunkStore`."""
        return await self._depot.has(digest)

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """See `RawStore`."""
        return await self._depot.put(digest, stored)

    async def raw(self, digest: Digest) -> bytes:
        """See `RawStore`."""
        return await self._depot.store.raw(digest)
