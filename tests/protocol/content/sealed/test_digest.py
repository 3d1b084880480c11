"""The digest is BLAKE3-256, whole or in pieces."""

import pytest

from tiercast_protocol.content.sealed.digest import EMPTY, digest_of, hasher, split_digests


def test_known_value() -> None:
    # from the BLAKE3 authors' test vectors: the empty input
    assert EMPTY.hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(kind: type) -> None:
    assert digest_of(kind(b"abc")) == digest_of(b"abc")


def test_pieces_give_the_same() -> None:
    making = hasher()
    making.update(b"ab")
    making.update(memoryview(b"c"))
    assert making.digest() == digest_of(b"abc")


def test_joined_digests_are_split() -> None:
    assert list(split_digests(EMPTY + digest_of(b"a"))) == [EMPTY, digest_of(b"a")]
    assert list(split_digests(b"")) == []
    with pytest.raises(ValueError, match="no whole"):
        list(split_digests(b"x" * 33))
