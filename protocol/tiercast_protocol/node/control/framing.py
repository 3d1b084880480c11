"""Frames of the control socket (docs/protocol.md, section 10).

u32 big-endian length, then a msgpack map with text keys:
- asked:    {id, verb, args}          and {id, cancel: true} for one that is no longer wanted
- answered: {id, result} | {id, error: {code, what, where, todo}} | {id, item} ... {id, end: true}

Rules
- `id` is a positive number that the client chooses, unique among its open calls; 0 is an answer to
  the connection itself (why it is refused).
- The length is checked before anything is read, the rest by the limits of the wire's codec.
- A frame that can't be read leaves no way to find the next one: the connection ends.
"""

from __future__ import annotations

import struct
from asyncio import IncompleteReadError, StreamReader
from typing import Any

from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec

LENGTH = struct.Struct(">I")
#: Most bytes of one frame: 4 MiB of chunks with their names around them.
MAX_FRAME = (4 << 20) + 4096
MAX_ID = (1 << 53) - 1

Frame = dict[str, Any]


def pack(frame: Frame) -> bytes:
    """The bytes of `frame`, length first.

    Raises:
        MessageInvalid: larger than `MAX_FRAME`, or of values that msgpack does not know.
    """
    try:
        body = codec.encode(frame)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MessageInvalid(f"can't be sent: {error}") from error
    if len(body) > MAX_FRAME:
        raise MessageInvalid(f"a frame of {len(body)} bytes; the limit is {MAX_FRAME}")
    return LENGTH.pack(len(body)) + body


def unpack(body: bytes) -> Frame:
    """The map in `body`, with a proper id.  Raises MessageInvalid."""
    frame = codec.decode_plain(body, max_size=MAX_FRAME)
    if not isinstance(frame, dict) or not all(isinstance(key, str) for key in frame):
        raise MessageInvalid("not a map with text keys")
    id_ = frame.get("id")
    if type(id_) is not int or not 0 <= id_ <= MAX_ID:
        raise MessageInvalid("without a proper id")
    return frame


class FrameReader:
    """Reads frames off a stream; a cancelled read loses nothing."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._length: int | None = None

    async def next(self) -> Frame | None:
        """The next frame, or None at the end of the stream.

        Raises:
            MessageInvalid: too long, cut off within a frame, or no frame at all.
        """
        try:
            length = self._length
            if length is None:
                head = await self._reader.readexactly(LENGTH.size)
                (length,) = LENGTH.unpack(head)
            if not 0 < length <= MAX_FRAME:
                raise MessageInvalid(f"a frame of {length} bytes; the limit is {MAX_FRAME}")
            self._length = length
            body = await self._reader.readexactly(length)
        except IncompleteReadError as error:
            if self._length is None and not error.partial:
                return None
            raise MessageInvalid("cut off within a frame") from error
        except ConnectionError:
            return None
        self._length = None
        return unpack(body)
