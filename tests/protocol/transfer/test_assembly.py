"""Chunks in progress."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer.assembly import Assembly, Fit
from tiercast_protocol.wire.messages import Piece

A, B = b"a" * 32, b"b" * 32
pieces = st.builds(
    lambda digest, size, offset, length: Piece(
        digest, size, min(offset, size - 1), min(length, size - min(offset, size - 1))
    ),
    st.sampled_from([A, B]),
    st.sampled_from([40, 40, 40, 50]),
    st.integers(0, 49),
    st.integers(1, 50),
)


@given(st.lists(pieces, max_size=60))
def test_no_byte_is_kept_twice_and_memory_is_bounded(story: list[Piece]) -> None:
    assembly = Assembly(60)
    kept: dict[bytes, set[int]] = {}
    for piece in story:
        fit = assembly.take(piece)
        span = set(range(piece.offset, piece.offset + piece.length))
        if fit is Fit.CONTRADICTS:
            kept[piece.digest] = span
        elif fit in (Fit.KEPT, Fit.WHOLE):
            assert not span & kept.get(piece.digest, set())
            kept.setdefault(piece.digest, set()).update(span)
        if fit is Fit.WHOLE or assembly.complete(piece.digest):
            assert kept.pop(piece.digest) == set(range(piece.size))
            assembly.drop(piece.digest)
        assert assembly.held <= 100
        missing = {(d, at) for d, offset, length in assembly.repairs() for at in range(offset, offset + length)}
        assert all((digest, at) not in missing for digest, here in kept.items() for at in here)
    for digest in (A, B):
        assembly.drop(digest)
    assert (assembly.held, len(assembly)) == (0, 0)


def test_room_for_one_chunk_at_least() -> None:
    assembly = Assembly(10)
    assert assembly.take(Piece(A, 100, 0, 50)) is Fit.KEPT
    assert assembly.take(Piece(B, 100, 0, 50)) is Fit.REFUSED
    assert assembly.take(Piece(A, 100, 50, 50)) is Fit.WHOLE


def test_pieces_that_contradict_get_no_memory_beyond_the_bound() -> None:
    """A parent that lies about sizes must not fill the child: many small chunks begun, then each said to be large."""
    assembly = Assembly(1000)
    digests = [bytes([n]) * 32 for n in range(100)]
    for digest in digests:
        assert assembly.take(Piece(digest, 10, 0, 1)) is Fit.KEPT
    fits = [assembly.take(Piece(digest, 900, 0, 1)) for digest in digests]
    assert assembly.held <= 1000
    assert set(fits) == {Fit.CONTRADICTS, Fit.DROPPED}
    # and what is true still comes through
    assert assembly.take(Piece(digests[0], 900, 0, 900)) in {Fit.WHOLE, Fit.REPEATED}
    assert assembly.take(Piece(digests[-1], 900, 0, 900)) is Fit.WHOLE
