"""Bulk frames: golden bytes, views instead of copies, and no header that can lie."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire.frame import (
    MAX_CHUNK,
    MAX_FRAME,
    MAX_PIECES,
    PIECE_HEADER,
    Mark,
    guarded,
    mark_frame,
    parse,
    pieces_head,
    unguarded,
)
from tiercast_protocol.wire.messages import Piece

GOLDEN = Path(__file__).parent / "golden"
D1, D2 = bytes(range(32)), bytes(range(32, 64))
PIECES = (Piece(D1, 1000, 0, 3), Piece(D2, 70_000, 65_536, 5))
FRAME = pieces_head(PIECES) + b"abc" + b"12345"


def test_golden() -> None:
    assert bytes.fromhex((GOLDEN / "frame.pieces.hex").read_text()) == FRAME
    assert bytes.fromhex((GOLDEN / "frame.mark.hex").read_text()) == mark_frame(Mark(2**63, 7, 10**12))


def test_pieces() -> None:
    frame = memoryview(FRAME)
    found, mark = parse(frame)
    assert mark is None
    assert [(piece, bytes(view)) for piece, view in found] == [(PIECES[0], b"abc"), (PIECES[1], b"12345")]
    assert all(view.obj is frame.obj for _, view in found)  # no copy
    assert len(FRAME) == 8 + 2 * PIECE_HEADER + 8


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_marks(session: int, number: int, charged: int) -> None:
    mark = Mark(session, number, charged)
    assert parse(memoryview(mark_frame(mark))) == ((), mark)


def pieces() -> st.SearchStrategy[list[Piece]]:
    def piece(digest: bytes, size: int, offset: int, length: int) -> Piece:
        length = min(length, size)
        return Piece(digest, size, min(offset, size - length), length)

    one = st.builds(
        piece,
        st.binary(min_size=32, max_size=32),
        st.integers(1, MAX_CHUNK),
        st.integers(0, MAX_CHUNK),
        st.integers(1, 200),
    )
    return st.lists(one, min_size=1, max_size=8)


@given(pieces())
def test_round_trip(wanted: list[Piece]) -> None:
    payload = b"".join(bytes([n]) * piece.length for n, piece in enumerate(wanted))
    found, mark = parse(memoryview(pieces_head(wanted) + payload))
    assert mark is None
    assert [piece for piece, _ in found] == wanted
    assert b"".join(bytes(view) for _, view in found) == payload


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"T2",
        b"T2\x01",
        b"X1" + FRAME[2:],
        b"T2\x01\x00",
        b"T2\x03" + FRAME[3:],
        FRAME[:-1],
        FRAME + b"x",
        FRAME[:3] + b"\x03" + FRAME[4:],
        FRAME[:50],
        mark_frame(Mark(1, 2, 3))[:-1],
        mark_frame(Mark(1, 2, 3)) + b"x",
        b"T2\x02\x01" + mark_frame(Mark(1, 2, 3))[4:],
        pieces_head([Piece(D1, MAX_CHUNK + 1, 0, 1)]) + b"x",
        pieces_head([Piece(D1, 10, 8, 3)]) + b"xxx",
        pieces_head([Piece(D1, 10, 0, 0)]),
        pieces_head([Piece(D1, 0, 0, 0)]),
        pieces_head([Piece(D1, 10, 2**32 - 1, 1)]) + b"x",
        pieces_head([Piece(D1, 10, 0, 11)]) + b"x" * 11,
        bytes(MAX_FRAME * 2),
    ],
    ids=lambda frame: f"{frame[:4].hex()}-{len(frame)}",
)
def test_refused(frame: bytes) -> None:
    with pytest.raises(MessageInvalid, match="frame"):
        parse(memoryview(frame))


def test_counts() -> None:
    one = Piece(D1, 10, 0, 1)
    full = pieces_head([one] * MAX_PIECES) + b"x" * MAX_PIECES
    assert len(parse(memoryview(full))[0]) == MAX_PIECES
    for wrong in ([], [one] * (MAX_PIECES + 1)):
        with pytest.raises(ValueError, match="pieces in one frame"):
            pieces_head(wrong)


def test_the_largest_frame() -> None:
    piece = Piece(D1, MAX_CHUNK, 0, MAX_FRAME)
    assert parse(memoryview(pieces_head([piece]) + bytes(MAX_FRAME)))[0][0][0] == piece


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([b"", b"T2\x01\x01", b"T2\x01\x02", b"T2\x02\x00"]))
def test_any_bytes(data: bytes, head: bytes) -> None:
    try:
        parse(memoryview(head + data))
    except MessageInvalid as error:
        assert error.kind == "frame"  # noqa: PT017 - either is right


@pytest.mark.parametrize("whole", [FRAME, mark_frame(Mark(7, 8, 9))], ids=["pieces", "mark"])
def test_no_flipped_bit_of_a_head_passes(whole: bytes) -> None:
    """A mark with another count would settle what never was sent, and nothing after it would mend that."""
    payload = 8 if whole is FRAME else 0
    for bit in range(8 * (len(whole) - payload)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MessageInvalid, match="frame"):
            parse(memoryview(flipped))


def test_no_flipped_bit_of_a_report_passes() -> None:
    report = guarded(b"a report")
    assert bytes(unguarded(memoryview(report))) == b"a report"
    for bit in range(8 * len(report)):
        flipped = bytearray(report)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MessageInvalid, match="sum"):
            unguarded(memoryview(flipped))
    for short in (b"", report[:3]):
        with pytest.raises(MessageInvalid, match="sum"):
            unguarded(short)
