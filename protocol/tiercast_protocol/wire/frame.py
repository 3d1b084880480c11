"""Bulk frames: pieces of chunks as they go over one hop (docs/protocol.md, section 6).

Layout, big-endian:  magic "T1" (2) | type (1) | count (1) | headers | payload
- type 1, pieces: `count` headers of digest (32) | size (4) | offset (4) | length (4), then the pieces' bytes
  in the same order.
- type 2, mark:   count 0, then session (8) | mark (4) | charged (8).
Digest and size stand in every header, so a frame means the same to whoever receives it, after any
restart, in any order, once or twice.  44 bytes per piece of 64 KiB are 0.07 per cent.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire.messages import Piece

MAGIC = b"T1"
PIECES, MARK = 1, 2
_HEAD = struct.Struct(">2sBB")
_PIECE = struct.Struct(">32sIII")
_MARK = struct.Struct(">QIQ")

#: Most pieces of one frame (the count is one byte).
MAX_PIECES = 255
#: Most payload bytes of one frame: every broker's limit with room for topic and headers.
MAX_FRAME = 900 * 1024
#: Largest stored chunk that a header may announce: a receiver reserves this much before the first byte is proved.
MAX_CHUNK = 1 << 20
PIECE_HEADER = _PIECE.size


@dataclass(frozen=True, slots=True)
class Mark:
    """Everything charged to the child up to `charged` was sent before this mark."""

    session: int
    mark: int
    charged: int


def pieces_head(pieces: Sequence[Piece]) -> bytes:
    """The bytes before the payload of a frame of these pieces."""
    if not 0 < len(pieces) <= MAX_PIECES:
        raise ValueError(f"{len(pieces)} pieces in one frame")
    head = [_HEAD.pack(MAGIC, PIECES, len(pieces))]
    head += [_PIECE.pack(p.digest, p.size, p.offset, p.length) for p in pieces]
    return b"".join(head)


def mark_frame(mark: Mark) -> bytes:
    """A whole mark frame."""
    return _HEAD.pack(MAGIC, MARK, 0) + _MARK.pack(mark.session, mark.mark, mark.charged)


def parse(frame: memoryview) -> tuple[tuple[tuple[Piece, memoryview], ...], Mark | None]:
    """Split a frame into pieces with their bytes (views, no copy), or its mark.

    Raises:
        MessageInvalid: not a frame, or headers that contradict its length or the limits.
    """
    if len(frame) < _HEAD.size or len(frame) > MAX_FRAME + _HEAD.size + MAX_PIECES * _PIECE.size:
        raise MessageInvalid(f"a frame of {len(frame)} bytes", "frame")
    magic, type_, count = _HEAD.unpack_from(frame)
    if magic != MAGIC:
        raise MessageInvalid("wrong magic", "frame")
    if type_ == MARK and count == 0 and len(frame) == _HEAD.size + _MARK.size:
        return (), Mark(*_MARK.unpack_from(frame, _HEAD.size))
    if type_ != PIECES or count == 0:
        raise MessageInvalid(f"type {type_} with {count} pieces", "frame")
    at = _HEAD.size + count * _PIECE.size
    if len(frame) < at:
        raise MessageInvalid("shorter than its headers", "frame")
    found: list[tuple[Piece, memoryview]] = []
    for n in range(count):
        digest, size, offset, length = _PIECE.unpack_from(frame, _HEAD.size + n * _PIECE.size)
        if not 0 < length <= size <= MAX_CHUNK or offset + length > size or at + length > len(frame):
            raise MessageInvalid("a piece outside its chunk or its frame", "frame")
        found.append((Piece(digest, size, offset, length), frame[at : at + length]))
        at += length
    if at != len(frame):
        raise MessageInvalid("bytes after the last piece", "frame")
    return tuple(found), None
