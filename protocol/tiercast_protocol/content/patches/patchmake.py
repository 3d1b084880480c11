"""Makes a patch: reads what the plan names, compresses region by region, gives chunks.

Rules
- zstd's strongest search over the whole reference: a patch is made once and sent often.
- Memory is one region's bytes and the search tables for them, some 300 MiB: making belongs into its own process.
- Chunks come as they are made, the patch itself last; nothing refers to the first ones until it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import zstandard

from tiercast_protocol.content.patches.patch import (
    CONTENT,
    FORMAT,
    INDEX,
    INLINE,
    PIECE,
    Patch,
    Region,
    encode_patch,
    pack_region,
    runs_of,
)
from tiercast_protocol.content.patches.patchplan import Side, Task, content_tasks, index_tasks
from tiercast_protocol.content.sealed.chunk import MAX_RAW, RAW, pack
from tiercast_protocol.content.sealed.digest import Digest, digest_of
from tiercast_protocol.errors import UsageError

#: zstd's strongest ordinary level; `_parameters` gives it tables for the whole reference.
LEVEL = 19

Read = Callable[[Digest], bytes]


def make_patch(base: Side, result: Side, read: Read) -> Iterator[tuple[Digest, bytes]]:
    """Digest and stored form of every chunk of the patch from `base` to `result`, the patch itself last.

    Args:
        base: what is held, all its lists taken.
        result: what is wanted, likewise.
        read: gives the proved raw bytes of any chunk of both.

    Raises:
        UsageError: patch.too_large, when the patch would not fit into a chunk.
    """
    regions: list[Region] = []
    inline = 0
    for kind, task in _tasks(base, result, read):
        region, pieces = _make(kind, task, base, result, read, MAX_RAW // 2 - inline)
        inline += len(region.frame)
        yield from pieces
        regions.append(region)
    raw = encode_patch(Patch(FORMAT, base.digest, result.digest, regions))
    if len(raw) > MAX_RAW:
        raise UsageError(
            code="patch.too_large",
            what=f"The patch's own text would be {len(raw)} bytes, and at most {MAX_RAW} fit",
            todo="Nothing: the package travels as chunks",
        )
    yield digest_of(raw), pack(raw)


def _tasks(base: Side, result: Side, read: Read) -> Iterator[tuple[int, Task]]:
    sizes = [[len(read(digest)) for digest in side.index] for side in (result, base)]
    for task in index_tasks(base, result, *sizes):
        yield INDEX, task
    for task in content_tasks(base, result):
        yield CONTENT, task


def _make(
    kind: int, task: Task, base: Side, result: Side, read: Read, room: int
) -> tuple[Region, list[tuple[Digest, bytes]]]:
    """The region and its payload's chunks; a short frame stays in the region while there is `room`."""
    base_order, order = (base.index, result.index) if kind == INDEX else (base.order.digests, result.order.digests)
    reference = _joined([base_order[number] for number in task.reference], read)
    chunks = [read(order[number]) for number in task.result]
    raw = b"".join(chunks)
    frame = pack_region(reference, raw, _parameters(len(reference), len(raw)))
    pieces: list[tuple[Digest, bytes]] = []
    if len(frame) > min(INLINE, room):
        for at in range(0, len(frame), PIECE):
            piece = frame[at : at + PIECE]
            pieces.append((digest_of(piece), bytes([RAW]) + piece))
        frame = b""
    region = Region(
        kind=kind,
        reference=runs_of(task.reference),
        result=runs_of(task.result),
        lengths=[len(chunk) for chunk in chunks] if kind == INDEX else [],
        frame=frame,
        pieces=[digest for digest, _ in pieces],
    )
    return region, pieces


def _joined(digests: Sequence[Digest], read: Read) -> bytes:
    return b"".join(map(read, digests))


def _parameters(reference: int, made: int) -> zstandard.ZstdCompressionParameters:
    """Level 19 with tables that hold every place of reference and result, and no more."""
    log = max(reference + made - 1, 1 << 10).bit_length()
    return zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        source_size=made,
        dict_size=reference,
        window_log=log,
        chain_log=log,
        hash_log=log - 1,
        write_content_size=True,
        write_checksum=False,
        write_dict_id=False,
    )
