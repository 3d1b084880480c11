"""Frames, whole and broken."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.node.control.framing import LENGTH, MAX_FRAME, FrameReader, pack, unpack
from tiercast_protocol.wire import codec


def _reader(data: bytes) -> FrameReader:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return FrameReader(stream)


async def test_frames_follow_each_other() -> None:
    frames = [{"id": 1, "verb": "status", "args": {"a": b"\0" * 100_000}}, {"id": 2, "cancel": True}]
    reader = _reader(b"".join(map(pack, frames)))
    assert [await reader.next(), await reader.next(), await reader.next()] == [*frames, None]


async def test_a_cancelled_read_loses_nothing() -> None:
    stream = asyncio.StreamReader()
    reader = FrameReader(stream)
    data = pack({"id": 7, "verb": "x"})
    for n in range(len(data)):
        stream.feed_data(data[n : n + 1])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.next(), 0.001)
        if n == len(data) - 2:
            break
    stream.feed_data(data[-1:])
    assert await reader.next() == {"id": 7, "verb": "x"}


@pytest.mark.parametrize(
    "data",
    [
        LENGTH.pack(MAX_FRAME + 1),
        LENGTH.pack(0),
        b"\0\0",
        pack({"id": 1})[:-1],
        LENGTH.pack(1) + b"\xc1",
        LENGTH.pack(1) + b"\x01",
        LENGTH.pack(6) + codec.encode({"id": "x"}),
    ],
)
async def test_what_is_no_frame(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        await _reader(data).next()


@given(st.binary(max_size=200))
def test_random_bytes_are_a_frame_or_invalid(data: bytes) -> None:
    with contextlib.suppress(MessageInvalid):
        assert unpack(data)["id"] >= 0


def test_what_can_not_be_sent() -> None:
    with pytest.raises(MessageInvalid, match="limit"):
        pack({"id": 1, "result": b"x" * (MAX_FRAME + 1)})
    with pytest.raises(MessageInvalid, match="can't be sent"):
        pack({"id": 1, "result": object()})
    assert len(pack({"id": 1, "result": b"x" * (4 << 20)})) > 4 << 20
