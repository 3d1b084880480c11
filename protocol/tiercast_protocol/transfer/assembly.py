"""Chunks in progress at the child: which bytes came, which are missing, how much memory they hold.

Rules
- A chunk's buffer is as large as its first piece says; a piece that says another size starts the chunk anew.
- A piece is kept whole or not at all: only when every byte of it is new.
- All buffers together hold at most `memory` bytes; a first piece that would pass it is refused, and asked for
  again by the next mark.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from tiercast_protocol.transfer.events import Digest
from tiercast_protocol.transfer.ranges import RangeSet
from tiercast_protocol.wire.messages import Piece

#: (digest, offset, length) as a report carries it.
Repair = tuple[bytes, int, int]


class Fit(enum.Enum):
    """What became of a piece."""

    KEPT = enum.auto()
    WHOLE = enum.auto()  # kept, and the chunk is complete
    REPEATED = enum.auto()  # some byte of it was here already
    REFUSED = enum.auto()  # no room for another chunk
    DROPPED = enum.auto()  # it says another size, and there is no room for that: the chunk is begun no more
    CONTRADICTS = enum.auto()  # kept, after the chunk's old buffer was thrown away


class Assembly:
    """All chunks in progress."""

    __slots__ = ("_memory", "_parts", "held")

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._parts: dict[Digest, tuple[int, RangeSet]] = {}
        #: Bytes of all buffers.
        self.held = 0

    def __len__(self) -> int:
        return len(self._parts)

    def __contains__(self, digest: object) -> bool:
        return digest in self._parts

    def take(self, piece: Piece) -> Fit:
        """Account for a piece of a chunk that is wanted."""
        part = self._parts.get(piece.digest)
        fit = Fit.KEPT
        if part is not None and part[0] != piece.size:
            self.drop(piece.digest)
            part = None
            fit = Fit.CONTRADICTS
        if part is None:
            if piece.length == piece.size and fit is Fit.KEPT:
                return Fit.WHOLE
            # One that is whole is out of here at once; any other needs its room, contradicting or not.
            if piece.length < piece.size and self.held and self.held + piece.size > self._memory:
                return Fit.REFUSED if fit is Fit.KEPT else Fit.DROPPED
            part = self._parts[piece.digest] = (piece.size, RangeSet())
            self.held += piece.size
        size, ranges = part
        if ranges.overlaps(piece.offset, piece.offset + piece.length):
            return Fit.REPEATED
        ranges.add(piece.offset, piece.offset + piece.length)
        return Fit.WHOLE if ranges.total == size and fit is Fit.KEPT else fit

    def complete(self, digest: Digest) -> bool:
        """Whether every byte of the chunk is here."""
        part = self._parts.get(digest)
        return part is not None and part[1].total == part[0]

    def drop(self, digest: Digest) -> bool:
        """Forget the chunk; whether it was in progress."""
        part = self._parts.pop(digest, None)
        if part is None:
            return False
        self.held -= part[0]
        return True

    def repairs(self) -> Iterator[Repair]:
        """Every missing range of every chunk in progress."""
        for digest, (size, ranges) in self._parts.items():
            for start, end in ranges.missing(size):
                yield digest, start, end - start
