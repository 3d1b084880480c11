"""Cutting frames out of what is to be sent.

Rules
- A frame is what the link carries in `FRAME_TIME`, never below `LEAST_FRAME`: on a thin link nothing else lets a window
  shut, a suspend act or a priority pass in time (docs/protocol-transfer.md, section 6.6).  Above `DEFAULT_FRAME`
  it is only what a fast link, or all unpaced ones that share it together, carry in `FAST_TIME`, never above what
  brokers take: fewer turns for everybody.
- Small chunks share a frame.  A chunk is split over frames only where it must be: half a frame of whole ones goes as it
  is, for what comes in parts must be put together again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tiercast_protocol.transfer.events import Digest
from tiercast_protocol.transfer.ranges import Span
from tiercast_protocol.wire.frame import MAX_PIECES
from tiercast_protocol.wire.messages import Piece

#: Seconds of the link in one frame.
FRAME_TIME = 0.05
FAST_TIME = 0.01
#: Smallest frame, the largest of usual links, and the largest of fast ones, in payload bytes.
LEAST_FRAME = 4 * 1024
DEFAULT_FRAME = 256 * 1024
LARGEST_FRAME = 768 * 1024
#: Payload bytes of a frame before anything is known of the link.
FIRST_FRAME = 64 * 1024
#: What a frame and a piece cost on the wire beyond the payload (topic and headers), for pacing.
FRAME_COST = 64
PIECE_COST = 44


def frame_size(cap: float | None, measured: float | None, many: int = 1) -> int:
    """Payload bytes of one frame for `many` links alike, of at most `cap` bytes per second, that carried `measured`.

    A cap may hold for all of them together, so where there is one it does not count how many they are.
    """
    # An unpaced link that turned out to be slow gets small frames too; twice its speed, so that it may grow.
    rate = cap if measured is None else min(cap, 2 * measured) if cap is not None else 2 * measured
    if rate is None:
        return FIRST_FRAME
    slow = int(rate * FRAME_TIME)
    fast = int(rate * FAST_TIME) * (many if cap is None else 1)
    return max(LEAST_FRAME, min(DEFAULT_FRAME, slow), min(LARGEST_FRAME, slow, fast))


def cut(
    queue: Iterable[Digest], look: Callable[[Digest], tuple[int, list[Span] | None]], room: int
) -> tuple[list[Piece], list[Digest], tuple[Digest, list[Span]] | None]:
    """Take pieces from the head of `queue` until `room` bytes are full.

    `look(digest)` gives the chunk's size and what is left to send of it (None is all).

    Returns:
        (pieces, chunks that are done with, the chunk that is begun and what is left of it or None)
    """
    pieces: list[Piece] = []
    done: list[Digest] = []
    enough = room // 2
    for digest in queue:
        if not room or len(pieces) == MAX_PIECES:
            break
        size, spans = look(digest)
        if spans is None and size <= room:
            pieces.append(Piece(digest, size, 0, size))
            room -= size
        elif spans is None and room <= enough:
            break
        else:
            left, room = _cut_spans(digest, size, [(0, size)] if spans is None else spans, room, pieces)
            if left:
                return pieces, done, (digest, left)
        done.append(digest)
    return pieces, done, None


def _cut_spans(digest: Digest, size: int, spans: list[Span], room: int, pieces: list[Piece]) -> tuple[list[Span], int]:
    """Take of one chunk's `spans` what `room` and the frame let; what is left of the spans, and of the room."""
    left: list[Span] = []
    for start, stop in spans:
        end = min(stop, size)
        length = min(end - start, room)
        if length > 0 and len(pieces) < MAX_PIECES:
            pieces.append(Piece(digest, size, start, length))
            room -= length
            start += length  # noqa: PLW2901 - what is left of the span
        if start < end:
            left.append((start, end))
    return left, room
