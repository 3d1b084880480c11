"""A frame as it comes to the loop, and what was done with its chunks in the thread that read it.

Rules (docs/protocol.md, section 6)
- A placer proves and writes the whole chunks that it has a place for, in that thread and while their bytes are warm.
  It is a gift: the machine decides afterwards, in the loop, what came.  What it does not want is simply not noted.
- A frame whose pieces were all taken needs its memory no more: nobody may look at its views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tiercast_mqtt.threaded import Taker
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import frame
from tiercast_protocol.wire.messages import Piece

Digest = bytes


class Placer(Protocol):
    """Takes chunks to where they belong."""

    def take(self, chunks: Sequence[tuple[Digest, memoryview]]) -> Mapping[Digest, object]:
        """In the thread: deal with those that have a place; for each what `taken` is to know, or `ChunkCorrupt`.

        The memory is the caller's again when this returns.
        """
        ...

    def taken(self, digest: Digest, what: object) -> None:
        """In the loop: the chunk that `take` dealt with was wanted, and counts."""
        ...


@dataclass(frozen=True, slots=True)
class Arrived:
    """A frame: its pieces with their bytes, or its mark; what became of the chunks that a placer took."""

    pieces: tuple[tuple[Piece, memoryview], ...] = ()
    mark: frame.Mark | None = None
    taken: Mapping[Digest, object] = field(default_factory=dict)


NOTHING = Arrived()


def arrived(view: memoryview, before: object = None) -> Arrived:
    """The frame in `view`; `before` is what the taker made of it.

    Raises:
        MessageInvalid: it is none.
    """
    return before if isinstance(before, Arrived) else Arrived(*frame.parse(view))


def taker_of(placer: Placer) -> Taker:
    """What sees each frame in the thread that reads."""

    def take(payload: memoryview) -> tuple[object, bool]:
        try:
            pieces, mark = frame.parse(payload)
        except MessageInvalid:
            return None, False  # the loop says so
        whole = [(piece.digest, view) for piece, view in pieces if piece.length == piece.size]
        taken = placer.take(whole) if whole else {}
        return Arrived(pieces, mark, taken), 0 < len(pieces) == len(taken)

    return take
