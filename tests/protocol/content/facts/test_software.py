"""Lists of software: one digest for the same software, differences that prove themselves, and nothing hostile."""

from __future__ import annotations

import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.facts import software
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec

lists = st.dictionaries(st.text("abcdef:-", min_size=1, max_size=6), st.text("0123.~", max_size=5), max_size=30)


@given(lists, lists)
def test_a_difference_makes_the_result_of_its_base_and_of_nothing_else(
    base: dict[str, str], result: dict[str, str]
) -> None:
    digest, data = software.packed(result)
    assert software.unpacked(digest, data) == result
    change = software.difference(base, result)
    assert software.applied(base, change, digest) == result
    other = {**result, "zz": "1"}
    with pytest.raises(MessageInvalid):
        software.applied(base, change, digest_of(software.encoded(other)))
    if base != result:
        assert digest_of(software.encoded(base)) != digest


def test_conditions_see_only_what_they_ask_for() -> None:
    digest, data = software.packed({"openssl": "3", "zlib": "1"})
    some = software.as_json(digest, data, frozenset({"openssl", "absent"}))
    assert json.loads(software.joined('{"name":"pc"}', some)) == {"name": "pc", "software": {"openssl": "3"}}
    assert json.loads(software.as_json(digest, data)) == {"openssl": "3", "zlib": "1"}


def test_what_can_not_be_told_is_left_out() -> None:
    assert software.bounded({"a": "1", "long": "x" * 300, "": "1"}) == {"a": "1"}
    assert len(software.bounded({f"p{number}": "1" for number in range(30_000)})) == software.MOST


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no frame",
        zstandard.ZstdCompressor().compress(bytes(100_000_000)),
        zstandard.ZstdCompressor(write_content_size=False).compress(b"abc"),
        zstandard.ZstdCompressor().compress(codec.encode([["a", "b"], ["1"]])),
        zstandard.ZstdCompressor().compress(codec.encode({"a": 1})),
        bytes(software.LARGEST_PACKED + 1),
    ],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        software.unpacked(digest_of(b"x"), data)
    with pytest.raises(MessageInvalid):
        software.applied({}, data, digest_of(b"x"))
    try:
        raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=1 << 20)
    except zstandard.ZstdError:
        return
    with pytest.raises(MessageInvalid):
        software.unpacked(digest_of(raw), data)
