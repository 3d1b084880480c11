"""Where chunks go in a tree, found in step with what is asked for.

Rules
- Chunks are asked for in the order of the entry lists, so one walk over them finds all; one list is in memory.
- Large files alone have places for whole chunks: small ones share theirs, and go through the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence

from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.content.sealed.manifest import Entry, Kind

#: Bytes from which a file counts as large.
LARGE = 256 << 10
#: A chunk, the path of its file, where in the file it goes, and its length.
Found = tuple[Digest, str, int, int]


def is_large(entry: Entry) -> bool:
    """Whether the entry is of a file whose chunks go straight to their places."""
    return entry.kind is Kind.FILE and (entry.more or entry.start > 0 or entry.size >= LARGE)


class Walk:
    """One walk over the entries of a package."""

    def __init__(self, lists: AsyncIterator[Sequence[Entry]]) -> None:
        self._parts = self._each(lists)
        self._turn = asyncio.Lock()

    async def find(self, digests: Collection[Digest]) -> list[Found]:
        """The places of those of `digests` that have one; they follow those of the call before."""
        found: list[Found] = []
        async with self._turn:
            wanted = set(digests)
            while wanted and (part := await anext(self._parts, None)) is not None:
                digest, path, at, length = part
                if digest in wanted:
                    wanted.remove(digest)
                    if path:
                        found.append((digest, path, at, length))
        return found

    async def close(self) -> None:
        """No more is asked for."""
        await self._parts.aclose()

    @staticmethod
    async def _each(lists: AsyncIterator[Sequence[Entry]]) -> AsyncGenerator[Found, None]:
        async for entries in lists:
            for entry in entries:
                large, at = is_large(entry), entry.start
                for part in entry.parts:
                    # A part of a chunk is no place for the whole of it.
                    yield part.digest, entry.path if large and part.offset == 0 else "", at, part.length
                    at += part.length
