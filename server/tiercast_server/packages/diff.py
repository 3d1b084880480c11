"""What is different between two packages: definition, files, and the bytes that one needs beyond the other.

Rules
- Both are read list by list and put beside each other in the order of trees: in memory are two lists, the differences
  up to a limit, and 32 bytes for each chunk.
- A file is the same where digest, size and mode are; only its mode may have changed.
- The bytes are stored ones, of chunks: what a machine that holds the one fetches for the other, patches left aside.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tiercast_protocol.content.sealed.manifest import Entry, Kind, Root, order_key
from tiercast_protocol.node import fetch
from tiercast_protocol.node.chunks.port import ChunkStore
from tiercast_server.packages.check import LibraryStore

#: Paths of each kind that are told.
MOST_PATHS = 1000


@dataclass(slots=True)
class Difference:
    """What `b` has beyond `a`, and lacks; counts are whole, paths are at most `MOST_PATHS` of each kind."""

    counts: dict[str, int] = field(default_factory=lambda: {"added": 0, "removed": 0, "changed": 0, "same": 0})
    paths: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"added": [], "removed": [], "changed": []})
    chunks: int = 0
    stored_bytes: int = 0

    def note(self, kind: str, entry: Entry, was: Entry | None = None) -> None:
        """Count one path, and keep it while there is room."""
        self.counts[kind] += 1
        if kind in self.paths and len(self.paths[kind]) < MOST_PATHS:
            row: dict[str, Any] = {"path": entry.path, "kind": entry.kind.name.lower(), "size": entry.end}
            if was is not None:
                row |= {"was": was.end, "how": _how(was, entry)}
            self.paths[kind].append(row)


async def compare(store: LibraryStore, a: Root, b: Root) -> Difference:
    """The difference that leads from `a` to `b`.

    Raises:
        ChunkMissing, ChunkCorrupt, ProtocolError: a list is not here, or damaged.
    """
    found = Difference()
    held: set[bytes] = set()
    new: set[bytes] = set()
    left, right = _entries(a, store, held), _entries(b, store, new)
    one, other = await anext(left, None), await anext(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and order_key(one.path) < order_key(other.path)):
            if one is not None:
                found.note("removed", one)
            one = await anext(left, None)
        elif one is None or order_key(other.path) < order_key(one.path):
            found.note("added", other)
            other = await anext(right, None)
        else:
            same = _same(one, other)
            found.note("same" if same else "changed", other, None if same else one)
            one, other = await anext(left, None), await anext(right, None)
    lacking = (new | set(b.lists)) - held - set(a.lists)
    found.chunks = len(lacking)
    found.stored_bytes = sum(store.size(digest) or 0 for digest in lacking)
    return found


async def _entries(root: Root, store: ChunkStore, chunks: set[bytes]) -> AsyncIterator[Entry]:
    """Every path once; a file that goes on in the next list by its last part, which says its whole length."""
    async for entries in fetch.read_entries(root, store):
        for entry in entries:
            chunks.update(part.digest for part in entry.parts)
            if not entry.more:
                yield entry


def _same(one: Entry, other: Entry) -> bool:
    return (one.kind, one.mode, one.end, one.target, one.digest) == (
        other.kind,
        other.mode,
        other.end,
        other.target,
        other.digest,
    )


def _how(one: Entry, other: Entry) -> str:
    if one.kind is not other.kind:
        return "kind"
    if one.kind is Kind.LINK:
        return "target"
    return "content" if (one.digest, one.end) != (other.digest, other.end) else "mode"
