"""Bytes to checked values and back.

Rules
- The size is checked before anything is decoded; lists, maps, strings and depth have limits of
  their own, because msgpack's defaults let 8 KiB grow to 62 MB (docs/protocol.md, section 2).
- msgspec checks the types.  Unknown fields are ignored, missing ones take their default.
- Whatever goes wrong is a `MessageInvalid`: a bad message costs a counter and a log line, never a task.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgpack
import msgspec

from tiercast_protocol.errors import MessageInvalid

T = TypeVar("T")

#: Largest control message in bytes: an order for 2,000 targets with its proofs fits.
MAX_MESSAGE = 1 << 20
#: Longest list, and most entries of one map.
MAX_ITEMS = 65_536
MAX_MAP = 1_024
#: Deepest nesting; our deepest message (an order bundle in an envelope) needs 5.
MAX_DEPTH = 12

_encoder = msgspec.msgpack.Encoder(order="deterministic")


def encode(value: object) -> bytes:
    """The canonical msgpack bytes of a message, an envelope or plain data; same value, same bytes."""
    return _encoder.encode(value)


def decode(data: bytes | memoryview, type_: type[T], *, max_size: int = MAX_MESSAGE) -> T:
    """Decode `data` as `type_`.

    Raises:
        MessageInvalid: too large, not msgpack, too deep, trailing bytes, or of the wrong shape.
    """
    plain = decode_plain(data, max_size=max_size)
    try:
        # bytes are bytes here; else a text where bytes belong would pass as base64
        return msgspec.convert(plain, type_, builtin_types=(bytes,))
    except (msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
        raise MessageInvalid(str(error)) from error


def decode_plain(data: bytes | memoryview, *, max_size: int = MAX_MESSAGE) -> Any:
    """Decode to plain lists, maps, numbers, strings and bytes, within the limits.

    Raises:
        MessageInvalid: too large, not msgpack, too deep or trailing bytes.
    """
    size = len(data)
    if size > max_size:
        raise MessageInvalid(f"{size} bytes are more than the limit of {max_size}")
    try:
        # Walks the bytes and builds nothing.  msgpack takes a list's length at its word: 8 KiB of nested claims
        # would cost 82 MB before the first is found to be untrue.
        msgspec.msgpack.decode(data, type=msgspec.Raw)
        plain = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            use_list=True,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_MAP,
            max_str_len=size,
            max_bin_len=size,
            max_ext_len=0,
        )
    except (
        ValueError,
        OverflowError,
        RecursionError,
        msgspec.DecodeError,
        msgpack.exceptions.UnpackException,
    ) as error:
        raise MessageInvalid(f"not msgpack: {type(error).__name__}") from error
    _check_depth(plain, MAX_DEPTH)
    return plain


def _check_depth(value: Any, most: int) -> None:
    """Level by level: of a message of five levels that is five passes, whatever its size."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most):
        if not level:
            return
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
    if level:
        raise MessageInvalid(f"nested deeper than {MAX_DEPTH} levels")
