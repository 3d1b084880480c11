"""Stored forms: what is sealed comes back, what is not is refused, nothing grows beyond bounds."""

import contextlib
import random
import threading
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.sealed.chunk import (
    MAX_RAW,
    MAX_STORED,
    RAW,
    ZSTD,
    pack,
    raw_size,
    seal,
    unpacked,
    unseal,
)
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.errors import ChunkCorrupt

NOISE = random.Random(1).randbytes(MAX_RAW)
TEXT = b"the same line again and again\n" * 2000


@given(st.binary(min_size=1, max_size=3000), st.sampled_from([1, 3, 9, 12]))
def test_round_trip(raw: bytes, level: int) -> None:
    digest, stored = seal(raw, level)
    assert digest == digest_of(raw)
    assert unseal(digest, stored) == raw
    assert unseal(digest, memoryview(stored)) == raw
    assert raw_size(stored) == len(raw)
    assert len(stored) <= len(raw) + 1


def test_who_proves_by_another_digest_gets_what_was_packed_and_no_more_than_that() -> None:
    digest, stored = seal(TEXT)
    assert unpacked(digest, stored) == unpacked(digest_of(b"other"), stored) == TEXT
    with pytest.raises(ChunkCorrupt):
        unpacked(digest, stored[:-1])


def test_what_does_not_compress_stays_raw() -> None:
    digest, stored = seal(NOISE)
    assert stored == bytes([RAW]) + NOISE
    assert len(stored) == MAX_STORED
    assert unseal(digest, stored) == NOISE


def test_zstd_only_where_it_saves_a_thirty_second() -> None:
    for part in range(0, 3200, 50):
        raw = NOISE[: 3200 - part] + bytes(part)
        stored = pack(raw)
        if stored[0] == ZSTD:
            assert len(stored) - 1 < len(raw) - len(raw) // 32
        else:
            assert len(zstandard.ZstdCompressor(level=9).compress(raw)) >= len(raw) - len(raw) // 32
    assert pack(TEXT)[0] == ZSTD


def test_same_bytes_for_same_parameters() -> None:
    assert pack(TEXT) == pack(memoryview(TEXT)) == pack(bytearray(TEXT))


@pytest.mark.parametrize("size", [0, MAX_RAW + 1])
def test_only_chunks_are_sealed(size: int) -> None:
    with pytest.raises(ValueError, match="a chunk of"):
        pack(bytes(size))


def frame(raw: bytes, **options: object) -> bytes:
    return bytes([ZSTD]) + zstandard.ZstdCompressor(**options).compress(raw)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        bytes([RAW]),
        bytes([ZSTD]),
        bytes([2]) + TEXT,
        bytes([RAW]) + bytes(MAX_RAW + 1),
        bytes([ZSTD]) + b"no frame at all",
        frame(TEXT, write_content_size=False),
        frame(TEXT)[:-1],
        frame(TEXT) + b"x",
        frame(TEXT) + frame(TEXT)[1:],
        frame(bytes(MAX_RAW + 1)),
        frame(b""),
        bytes([ZSTD]) + b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd",
        bytes([ZSTD]) + b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + frame(TEXT)[1:],
        frame(TEXT + b"other"),
    ],
    ids=lambda stored: stored[:8].hex() + f"-{len(stored)}",
)
def test_refused(stored: bytes) -> None:
    with pytest.raises(ChunkCorrupt):
        unseal(digest_of(TEXT), stored)


def test_a_dictionary_is_refused() -> None:
    samples = [random.Random(n).randbytes(40) * 20 for n in range(200)]
    dictionary = zstandard.train_dictionary(4096, samples)
    stored = frame(samples[0], dict_data=dictionary)
    with pytest.raises(ChunkCorrupt, match="dictionary"):
        unseal(digest_of(samples[0]), stored)


def test_a_large_window_is_refused() -> None:
    # single segment off, window descriptor of 1 GiB, content size of 4 bytes
    head = b"\x28\xb5\x2f\xfd" + bytes([0x80, 0xA0]) + (1000).to_bytes(4, "little")
    with pytest.raises(ChunkCorrupt):
        unseal(digest_of(bytes(1000)), bytes([ZSTD]) + head + b"\x01\x00\x00")


def test_a_bomb_stays_small() -> None:
    bomb = bytes([ZSTD]) + zstandard.ZstdCompressor(level=19).compress(bytes(200 * 1024 * 1024))
    assert len(bomb) < 32 * 1024
    lie = bytearray(bomb)
    sizes = zstandard.get_frame_parameters(bytes(bomb[1:]))
    at = bytes(lie).index(sizes.content_size.to_bytes(4, "little"))
    lie[at : at + 4] = MAX_RAW.to_bytes(4, "little")  # a header that lies about what follows
    tracemalloc.start()
    for stored in (bomb, bytes(lie)):
        with pytest.raises(ChunkCorrupt):
            unseal(digest_of(b"x"), stored)
    assert tracemalloc.get_traced_memory()[1] < 4 * MAX_RAW
    tracemalloc.stop()


@given(st.integers(0, 10**9), st.integers(0, 7))
def test_every_single_bit_counts(where: int, bit: int) -> None:
    digest, stored = seal(TEXT)
    damaged = bytearray(stored)
    damaged[where % len(stored)] ^= 1 << bit
    with contextlib.suppress(ChunkCorrupt):
        assert unseal(digest, bytes(damaged)) == TEXT  # a bit that zstd ignores is allowed, other bytes are not


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x00", b"\x01", b"\x01\x28\xb5\x2f\xfd"]))
def test_any_bytes_are_refused_by_name(data: bytes, head: bytes) -> None:
    with pytest.raises(ChunkCorrupt):
        unseal(digest_of(b"another"), head + data)


def test_threads_do_not_disturb_each_other() -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(60):
            raw = chance.randbytes(100) * chance.randrange(1, 300)
            if unseal(*seal(raw)) != raw:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
