"""Bytes in, checked values or `MessageInvalid` out; never a task, never much memory."""

import random
import tracemalloc

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import Ack, Query, Report

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_round_trip(value: object) -> None:
    assert codec.decode_plain(codec.encode(value)) == value


@given(st.dictionaries(st.text(max_size=4), st.integers(), max_size=8))
def test_same_value_same_bytes(value: dict[str, int]) -> None:
    value = {key: number % 2**32 for key, number in value.items()}
    assert codec.encode(value) == codec.encode(dict(reversed(value.items())))


def test_any_buffer() -> None:
    data = codec.encode({"verb": "status"})
    assert codec.decode(memoryview(data), Query) == codec.decode(data, Query) == Query(verb="status")


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    for decode in (codec.decode_plain, lambda given: codec.decode(given, Report)):
        try:
            decode(data)
        except MessageInvalid as error:
            assert error.reason  # noqa: PT017 - either is right


@settings(max_examples=300)
@given(PLAIN, st.integers(0, 2**32), st.integers(0, 4))
def test_any_damage(value: object, seed: int, count: int) -> None:
    data, chance = bytearray(codec.encode(value)), random.Random(seed)
    for _ in range(count):
        data[chance.randrange(len(data))] = chance.randrange(256)
    for cut in (len(data), chance.randrange(len(data) + 1)):
        try:
            codec.decode_plain(bytes(data[:cut]))
        except MessageInvalid as error:
            assert error.reason  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\x81\xc0\xc0",
        b"\x81\x90\xc0",
        b"\xa1\xff",
        b"\xd4\x01a",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xc4\x05abc",
        b"\xdb\xff\xff\xff\xffa",
    ],
    ids=[
        "empty",
        "never used",
        "trailing",
        "key is nil",
        "key is a list",
        "no UTF-8",
        "ext",
        "time",
        "cut",
        "huge str",
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        codec.decode_plain(data)


def test_sizes() -> None:
    codec.decode_plain(codec.encode(bytes(codec.MAX_MESSAGE - 10)))
    with pytest.raises(MessageInvalid, match="more than the limit"):
        codec.decode_plain(bytes(codec.MAX_MESSAGE + 1))
    with pytest.raises(MessageInvalid, match="limit of 10"):
        codec.decode(bytes(11), Query, max_size=10)


def test_items() -> None:
    assert len(codec.decode_plain(msgpack.packb([0] * codec.MAX_ITEMS))) == codec.MAX_ITEMS
    with pytest.raises(MessageInvalid):
        codec.decode_plain(msgpack.packb([0] * (codec.MAX_ITEMS + 1)))
    assert len(codec.decode_plain(msgpack.packb({str(n): n for n in range(codec.MAX_MAP)}))) == codec.MAX_MAP
    with pytest.raises(MessageInvalid):
        codec.decode_plain(msgpack.packb({str(n): n for n in range(codec.MAX_MAP + 1)}))


def nested(depth: int, *, of_maps: bool = False) -> bytes:
    value: object = 1
    for _ in range(depth):
        value = {"a": value} if of_maps else [value]
    return msgpack.packb(value)


@pytest.mark.parametrize("of_maps", [False, True])
def test_depth(of_maps: bool) -> None:
    codec.decode_plain(nested(codec.MAX_DEPTH, of_maps=of_maps))
    for depth in (codec.MAX_DEPTH + 1, 100, 400):
        with pytest.raises(MessageInvalid):
            codec.decode_plain(nested(depth, of_maps=of_maps))
    with pytest.raises(MessageInvalid, match="deeper"):
        codec.decode_plain(nested(codec.MAX_DEPTH + 1, of_maps=of_maps))


KIB8 = 8192
BOMBS = {
    "nested lists that claim 65,535": b"\xdc\xff\xff" * (KIB8 // 3),
    "nested lists that claim millions": b"\xdd\x00\xff\xff\xff" * (KIB8 // 5),
    "lists in a list": b"\xdc\x0a\xa0" + b"\xdc\xff\xff" * 2720,
    "nested maps": b"\xde\x04\x00" * (KIB8 // 3),
    "nested maps of millions": b"\xdf\x0f\xff\xff\xff\xa1a" * (KIB8 // 7),
    "depth alone": b"\x91" * KIB8,
    "empty lists": b"\xdc\x1f\xfd" + b"\x90" * (KIB8 - 3),
    "empty maps": b"\xdc\x1f\xfd" + b"\x80" * (KIB8 - 3),
    "a claim of 4 GiB": b"\xc6\xff\xff\xff\xff" + bytes(KIB8 - 5),
    "one list of billions": b"\xdd\xff\xff\xff\xff" + bytes(KIB8 - 5),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_eight_kib_stay_small(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        codec.decode_plain(bomb)
    except MessageInvalid:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20


def test_types_are_checked() -> None:
    for data in ({"verb": 1}, {"verb": None}, {}, [], "status", {"verb": "x", "args": []}):
        with pytest.raises(MessageInvalid):
            codec.decode(codec.encode(data), Query)


def test_text_is_not_taken_for_bytes() -> None:
    with pytest.raises(MessageInvalid):
        codec.decode(codec.encode({"ids": ["AAAA"]}), Ack)


def test_unknown_fields_are_ignored_and_missing_ones_defaulted() -> None:
    assert codec.decode(codec.encode({"verb": "status", "more": [1, {"x": 2}]}), Query) == Query(verb="status", args={})


def test_what_the_type_itself_refuses() -> None:
    class Even(msgspec.Struct):
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ValueError("odd")

    with pytest.raises(MessageInvalid, match="odd"):
        codec.decode(codec.encode({"number": 3}), Even)
