"""What a taker makes of frames, and what is offered to a placer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from tests.support.hop import chunks

from tiercast_protocol.errors import ChunkCorrupt, MessageInvalid
from tiercast_protocol.node.taking import Arrived, arrived, taker_of
from tiercast_protocol.wire import frame
from tiercast_protocol.wire.messages import Piece

(ONE, STORED_ONE), (TWO, STORED_TWO) = chunks(2).items()


class Fake:
    """Has places for some chunks."""

    def __init__(self, *places: bytes, corrupt: bool = False) -> None:
        self.places, self.corrupt = places, corrupt
        self.offered: list[bytes] = []

    def take(self, chunks: Sequence[tuple[bytes, memoryview]]) -> Mapping[bytes, object]:
        self.offered += [digest for digest, _ in chunks]
        mine = [digest for digest, _ in chunks if digest in self.places]
        return {digest: ChunkCorrupt(digest, "flipped") if self.corrupt else "placed" for digest in mine}

    def taken(self, digest: bytes, what: object) -> None:
        raise NotImplementedError


def whole(digest: bytes, stored: bytes) -> Piece:
    return Piece(digest, len(stored), 0, len(stored))


BOTH = [whole(ONE, STORED_ONE), whole(TWO, STORED_TWO)]
FRAME = memoryview(frame.pieces_head(BOTH) + STORED_ONE + STORED_TWO)


@pytest.mark.parametrize("numbers", [(), (0,), (1,), (0, 1)])
def test_a_frame_is_finished_when_all_of_it_was_taken(numbers: tuple[int, ...]) -> None:
    places = [(ONE, TWO)[number] for number in numbers]
    placer = Fake(*places)
    what, done = taker_of(placer)(FRAME)
    assert placer.offered == [ONE, TWO]
    assert done == (numbers == (0, 1))
    assert isinstance(what, Arrived)
    assert [piece for piece, _ in what.pieces] == BOTH
    assert what.taken == dict.fromkeys(places, "placed")
    assert arrived(FRAME, what) is what


def test_a_damaged_chunk_that_had_a_place_is_dealt_with_too() -> None:
    what, done = taker_of(Fake(ONE, TWO, corrupt=True))(FRAME)
    assert done
    assert isinstance(what, Arrived)
    assert all(isinstance(found, ChunkCorrupt) for found in what.taken.values())


def test_the_same_chunk_twice_keeps_the_frame() -> None:
    twice = [BOTH[0], BOTH[0]]
    _, done = taker_of(Fake(ONE))(memoryview(frame.pieces_head(twice) + STORED_ONE * 2))
    assert not done


def test_parts_of_chunks_and_marks_are_not_offered() -> None:
    placer = Fake(ONE, TWO)
    half = Piece(ONE, len(STORED_ONE), 0, 10)
    what, done = taker_of(placer)(memoryview(frame.pieces_head([half]) + STORED_ONE[:10]))
    assert (placer.offered, done) == ([], False)
    mark = frame.Mark(1, 2, 3)
    what, done = taker_of(placer)(memoryview(frame.mark_frame(mark)))
    assert isinstance(what, Arrived)
    assert (what.mark, done, placer.offered) == (mark, False, [])


def test_what_is_no_frame_is_for_the_loop_to_refuse() -> None:
    garbage = memoryview(b"T2\1\1" + bytes(60))
    assert taker_of(Fake(ONE))(garbage) == (None, False)
    with pytest.raises(MessageInvalid):
        arrived(garbage)
    assert arrived(FRAME).taken == {}
