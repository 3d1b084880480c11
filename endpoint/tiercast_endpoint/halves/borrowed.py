"""The root half's store: the network half's chunks, asked for and proved (docs/agent.md, "Two halves").

Rules
- No path of the network half is opened here: its bytes come over the line, a few chunks at a time, and count when
  they are what their digest names.  So no link, pipe, hole or file that grows can be put in the way.
- Nothing is stored: what was proved goes straight into the tree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tiercast_endpoint.halves.line import Line, Refusal
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees.materials import Materials
from tiercast_protocol.content.sealed.chunk import MAX_STORED, unseal
from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, StoreFull
from tiercast_protocol.node.chunks.port import Reading, Taken

#: Chunks in one answer: the largest are 256 KiB, and a frame has 4 MiB.
TOGETHER = 12
#: Digests in one question to fetch them.
_FETCHED = 1024


class Borrowed:
    """An `EvictingStore` that holds nothing; `line` leads to the network half while it asks for a step."""

    def __init__(self) -> None:
        self.line: Line | None = None

    async def get(self, digest: Digest) -> bytes:
        """The stored form, as it came: whoever unpacks it proves it.  Raises ChunkMissing."""
        if self.line is None:
            raise ChunkMissing(digest)
        try:
            stored: Any = await self.line.ask("chunk", digest=digest)
        except (Refusal, ConnectionError) as error:
            raise ChunkMissing(digest) from error
        if not isinstance(stored, bytes) or not 0 < len(stored) <= MAX_STORED:
            raise ChunkMissing(digest)
        return stored

    async def raw(self, digest: Digest) -> bytes:
        """The proved raw bytes.  Raises ChunkMissing or ChunkCorrupt."""
        stored = await self.get(digest)
        return await in_thread(unseal, digest, stored)

    async def raw_many(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        """`raw` of those that the network half gives and that prove true."""
        found: dict[Digest, bytes] = {}
        for at in range(0, len(digests), TOGETHER):
            some = list(digests[at : at + TOGETHER])
            try:
                given: Any = await self.line.ask("chunks", digests=some) if self.line is not None else None
            except (Refusal, ConnectionError):
                break
            if isinstance(given, list) and len(given) == len(some):
                found |= await in_thread(_proved, some, given)
        return found

    def reading(self, digests: Sequence[Digest]) -> Reading:
        """`raw_many` for worker threads: the line is the loop's, so it asks for them."""
        del digests
        loop = asyncio.get_running_loop()
        return lambda some, _unproved: asyncio.run_coroutine_threadsafe(self.raw_many(list(some)), loop).result()

    async def has(self, digest: Digest) -> bool:
        """Whether the network half gives it."""
        try:
            await self.get(digest)
        except ChunkMissing:
            return False
        return True

    def held(self, digests: Sequence[Digest]) -> dict[Digest, int]:
        """All of them, without a byte: none takes room here, and each is asked for when it is needed."""
        return dict.fromkeys(digests, 0)

    def size(self, digest: Digest) -> int | None:
        """Nothing is held."""
        del digest
        return None

    async def put(self, digest: Digest, stored: bytes) -> bool:
        """Nothing is taken."""
        del digest
        raise StoreFull(len(stored), 0, "the root half")

    async def put_many(self, chunks: Sequence[tuple[Digest, bytes | memoryview]]) -> list[Taken]:
        """Nothing is taken."""
        return [StoreFull(len(stored), 0, "the root half") for _, stored in chunks]

    async def evict(self, digests: Sequence[Digest]) -> int:
        """Nothing is held."""
        del digests
        return 0

    async def digests(self) -> list[Digest]:
        """Nothing is held."""
        return []

    async def sync(self) -> None:
        """Nothing is held."""


def _proved(digests: Sequence[Digest], given: Sequence[Any]) -> dict[Digest, bytes]:
    found = {}
    for digest, stored in zip(digests, given, strict=True):
        if isinstance(stored, bytes) and len(stored) <= MAX_STORED:
            with suppress(ChunkCorrupt):
                found[digest] = unseal(digest, stored)
    return found


class AskedFetcher:
    """Has the network half fetch what it does not hold: files here were to serve, and proved to be changed."""

    def __init__(self, borrowed: Borrowed) -> None:
        self._borrowed = borrowed

    async def fetch(self, digests: Sequence[Digest], job: str = "") -> None:
        """See `fetch.Fetcher`; what the network half can't bring is missing."""
        line = self._borrowed.line
        for at in range(0, len(digests), _FETCHED):
            some = list(digests[at : at + _FETCHED])
            try:
                if line is None or await line.ask("fetch", digests=some, job=job) is not True:
                    raise ChunkMissing(some[0])
            except (Refusal, ConnectionError) as error:
                raise ChunkMissing(some[0]) from error

    def want(self, digests: Sequence[Digest], job: str = "") -> None:
        """Nothing comes by itself."""
        del digests, job

    def unwant(self, digests: Sequence[Digest]) -> None:
        """Nothing was wanted."""
        del digests


class BorrowedMaterials(Materials):
    """Materials of which the network half keeps the chunks, and gives them up."""

    async def evict_of(self, job: Job) -> None:
        """Nothing of it is held here."""
        del job

    async def evict_unneeded(self) -> None:
        """Parts of trees that nobody needs go."""
        await self.partial.drop_unneeded()
