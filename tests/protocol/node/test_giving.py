"""Chunks given upward: whole, bounded, and whatever the other side says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.content.sealed.chunk import MAX_STORED, seal
from tiercast_protocol.errors import ChunkMissing, MessageInvalid, UsageError
from tiercast_protocol.node.giving import ANSWER_BYTES, MOST_DIGESTS, Taking, give

RNG = random.Random(3)
CHUNKS = dict(seal(RNG.randbytes(size)) for size in (1, 100, 60_000, 250_000, 262_144, 200_000, 2_000, 262_143))


async def read(digest: bytes) -> bytes:
    if digest not in CHUNKS:
        raise ChunkMissing(digest)
    return CHUNKS[digest]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([*CHUNKS, b"x" * 32, b"y" * 32]), unique=True))
async def test_everything_held_arrives_whole_in_bounded_answers(wanted: list[bytes]) -> None:
    taking, got = Taking(wanted), {}
    for _ in range(50):
        question = taking.question()
        if question is None:
            break
        answer = await give(question["digests"], question["offset"], read)
        assert sum(len(piece[3]) for piece in answer["pieces"]) <= ANSWER_BYTES
        got |= dict(taking.answered(answer))
    assert taking.question() is None
    assert got == {d: CHUNKS[d] for d in wanted if d in CHUNKS}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-1, 3), st.integers(-1, MAX_STORED + 1), st.integers(-1, 400), st.binary(max_size=300)),
        max_size=4,
    ),
    st.integers(-1, 4),
    st.integers(-1, 400),
)
def test_whatever_a_liar_answers_ends_or_settles_something(
    pieces: list[tuple[int, int, int, bytes]], place: int, offset: int
) -> None:
    taking = Taking([b"a" * 32, b"b" * 32, b"c" * 32])
    before = (taking.place, taking.offset)
    try:
        whole = taking.answered({"pieces": pieces, "place": place, "offset": offset})
    except MessageInvalid:
        return
    assert (taking.place, taking.offset) > before
    assert {digest for digest, _ in whole} <= set(taking.digests)
    assert all(0 < len(stored) <= MAX_STORED for _, stored in whole)


def test_what_is_no_answer_at_all() -> None:
    for answer in (None, [], {"pieces": 1, "place": 1, "offset": 0}, {"pieces": [], "place": 0, "offset": 0}):
        with pytest.raises(MessageInvalid):
            Taking([b"a" * 32]).answered(answer)


@pytest.mark.parametrize(
    ("digests", "offset"),
    [(b"short", 0), (bytes(32 * (MOST_DIGESTS + 1)), 0), (bytes(32), -1), (bytes(32), "1"), (7, 0)],
)
async def test_questions_that_are_none(digests: object, offset: object) -> None:
    with pytest.raises(UsageError):
        await give(digests, offset, read)
