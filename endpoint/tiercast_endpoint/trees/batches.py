"""What a thread writes of a tree at a time, and which chunks are read together for it.

Rules
- A step is one part of a file, or all of a small one; its bytes were proved by whoever made it, and the file as a whole
  is compared here, unless it is one whole chunk: then that was its proof.
- Pure but for `write_batch`, which is called in the writing thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from tiercast_endpoint.trees.growing import GrowingFile
from tiercast_endpoint.trees.tree import TreeError
from tiercast_endpoint.trees.treewriter import TreeWriter
from tiercast_endpoint.trees.walk import is_large
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part

Digest = bytes
#: A batch ends with so many bytes or files.
BATCH_BYTES = 1 << 20
BATCH_FILES = 128
#: Chunks of a group of small files that are read at once.
TOGETHER = 24


@dataclass(frozen=True, slots=True)
class Write:
    """One step for the writing thread.

    `data` is the next of the file's bytes, of a large one those at `at`; `whole` is all of a small one, in its parts,
    which `proved` says to be what the entry's digest names.
    """

    entry: Entry
    data: memoryview | None
    last: bool
    whole: Sequence[memoryview] = ()
    proved: bool = False
    file: GrowingFile | None = None
    at: int = 0
    digest: Digest = b""


@dataclass(slots=True)
class Batch:
    """Steps until there are enough of them."""

    steps: list[Write] = field(default_factory=list)
    _size: int = 0
    _files: int = 0

    def add(self, step: Write) -> bool:
        """Take one; whether the batch is full."""
        self.steps.append(step)
        self._size += step.entry.size if step.whole else len(step.data or b"")
        self._files += step.last
        return self._size >= BATCH_BYTES or self._files >= BATCH_FILES

    def take(self) -> list[Write]:
        """What was taken; the next batch begins."""
        steps, self.steps, self._size, self._files = self.steps, [], 0, 0
        return steps


def groups(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries in their order, cut where the small files so far have enough bytes or chunks to read together."""
    group: list[Entry] = []
    digests: set[Digest] = set()
    size = 0
    for entry in entries:
        group.append(entry)
        if is_large(entry):
            continue
        digests.update(part.digest for part in entry.parts)
        size += sum(part.length for part in entry.parts)
        if size >= BATCH_BYTES or len(digests) >= TOGETHER:
            yield group
            group, digests, size = [], set(), 0
    if group:
        yield group


def running(parts: Sequence[Part]) -> list[tuple[int, Part]]:
    """Each part with the bytes before it."""
    return list(zip(accumulate((part.length for part in parts), initial=0), parts, strict=False))


def cut(entry: Entry, part: Part, raw: bytes | memoryview) -> memoryview:
    """The bytes of the chunk `raw` that a part names; raises `TreeError`."""
    if part.offset + part.length > len(raw):
        raise TreeError("tree.digest", f"{entry.path!r} names bytes beyond the end of a chunk")
    return memoryview(raw)[part.offset : part.offset + part.length]


def write_batch(writer: TreeWriter, batch: list[Write]) -> int:
    """In the writing thread: files, folders and links in the manifest's order; the bytes written."""
    written = sum(_written(writer, step) for step in batch)
    writer.flush()
    return written


def _written(writer: TreeWriter, step: Write) -> int:
    """Do one step; the bytes of it."""
    entry, data = step.entry, step.data
    if step.whole:
        writer.add_file(entry.path, entry.mode, step.whole, b"" if step.proved else entry.digest)
        return entry.size
    if entry.kind is Kind.FOLDER:
        writer.add_folder(entry.path, entry.mode)
    elif entry.kind is Kind.LINK:
        writer.add_link(entry.path, entry.target)
    elif step.file is not None:
        if data is not None:
            step.file.put(step.at, [data])
        if step.last:
            writer.end_growing(entry.path, entry.mode, entry.digest, entry.size)
    else:
        if writer.present != entry.path:
            writer.begin_file(entry.path, entry.mode)
        if data is not None:
            writer.write(data)
        if step.last:
            writer.end_file(entry.digest)
    return len(data) if data is not None else 0
