"""Cuts: complete, within bounds, the same from memory and from a stream, stable under edits, fixed for ever."""

import io
import random
import sys
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.content.sealed import chunking
from tiercast_protocol.content.sealed.chunking import KIB, TC1, Chunker, Parameters, split
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.errors import UsageError

SMALL = Parameters("small", 64, 256, 1024, 64, 64, 256, 1024)


def noise(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def test_parameters_of_tc1_never_change() -> None:
    # every manifest that says "tc1" was cut like this; what differs needs another name
    assert (TC1.minimum, TC1.average, TC1.maximum) == (16 * KIB, 64 * KIB, 256 * KIB)
    assert (TC1.pack_below, TC1.pack_minimum, TC1.pack_average, TC1.pack_maximum) == (
        64 * KIB,
        64 * KIB,
        128 * KIB,
        256 * KIB,
    )


def test_cuts_of_tc1_never_change() -> None:
    lengths = [len(part) for part in split(noise(1_500_000))]
    assert lengths == GOLDEN_CUTS


GOLDEN_CUTS = [
    111090,
    67285,
    86090,
    221300,
    99418,
    125415,
    134887,
    71542,
    103858,
    23090,
    68825,
    20923,
    79423,
    158135,
    103863,
    24856,
]


@settings(deadline=None)
@given(st.integers(0, 12_000), st.integers(0, 99))
def test_complete_and_within_bounds(size: int, seed: int) -> None:
    data = noise(size, seed)
    parts = [bytes(part) for part in Chunker(SMALL).split(data)]
    assert b"".join(parts) == data
    assert all(len(part) <= SMALL.maximum for part in parts)
    assert all(len(part) >= SMALL.minimum for part in parts[:-1])
    assert b"" not in parts


class Dribble(io.RawIOBase):
    """Gives a few bytes at a time, as a pipe would."""

    def __init__(self, data: bytes, seed: int) -> None:
        self.data, self.chance = io.BytesIO(data), random.Random(seed)

    def readinto(self, view: memoryview) -> int:
        return self.data.readinto(view[: self.chance.randrange(1, 700)])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 20_000), st.integers(0, 99))
def test_a_stream_is_cut_alike(size: int, seed: int) -> None:
    data = noise(size, seed)
    chunker = Chunker(SMALL)
    whole = [bytes(part) for part in chunker.split(data)]
    assert [bytes(part) for part in chunker.split_stream(Dribble(data, seed).readinto)] == whole


@pytest.mark.parametrize("data", [b"", bytes(1_000_000), b"ab" * 400_000])
def test_dull_content(data: bytes) -> None:
    parts = [bytes(part) for part in split(data)]
    assert b"".join(parts) == data
    assert len({digest_of(part) for part in parts}) <= 2


def test_an_insertion_changes_little() -> None:
    data = noise(4_000_000)
    held = {digest_of(part) for part in split(data)}
    edited = data[:2_000_000] + b"something new" + data[2_000_000:]
    new = [part for part in split(edited) if digest_of(part) not in held]
    assert len(new) <= 3


def test_a_pack_ends_only_when_it_is_large_enough() -> None:
    chunker = Chunker()
    eager, never = b"\x00" * 32, b"\xff" * 32
    assert not chunker.pack_ends(TC1.pack_minimum - 1, 5000, eager)
    assert chunker.pack_ends(TC1.pack_minimum, 5000, eager)
    assert not chunker.pack_ends(TC1.pack_minimum, 5000, never)


def test_packs_reach_their_average() -> None:
    chunker, chance, pack, packs = Chunker(), random.Random(5), 0, []
    for n in range(60_000):
        size = chance.randrange(1, 8000)
        pack += size
        if chunker.pack_ends(pack, size, digest_of(str(n).encode())):
            packs.append(pack)
            pack = 0
    assert 0.9 < sum(packs) / len(packs) / TC1.pack_average < 1.1


def test_chunks_larger_than_a_receiver_takes_are_our_mistake() -> None:
    with pytest.raises(ValueError, match="MAX_RAW"):
        Chunker(Parameters("big", 64 * KIB, 256 * KIB, 1024 * KIB, 1, 1, 1, 1))


def test_without_the_compiled_part() -> None:
    slow = mock.Mock(FastCDC=type("FastCDC", (), {"__module__": "pyfastcdc.py.fastcdc"}))
    with mock.patch.dict(sys.modules, {"pyfastcdc": slow}), pytest.raises(UsageError, match="compiled") as caught:
        Chunker()
    assert caught.value.code == "packager.no_chunker"
    assert "pip install" in caught.value.todo


def test_without_the_chunker() -> None:
    with mock.patch.dict(sys.modules, {"pyfastcdc": None}), pytest.raises(UsageError, match="not installed"):
        next(chunking.split(b"x"))
