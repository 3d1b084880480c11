"""Where chunks come from, as the installer sees it: a store that gives up what it holds, and the way to the parent.

Rules
- What no tier above holds is asked for again a few times before it is missing: a tier may be coming up just now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node import fetch
from tiercast_protocol.node.chunks.port import Reading, WritableStore

log = structlog.get_logger(__name__)

Digest = bytes


class EvictingStore(WritableStore, Protocol):
    """A store that unpacks chunks and gives them up."""

    async def raw(self, digest: Digest) -> bytes:
        """The proved raw bytes of the chunk; raises as `get`."""
        ...

    async def raw_many(self, digests: Sequence[Digest]) -> dict[Digest, bytes]:
        """`raw` of those that are held and prove true."""
        ...

    def reading(self, digests: Sequence[Digest]) -> Reading:
        """What reads some of these, and no others."""
        ...

    def size(self, digest: Digest) -> int | None:
        """Bytes of the chunk's stored form; None when it is not held."""
        ...

    async def evict(self, digests: Sequence[Digest]) -> int:
        """Drop these; returns how many went."""
        ...

    async def digests(self) -> list[Digest]:
        """All that is held."""
        ...

    async def sync(self) -> None:
        """All that was put is durable when this returns."""
        ...


class Wanting(fetch.Fetcher, Protocol):
    """The way to the parent (`Upstream`)."""

    def want(self, digests: Sequence[Digest], job: str = "") -> None:
        """Have these come."""
        ...

    def unwant(self, digests: Sequence[Digest]) -> None:
        """Take a `want` back; calls of `fetch` go on."""
        ...


class Patient:
    """A fetcher that asks again before it gives up."""

    def __init__(self, inner: fetch.Fetcher, pauses: Sequence[float]) -> None:
        self._inner = inner
        self._pauses = pauses

    async def fetch(self, digests: Sequence[Digest], job: str = "") -> None:
        """As the inner one."""
        for pause in self._pauses:
            try:
                return await self._inner.fetch(digests, job)
            except ChunkMissing as error:
                log.info("chunk not above", digest=error.digest.hex(), again_in=pause)
            await asyncio.sleep(pause)
        return await self._inner.fetch(digests, job)
