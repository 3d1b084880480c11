"""Frames cut out of chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer.cutting import (
    DEFAULT_FRAME,
    FIRST_FRAME,
    LARGEST_FRAME,
    LEAST_FRAME,
    cut,
    frame_size,
)
from tiercast_protocol.transfer.ranges import Span
from tiercast_protocol.wire.frame import MAX_PIECES


@given(st.lists(st.integers(1, 500), max_size=400), st.integers(1, 3000))
def test_frames_carry_everything_once_and_in_order(sizes: list[int], room: int) -> None:
    queue: dict[bytes, list[Span] | None] = {n.to_bytes(32): None for n in range(len(sizes))}
    carried: list[tuple[bytes, int]] = []
    while queue:
        pieces, done, begun = cut(queue, lambda d: (sizes[int.from_bytes(d)], queue[d]), room)
        assert 0 < len(pieces) <= MAX_PIECES
        assert sum(piece.length for piece in pieces) <= room
        carried += [(piece.digest, at) for piece in pieces for at in range(piece.offset, piece.offset + piece.length)]
        whole = all(piece.length == sizes[int.from_bytes(piece.digest)] for piece in pieces)
        for digest in done:
            del queue[digest]
        filled = sum(piece.length for piece in pieces)
        if begun is None and queue and len(pieces) < MAX_PIECES and filled < room:
            assert 2 * filled >= room, "only a frame that is half full goes before it is full"
        if begun is not None:
            assert not whole or filled == room
        if begun is not None:
            assert sum(piece.length for piece in pieces) == room or len(pieces) == MAX_PIECES
            queue[begun[0]] = begun[1]
    assert carried == [(n.to_bytes(32), at) for n, size in enumerate(sizes) for at in range(size)]


def test_a_chunk_is_split_only_where_less_than_half_a_frame_would_go() -> None:
    def pieces(*sizes: int) -> list[tuple[int, int]]:
        found, _, _ = cut([bytes([n]) for n in range(len(sizes))], lambda d: (sizes[d[0]], None), 100)
        return [(piece.digest[0], piece.length) for piece in found]

    assert pieces(30, 30, 50) == [(0, 30), (1, 30)]
    assert pieces(30, 90) == [(0, 30), (1, 70)]
    assert pieces(300) == [(0, 100)]


def test_ranges_are_kept_inside_their_chunk() -> None:
    pieces, done, begun = cut([b"a"], lambda _d: (100, [(10, 20), (90, 300), (400, 500)]), 1000)
    assert [(piece.offset, piece.length) for piece in pieces] == [(10, 10), (90, 10)]
    assert done == [b"a"]
    assert begun is None


def test_a_frame_is_what_the_link_carries_in_50_ms() -> None:
    assert frame_size(1e6, None) == 50_000
    assert frame_size(1e3, None) == LEAST_FRAME
    assert frame_size(12.5e6, None) == DEFAULT_FRAME
    assert frame_size(5e7, None) == 500_000
    assert frame_size(1e12, None) == LARGEST_FRAME
    assert frame_size(None, None) == FIRST_FRAME


def test_frames_for_many_are_larger_but_where_a_cap_may_hold_for_all_together() -> None:
    assert frame_size(None, 6e6) == DEFAULT_FRAME
    assert frame_size(None, 6e6, 4) == 480_000
    assert frame_size(None, 6e6, 32) == 600_000, "never more than one link carries in 50 ms"
    assert frame_size(None, 6e7, 32) == LARGEST_FRAME
    assert frame_size(20e6, None, 8) == frame_size(20e6, None)


@pytest.mark.parametrize(("cap", "expected"), [(None, 20_000), (1e5, 5_000)])
def test_a_link_that_turned_out_slow_gets_small_frames(cap: float | None, expected: int) -> None:
    assert frame_size(cap, 2e5) == expected
