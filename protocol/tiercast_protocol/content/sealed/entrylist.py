"""Entry lists as bytes: one list is one ordinary chunk.

Rules
- One form per list: what does not encode back to the same bytes is refused, so the same entries have one digest.
- Columns, not rows: what repeats (modes, steps) lies together and packs to nothing, digests stand once.
  A file that is exactly one chunk does not repeat its digest; a pack's offsets are left out where each
  file begins where the one before ends.
- A list is checked as it is read (`entrycheck`); what spans lists is `tree.TreeCheck`'s part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from tiercast_protocol.content.sealed.chunk import MAX_RAW
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE, EMPTY, Digest, split_digests
from tiercast_protocol.content.sealed.entry import Entry, Kind, Part
from tiercast_protocol.content.sealed.entrycheck import check_entries
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec

FORMAT = 1
#: On the wire only: a file whose digest is that of its one chunk, or that is empty; and one that goes on in
#: the next list (only as the last), which has no digest, and as size where it ends here.
_PLAIN_FILE, _PIECE = 3, 4


class _Columns(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The list as it is encoded; numbers per entry, per file, per part and per link stand in columns.

    `start`: bytes of the first file before this list.
    `shared`: leading characters that a path has from the path before; `names`: the rest of it.
    `digests`: of files of kind 0.  `chunks`: every distinct chunk, in order of first use.
    `counts`: parts per file.  `steps`: from the chunk of the part before to this one's, in `chunks`.
    `skips`: from where the part before ends (in the same chunk, else 0) to where this part begins.
    `lengths`: of every part but the last of its file (whose length follows from the size).
    """

    format: int
    start: int
    kinds: bytes
    shared: list[int]
    names: list[str]
    modes: list[int]
    sizes: list[int]
    digests: bytes
    targets: list[str]
    chunks: bytes
    counts: list[int]
    steps: list[int]
    skips: list[int]
    lengths: list[int]


@dataclass(slots=True)
class _Walk:
    """Where the last part ended, so that the next is told by its difference.  Shared by both directions."""

    chunk: int = -1
    end: int = 0


@dataclass(slots=True)
class _Columning:
    """The columns while they fill."""

    kinds: bytearray = field(default_factory=bytearray)
    digests: bytearray = field(default_factory=bytearray)
    counts: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    skips: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    index: dict[Digest, int] = field(default_factory=dict)
    walk: _Walk = field(default_factory=_Walk)

    def add_file(self, entry: Entry) -> None:
        if entry.more:
            self.kinds.append(_PIECE)
        elif _is_plain(entry):
            self.kinds.append(_PLAIN_FILE)
        else:
            self.kinds.append(Kind.FILE)
            self.digests += entry.digest
        self.counts.append(len(entry.parts))
        for part in entry.parts:
            chunk = self.index.setdefault(part.digest, len(self.index))
            self.steps.append(chunk - self.walk.chunk)
            self.skips.append(part.offset - (self.walk.end if chunk == self.walk.chunk else 0))
            self.walk.chunk, self.walk.end = chunk, part.offset + part.length
        self.lengths += [part.length for part in entry.parts[:-1]]


def encode_list(entries: Sequence[Entry]) -> bytes:
    """The raw bytes of a list of `entries`, which are in tree order and not empty."""
    fill = _Columning()
    for entry in entries:
        if entry.kind is Kind.FILE:
            fill.add_file(entry)
        else:
            fill.kinds.append(entry.kind)
    shared, names, before = [], [], ""
    for entry in entries:
        same = _shared(before, entry.path)
        shared.append(same)
        names.append(entry.path[same:])
        before = entry.path
    return codec.encode(
        _Columns(
            format=FORMAT,
            start=entries[0].start,
            kinds=bytes(fill.kinds),
            shared=shared,
            names=names,
            modes=[entry.mode for entry in entries if entry.kind is not Kind.LINK],
            sizes=[entry.end if entry.more else entry.size for entry in entries if entry.kind is Kind.FILE],
            digests=bytes(fill.digests),
            targets=[entry.target for entry in entries if entry.kind is Kind.LINK],
            chunks=b"".join(fill.index),
            counts=fill.counts,
            steps=fill.steps,
            skips=fill.skips,
            lengths=fill.lengths,
        )
    )


def decode_list(raw: bytes | memoryview, *, known: bool = False) -> list[Entry]:
    """The entries of a list, checked; not again where these very bytes are `known` to have passed.

    Raises:
        MessageInvalid: no list, not in its one form, or entries that break the rules (a ProtocolError).
    """
    columns = codec.decode(raw, _Columns, max_size=MAX_RAW)
    if columns.format != FORMAT:
        raise _invalid(f"format {columns.format}; this node reads {FORMAT}")
    try:
        entries = _rows(columns)
    except (StopIteration, RuntimeError, IndexError, ValueError, OverflowError) as error:
        raise _invalid("columns that do not fit together") from error
    if known:
        return entries
    check_entries(entries)
    if encode_list(entries) != raw:
        raise _invalid("not in its one form")
    return entries


def chunks_of_list(raw: bytes | memoryview) -> list[Digest]:
    """Every distinct chunk that a list names, in order of first use; of a tenth of the cost of `decode_list`.

    Raises:
        MessageInvalid: no list.  Other rules of lists are not checked.
    """
    columns = codec.decode(raw, _Columns, max_size=MAX_RAW)
    try:
        return list(split_digests(columns.chunks))
    except ValueError as error:
        raise _invalid("columns that do not fit together") from error


def _rows(columns: _Columns) -> list[Entry]:
    """The entries of the columns; any exception of a list or iterator that is too short leaves it."""
    modes, sizes, targets = iter(columns.modes), iter(columns.sizes), iter(columns.targets)
    counts, lengths = iter(columns.counts), iter(columns.lengths)
    steps, skips = iter(columns.steps), iter(columns.skips)
    chunks = [columns.chunks[at : at + DIGEST_SIZE] for at in range(0, len(columns.chunks), DIGEST_SIZE)]
    entries: list[Entry] = []
    before, digest_at, walk = "", 0, _Walk()
    for n, kind in enumerate(columns.kinds):
        if not 0 <= columns.shared[n] <= len(before):
            raise ValueError("shares more than there is")
        path = before = before[: columns.shared[n]] + columns.names[n]
        if kind == Kind.FOLDER:
            entries.append(Entry(path, Kind.FOLDER, next(modes)))
            continue
        if kind == Kind.LINK:
            entries.append(Entry(path, Kind.LINK, target=next(targets)))
            continue
        mode, size, count = next(modes), next(sizes), next(counts)
        start = columns.start if n == 0 else 0
        left = size - start
        parts: list[Part] = []
        for m in range(count):
            chunk = walk.chunk + next(steps)
            if chunk < 0:
                raise ValueError("a chunk before the first")
            offset = next(skips) + (walk.end if chunk == walk.chunk else 0)
            length = next(lengths) if m < count - 1 else left
            left -= length
            parts.append(Part(chunks[chunk], offset, length))
            walk.chunk, walk.end = chunk, offset + length
        if kind == Kind.FILE:
            digest = columns.digests[digest_at : digest_at + DIGEST_SIZE]
            digest_at += DIGEST_SIZE
        elif kind == _PLAIN_FILE:
            digest = parts[0].digest if parts else EMPTY
        elif kind == _PIECE:
            size, digest = 0, b""
        else:
            raise ValueError("unknown kind")
        entries.append(Entry(path, Kind.FILE, mode, size, "", digest, tuple(parts), start, kind == _PIECE))
    return entries


def _is_plain(entry: Entry) -> bool:
    if not entry.parts:
        return True
    return (
        not entry.start
        and len(entry.parts) == 1
        and entry.parts[0].offset == 0
        and entry.parts[0].digest == entry.digest
    )


def _shared(before: str, path: str) -> int:
    same = 0
    for ours, theirs in zip(before, path, strict=False):
        if ours != theirs:
            break
        same += 1
    return same


def _invalid(reason: str) -> MessageInvalid:
    return MessageInvalid(reason, "manifest")
