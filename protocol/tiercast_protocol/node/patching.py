"""Applies patches: fetches them, reads what they refer to, and stores what they make (docs/protocol.md, section 11).

Rules
- Region by region, so memory is that of one: its reference, zstd's copy of it, and what it makes.
- What is made is proved by the digests of the result's manifest before it is stored; what is stored already is not made
  again, so an application that was killed goes on where it stopped.
- A region that fails (base changed or gone, a patch that lies) is left out and counted: its chunks are fetched like any
  others.  Without the index nothing can follow, so then the rest of the patch is left out too.
- Who wants a part of the result only says which: regions that make nothing of it are passed over, payload and all, and
  so are, for him, those whose reference is not all held.
- Nothing here decides whether a patch is worth it (content/patches/patchway.py), nor fetches chunks in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from tiercast_protocol.content.patches import patch as p
from tiercast_protocol.content.sealed.chunk import pack, unseal
from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.content.sealed.manifest import MAX_LISTS, decode_list
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, MessageInvalid, ProtocolError, TiercastError
from tiercast_protocol.node.chunks.port import ChunkStore
from tiercast_protocol.node.fetch import Fetcher, read_root
from tiercast_protocol.wire.messages import PatchOffer

log = structlog.get_logger(__name__)

#: Regions whose payload is asked for ahead, so that no link waits for a processor.
_AHEAD = 3
#: Chunks that are read, or stored, at the same time.
_AT_ONCE = 8
#: zstd level of what is made and soon used up; whoever serves it from here packs it better.
LEVEL = 3

#: Gives the proved raw bytes of a chunk that is held here, wherever; raises ChunkMissing or ChunkCorrupt.
ReadHeld = Callable[[Digest], Awaitable[bytes]]


class RawStore(ChunkStore, Protocol):
    """Where patches come to and results go."""

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """Take a chunk; raises as `WritableStore.put`."""
        ...

    async def raw(self, digest: Digest) -> bytes:
        """The proved raw bytes of the chunk; raises as `get`."""
        ...


@dataclass(slots=True)
class Tally:
    """What came of patches since the start: chunks and raw bytes made, bytes of patches used, regions that failed."""

    used: int = 0
    bytes: int = 0
    made: int = 0
    made_bytes: int = 0
    failed: int = 0

    def shown(self) -> dict[str, int]:
        """As the `status` verb answers it."""
        return {
            "used": self.used,
            "bytes": self.bytes,
            "chunks_made": self.made,
            "bytes_made": self.made_bytes,
            "regions_failed": self.failed,
        }


@dataclass(slots=True)
class _Running:
    """One patch being applied."""

    patch: p.Patch
    job: str
    tasks: asyncio.TaskGroup
    wanted: Container[Digest] | None = None
    told: Callable[[int], None] | None = None
    made: int = 0
    content: tuple[p.ContentOrder, p.ContentOrder] | None = None
    ahead: dict[int, asyncio.Task[TiercastError | None]] = field(default_factory=dict)

    def count(self, digests: Sequence[Digest], lengths: Sequence[int]) -> None:
        """These are held now."""
        wanted = self.wanted
        self.made += sum(n for one, n in zip(digests, lengths, strict=True) if wanted is None or one in wanted)
        if self.told is not None:
            self.told(self.made)


class Patcher:
    """Applies patches into one store.

    Args:
        store: where results go, and payloads come to.
        fetcher: brings payloads.
        read: reads base chunks.
        has: whether a result is held anywhere already; the store's own `has` if None.
        on_stored: told digest and stored size of every result, once it is readable.
        level: zstd's, of the results.
        give_back: returns free memory to the system; called where a region's buffers are gone, or about to be made.
    """

    def __init__(
        self,
        store: RawStore,
        fetcher: Fetcher,
        *,
        read: ReadHeld | None = None,
        has: Callable[[Digest], Awaitable[bool]] | None = None,
        on_stored: Callable[[Digest, int], None] = lambda _digest, _size: None,
        level: int = LEVEL,
        give_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._read = read or store.raw
        self._has = has or store.has
        self._on_stored = on_stored
        self._level = level
        self._give_back = give_back
        #: One region at a time, however many jobs: memory is that of one.
        self._turn = asyncio.Lock()
        self.tally = Tally()

    async def fetch(self, offer: PatchOffer, job: str = "") -> p.Patch:
        """The patch that is offered, its own chunk held.

        Raises:
            ChunkMissing: no tier above holds it.
            StoreFull: no room for it.
            ProtocolError: it is no patch, or not the one that was offered.
        """
        await self._fetcher.fetch([offer.patch], job)
        patch = p.decode_patch(await self._store.raw(offer.patch))
        if (patch.base, patch.result) != (offer.base, offer.result):
            raise MessageInvalid("it is not what was offered", "patch")
        return patch

    async def apply(
        self,
        patch: p.Patch,
        kind: int,
        job: str = "",
        wanted: Container[Digest] | None = None,
        told: Callable[[int], None] | None = None,
    ) -> bool:
        """Make what the regions of `kind` make, of content what is `wanted` (None: all); whether it is held now.

        After each region that is, `told` hears how many raw bytes of them are held.

        Raises:
            StoreFull: no room for a result.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                wanted = wanted if kind == p.CONTENT else None
                return await self._apply(_Running(patch, job, tasks, wanted, told), kind)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _apply(self, running: _Running, kind: int) -> bool:
        regions = [region for region in running.patch.regions if region.kind == kind]
        whole = True
        try:
            for n, region in enumerate(regions):
                for number in range(n + 1, min(n + 1 + _AHEAD, len(regions))):
                    await self._look_ahead(running, regions[number], number)
                whole = await self._one(running, region, n) and whole
                if kind == p.INDEX and not whole:
                    break
        finally:
            for task in running.ahead.values():
                task.cancel()
        return whole

    async def _look_ahead(self, running: _Running, region: p.Region, number: int) -> None:
        if not region.pieces or number in running.ahead:
            return
        if region.kind == p.CONTENT:
            try:
                digests, _ = await self._results(running, region)
                if not await self._lacks(_of(digests, running.wanted)) or not await self._can(running, region):
                    return
            except TiercastError:
                return  # told when its turn comes
        running.ahead[number] = running.tasks.create_task(self._bring(region.pieces, running.job))

    async def _bring(self, pieces: Sequence[Digest], job: str) -> TiercastError | None:
        """Fetch; what went wrong is told to whoever needs the pieces, and to nobody else."""
        try:
            await self._fetcher.fetch(pieces, job)
        except TiercastError as error:
            return error
        return None

    async def _lacks(self, digests: Sequence[Digest]) -> bool:
        for digest in digests:
            if not await self._has(digest):
                return True
        return False

    async def _can(self, running: _Running, region: p.Region) -> bool:
        """Whether one who took a part of the base can make the region; whoever took all of it is to hold all of it."""
        return running.wanted is None or not await self._lacks(await self._numbered(running, region))

    async def _one(self, running: _Running, region: p.Region, n: int) -> bool:
        try:
            digests, lengths = await self._results(running, region)
            if not await self._lacks(_of(digests, running.wanted)):
                running.count(digests, lengths)
                return True
            p.check_sizes(0, lengths)
            if not await self._can(running, region):
                return False
            reference = await self._numbered(running, region)
            ahead = running.ahead.pop(n, None)
            error = await (ahead if ahead is not None else self._bring(region.pieces, running.job))
            if error is not None:
                raise error
            async with self._turn:
                await self._make(region, digests, lengths, reference, running.wanted)
            self._give_back()
            running.count(digests, lengths)
        except (ChunkMissing, ChunkCorrupt, ProtocolError) as error:
            self.tally.failed += 1
            result = running.patch.result.hex()[:16]
            log.warning("patch.region_failed", result=result, kind=region.kind, region=n, reason=str(error))
            return False
        return True

    # -- numbers ---------------------------------------------------------------------------------------

    async def _results(self, running: _Running, region: p.Region) -> tuple[list[Digest], list[int]]:
        """Digests and raw lengths of what the region makes."""
        if region.kind == p.CONTENT:
            _, order = await self._content(running)
            digests = [order.digests[number] for number in p.numbers_of(region.result, len(order.digests))]
            return digests, [order.lengths[digest] for digest in digests]
        numbers = p.numbers_of(region.result, 1 + MAX_LISTS)
        if len(numbers) != len(region.lengths):
            raise MessageInvalid("lengths that do not fit", "patch")
        result = running.patch.result
        if numbers and numbers[0] == 0 and not await self._store.has(result):
            # The root comes first: what the others are called stands in it.
            return await self._root_alone(running, region, numbers)
        index = p.index_order(result, await read_root(result, self._store))
        if numbers and numbers[-1] >= len(index):
            raise MessageInvalid("an entry list that the result has not", "patch")
        return [index[number] for number in numbers], list(region.lengths)

    async def _root_alone(
        self, running: _Running, region: p.Region, numbers: Sequence[int]
    ) -> tuple[list[Digest], list[int]]:
        """Make the region to learn the root, then name the rest by it."""
        p.check_sizes(0, region.lengths)
        reference = await self._numbered(running, region)
        await self._fetcher.fetch(region.pieces, running.job)
        async with self._turn:
            frame, joined = await self._payload(region), await self._joined(reference)
            made = await asyncio.to_thread(p.unpack_region, frame, joined, region.lengths)
        p.prove([running.patch.result], made[:1])
        await self._keep(running.patch.result, made[0])
        index = p.index_order(running.patch.result, await read_root(running.patch.result, self._store))
        if numbers[-1] >= len(index):
            raise MessageInvalid("an entry list that the result has not", "patch")
        return [index[number] for number in numbers], list(region.lengths)

    async def _numbered(self, running: _Running, region: p.Region) -> list[Digest]:
        """The region's reference, within the limits."""
        if region.kind == p.INDEX:
            base = running.patch.base
            index = p.index_order(base, await read_root(base, self._store))
            return [index[number] for number in p.numbers_of(region.reference, len(index))]
        order, _ = await self._content(running)
        digests = [order.digests[number] for number in p.numbers_of(region.reference, len(order.digests))]
        p.check_sizes(sum(order.lengths[digest] for digest in digests), [1])
        return digests

    async def _content(self, running: _Running) -> tuple[p.ContentOrder, p.ContentOrder]:
        if running.content is None:
            base, result = running.patch.base, running.patch.result
            running.content = (await self._order_of(base), await self._order_of(result))
        return running.content

    async def _order_of(self, digest: Digest) -> p.ContentOrder:
        order = p.ContentOrder()
        for listed in (await read_root(digest, self._store)).lists:
            stored = await self._store.get(listed)
            await asyncio.to_thread(lambda listed=listed, stored=stored: order.add(decode_list(unseal(listed, stored))))  # type: ignore[misc]
        return order

    # -- bytes -----------------------------------------------------------------------------------------

    async def _make(
        self,
        region: p.Region,
        digests: Sequence[Digest],
        lengths: Sequence[int],
        reference: Sequence[Digest],
        wanted: Container[Digest] | None,
    ) -> None:
        frame, joined = await self._payload(region), await self._joined(reference)
        self._give_back()
        raw = await asyncio.to_thread(_made, frame, joined, digests, lengths)
        self.tally.used += 1
        self.tally.bytes += len(frame)
        made = [one for one in zip(digests, raw, strict=True) if wanted is None or one[0] in wanted]
        for at in range(0, len(made), _AT_ONCE):
            await asyncio.gather(*(self._keep(*one) for one in made[at : at + _AT_ONCE]))

    async def _payload(self, region: p.Region) -> bytes:
        if region.frame:
            return region.frame
        return b"".join([await self._store.raw(piece) for piece in region.pieces])

    async def _joined(self, reference: Sequence[Digest]) -> bytearray:
        joined = bytearray()
        for at in range(0, len(reference), _AT_ONCE):
            for raw in await asyncio.gather(*map(self._read, reference[at : at + _AT_ONCE])):
                joined += raw
            if len(joined) > p.MAX_REFERENCE:
                raise MessageInvalid("a reference beyond the limit", "patch")
        return joined

    async def _keep(self, digest: Digest, raw: memoryview) -> None:
        if await self._store.has(digest):
            return
        stored = await asyncio.to_thread(pack, raw, self._level)
        await self._store.put(digest, stored)
        self.tally.made += 1
        self.tally.made_bytes += len(raw)
        self._on_stored(digest, len(stored))


def _of(digests: Sequence[Digest], wanted: Container[Digest] | None) -> Sequence[Digest]:
    return digests if wanted is None else [digest for digest in digests if digest in wanted]


def _made(frame: bytes, reference: bytearray, digests: Sequence[Digest], lengths: Sequence[int]) -> list[memoryview]:
    """In a thread: unpacked and proved."""
    made = p.unpack_region(frame, reference, lengths)
    p.prove(digests, made)
    return made
