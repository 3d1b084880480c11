"""From the name of a package's root to all of its chunks: root, then entry lists, then data.

Rules (docs/protocol.md, section 5)
- Shared by the endpoint's install and the gateway's preload.  Where chunks come from is the fetcher's
  affair (`Upstream`), where they lie is the store's; this file only decides what to ask for next.
- A bounded number of wants is outstanding, so a package of any size asks in the order of its lists and
  the parent's memory of our wants stays small.
- In memory: one entry list at a time, and 32 bytes and a length per chunk that is missing.
- What is here, be it in the store or elsewhere (installed files), is never asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from tiercast_protocol.content.sealed.chunk import unseal
from tiercast_protocol.content.sealed.manifest import Entry, Root, chunks_of_list, decode_list, decode_root
from tiercast_protocol.node.chunks.port import ChunkStore

Digest = bytes
#: Called with raw bytes held and raw bytes in all.
Progress = Callable[[int, int], None]
#: Chunks asked for with one call, and calls under way: 1,024 chunks, some 60 MB, keep any link full; progress is told
#: after every call, so two megabytes at a time, of a small package less.
BATCH = 32
CALLS = 32
#: Entry lists that passed their check in this life: their digest is that of the very bytes, so once is enough.
_passed: set[Digest] = set()
_MOST_PASSED = 4096


class Fetcher(Protocol):
    """Whoever brings chunks into the store: an `Upstream`, or a test."""

    async def fetch(self, digests: Sequence[Digest], job: str = "") -> None:
        """Fetch them for `job`; return when all are in the store; raise `ChunkMissing` or `StoreFull`."""
        ...


async def read_root(digest: Digest, store: ChunkStore) -> Root:
    """The package root `digest` out of the store.

    Raises:
        ChunkMissing: the store does not hold it.
        ChunkCorrupt: its bytes are damaged.
        ProtocolError: it is no package root.
    """
    stored = await store.get(digest)
    return await asyncio.to_thread(lambda: decode_root(unseal(digest, stored)))


async def read_entries(root: Root, store: ChunkStore) -> AsyncIterator[Sequence[Entry]]:
    """The entries of a package, one entry list at a time, in its order; errors as `read_root`."""
    for digest in root.lists:
        stored = await store.get(digest)
        yield await asyncio.to_thread(_entries_of, digest, stored)


def _entries_of(digest: Digest, stored: bytes) -> Sequence[Entry]:
    known = digest in _passed
    entries = decode_list(unseal(digest, stored), known=known)
    if not known:
        if len(_passed) >= _MOST_PASSED:
            _passed.clear()
        _passed.add(digest)
    return entries


def _names_of(digest: Digest, stored: bytes) -> list[Digest]:
    return chunks_of_list(unseal(digest, stored))


def _chunks_of(digest: Digest, stored: bytes) -> Iterable[Digest]:
    if digest in _passed:
        return _names_of(digest, stored)
    return {part.digest for entry in _entries_of(digest, stored) for part in entry.parts}


async def named_chunks(root: Root, store: ChunkStore) -> AsyncIterator[list[Digest]]:
    """The data chunks that each list names; who reads its entries checks the list.  Raises as `read_root`."""
    for digest in root.lists:
        stored = await store.get(digest)
        yield await asyncio.to_thread(_names_of, digest, stored)


async def data_chunks(root: Root, store: ChunkStore, left_out: Container[str] = ()) -> dict[Digest, int]:
    """Every data chunk of a package whose lists are held, with the raw bytes of files that it carries.

    In the order of the lists; without what only folders at the top that are `left_out` hold.  Raises as `read_root`.
    """
    found: dict[Digest, int] = {}
    async for entries in read_entries(root, store):
        for entry in entries:
            if left_out and entry.path.partition("/")[0] in left_out:
                continue
            for part in entry.parts:
                found[part.digest] = found.get(part.digest, 0) + part.length
    return found


async def package_digests(root: Digest, store: ChunkStore) -> set[Digest]:
    """All chunks that the package names as far as its root and lists are held here; at least the root itself."""
    names = {root}
    if not await store.has(root):
        return names
    head = await read_root(root, store)
    names.update(head.lists)
    for digest in head.lists:
        if await store.has(digest):
            names.update(await asyncio.to_thread(_chunks_of, digest, await store.get(digest)))
    return names


async def fetch_package(
    root: Digest,
    fetcher: Fetcher,
    store: ChunkStore,
    *,
    job: str = "",
    left_out: Callable[[Root], Awaitable[Container[str]]] | None = None,
    on_progress: Progress | None = None,
) -> Root:
    """Bring everything that the package needs into `store` and return its decoded root.

    Args:
        root: digest of the package's root.
        fetcher: brings what is missing.
        store: what is held already.
        job: for which it is fetched: its priority and terms hold on every hop.
        left_out: says which folders at the top are not wanted; None wants all.
        on_progress: told after every batch; raw bytes of the files.

    Raises:
        ChunkMissing: no tier above holds a chunk of it.
        StoreFull: the store has no room.
        ProtocolError: the root or a list is not one.
    """
    await fetcher.fetch([root], job)
    head = await read_root(root, store)
    await fetcher.fetch(list(dict.fromkeys(head.lists)), job)
    chunks = await data_chunks(head, store, () if left_out is None else await left_out(head))
    here = {digest for digest in chunks if await store.has(digest)}
    size = sum(chunks.values())
    await fetch_chunks(chunks, fetcher, job=job, have=here.__contains__, size=size, on_progress=on_progress)
    return head


async def fetch_chunks(
    chunks: Mapping[Digest, int],
    fetcher: Fetcher,
    *,
    job: str = "",
    have: Callable[[Digest], bool],
    size: int,
    asked: Callable[[Sequence[Digest]], None] | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Bring the data chunks of a package that are not here.

    Args:
        chunks: all of them, with the raw bytes of files that each carries; in the order of the lists.
        fetcher: brings what is missing.
        job: for which they are fetched.
        have: true for those that need not be fetched.
        size: raw bytes of all files.
        asked: called with those that are asked for next, in the order of the lists.
        on_progress: told after every batch; raw bytes of the files.

    Raises:
        ChunkMissing, StoreFull: as `fetch_package`.
    """
    missing = {digest: length for digest, length in chunks.items() if not have(digest)}
    counter = _Counter(sum(chunks.values()) - sum(missing.values()), size, on_progress)
    counter.add(0)
    batches = _batches(missing)

    async def get(batch: Sequence[Digest]) -> None:
        if asked is not None:
            asked(batch)
        await fetcher.fetch(batch, job)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(CALLS, len(missing) // BATCH + 1)):
                tasks.create_task(_work(batches, missing, get, counter))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


class _Counter:
    def __init__(self, done: int, total: int, tell: Progress | None) -> None:
        self._done, self._total, self._tell = done, total, tell

    def add(self, count: int) -> None:
        self._done += count
        if self._tell is not None:
            self._tell(min(self._done, self._total), self._total)


def _batches(missing: dict[Digest, int]) -> Iterator[list[Digest]]:
    digests = iter(missing)
    while batch := list(islice(digests, BATCH)):
        yield batch


async def _work(
    batches: Iterator[list[Digest]],
    lengths: dict[Digest, int],
    get: Callable[[Sequence[Digest]], Awaitable[None]],
    counter: _Counter,
) -> None:
    """One of the calls under way: the next batch as soon as the last one is here."""
    for batch in batches:
        await get(batch)
        counter.add(sum(lengths[digest] for digest in batch))
