"""Raw chunks at hand while a tree is assembled: read together, kept while the files that share them are written.

Rules
- Bounded: a few chunks, and those of one group of small files.
- What can't be read with others is asked for alone: whoever gives it may fetch it, or say what is wrong.
- Called in the event loop, by one task at a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence

from tiercast_endpoint.trees.batches import TOGETHER
from tiercast_protocol.content.sealed.digest import Digest

#: Gives the proved raw bytes of a chunk.
ChunkReader = Callable[[Digest], Awaitable[bytes]]
#: Gives those of these chunks, proved, that can be read at once.
ManyReader = Callable[[Sequence[Digest]], Awaitable[dict[Digest, bytes]]]

#: Raw chunks kept while the files that share them are written.
_KEPT = 8


class KeptChunks:
    """Chunks read by `read` and, where it is given, `read_many`."""

    def __init__(self, read: ChunkReader, read_many: ManyReader | None) -> None:
        self._read = read
        self._read_many = read_many
        self._kept: OrderedDict[Digest, bytes] = OrderedDict()

    def get(self, digest: Digest) -> bytes | None:
        """The chunk, if it is at hand."""
        return self._kept.get(digest)

    async def read_together(self, digests: Iterable[Digest]) -> None:
        """Have these at hand, as far as they can be read at once."""
        if self._read_many is None:
            return
        wanted = dict.fromkeys(digests)
        self._trim(_KEPT)
        if missing := [digest for digest in wanted if digest not in self._kept]:
            self._kept.update(await self._read_many(missing))

    async def all_of(self, digests: Sequence[Digest]) -> list[bytes]:
        """The raw chunks in this order; when one can't be read, that is raised once all have ended."""
        if self._read_many is not None and (missing := [d for d in digests if d not in self._kept]):
            found = await self._read_many(missing)
            found.update((digest, self._kept[digest]) for digest in digests if digest in self._kept)
            if len(found) == len(set(digests)):
                return [found[digest] for digest in digests]
        if len(digests) == 1:
            return [await self._one(digests[0])]
        raws: list[bytes] = []
        for raw in await asyncio.gather(*map(self._one, digests), return_exceptions=True):
            if isinstance(raw, BaseException):
                raise raw
            raws.append(raw)
        return raws

    async def _one(self, digest: Digest) -> bytes:
        raw = self._kept.get(digest)
        if raw is None:
            raw = await self._read(digest)
            self._kept[digest] = raw
            self._trim(_KEPT + TOGETHER)
        else:
            self._kept.move_to_end(digest)
        return raw

    def _trim(self, most: int) -> None:
        while len(self._kept) > most:
            self._kept.popitem(last=False)
