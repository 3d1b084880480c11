"""Bulk frames: pieces of chunks as they go over one hop (docs/protocol.md, section 6).

Layout, big-endian:  magic "T2" (2) | type (1) | count (1) | CRC-32 of all headers (4) | headers | payload
- type 1, pieces: `count` headers of digest (32) | size (4) | offset (4) | length (4), then the pieces' bytes
  in the same order.
- type 2, mark:   count 0, then session (8) | mark (4) | charged (8).
Digest and size stand in every header, so a frame means the same to whoever receives it, after any
restart, in any order, once or twice.  44 bytes per piece of 64 KiB are 0.07 per cent.
The payload is proved by the digest.  The headers need their sum: a flipped bit that TCP did not see would make a mark
settle what never was, for ever; so do reports, which go up as  CRC-32 (4) | message.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire.messages import Piece

MAGIC = b"T2"
PIECES, MARK = 1, 2
_HEAD = struct.Struct(">2sBBI")
_SUM = struct.Struct(">I")
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
    headers = b"".join([_PIECE.pack(p.digest, p.size, p.offset, p.length) for p in pieces])
    return _HEAD.pack(MAGIC, PIECES, len(pieces), crc32(headers, len(pieces))) + headers


def mark_frame(mark: Mark) -> bytes:
    """A whole mark frame."""
    header = _MARK.pack(mark.session, mark.mark, mark.charged)
    return _HEAD.pack(MAGIC, MARK, 0, crc32(header)) + header


def guarded(message: bytes) -> bytes:
    """The message with its sum before it."""
    return _SUM.pack(crc32(message)) + message


def unguarded(payload: bytes | memoryview) -> bytes | memoryview:
    """The message behind its sum.

    Raises:
        MessageInvalid: it is not what was sent.
    """
    message = payload[_SUM.size :]
    if len(payload) < _SUM.size or _SUM.unpack_from(payload)[0] != crc32(message):
        raise MessageInvalid("its sum is wrong", "report")
    return message


def parse(frame: memoryview) -> tuple[tuple[tuple[Piece, memoryview], ...], Mark | None]:
    """Split a frame into pieces with their bytes (views, no copy), or its mark.

    Raises:
        MessageInvalid: not a frame, or headers that contradict its length or the limits.
    """
    if len(frame) < _HEAD.size or len(frame) > MAX_FRAME + _HEAD.size + MAX_PIECES * _PIECE.size:
        raise MessageInvalid(f"a frame of {len(frame)} bytes", "frame")
    magic, type_, count, total = _HEAD.unpack_from(frame)
    if magic != MAGIC:
        raise MessageInvalid("wrong magic", "frame")
    headers = frame[_HEAD.size : _HEAD.size + (_MARK.size if type_ == MARK else count * _PIECE.size)]
    if total != crc32(headers, count):
        raise MessageInvalid("its sum is wrong", "frame")
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
