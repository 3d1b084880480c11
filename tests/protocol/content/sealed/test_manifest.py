"""Roots: canonical, small, and refused when they can't be one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import MAX_LISTS, Root, decode_root, encode_root, valid_version
from tiercast_protocol.errors import MessageInvalid

ROOT = Root(
    format=1,
    chunking="tc1",
    name="editor",
    version="1.2.3",
    revision=4,
    definition='name = "editor"\n',
    lists=[digest_of(b"1"), digest_of(b"2")],
    files=3,
    size=1000,
    chunks=2,
    chunk_bytes=900,
)


def test_round_trip_and_golden() -> None:
    raw = encode_root(ROOT)
    assert decode_root(raw) == ROOT
    assert decode_root(memoryview(raw)) == ROOT
    # the digest of a root is what orders name: its bytes never change
    assert digest_of(raw).hex() == "1344c1813b8cf7ea3edb5bc6581b0e42f85b8fdb43b23d6e84ea93b48df996f7"


def test_small_for_many_files() -> None:
    # 100,000 files are about 500 lists
    many = msgspec.structs.replace(ROOT, lists=[digest_of(b"%d" % n) for n in range(500)])
    assert len(encode_root(many)) < 20_000
    most = msgspec.structs.replace(ROOT, lists=[digest_of(b"%d" % n) for n in range(MAX_LISTS)])
    assert decode_root(encode_root(most)) == most


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"name": ""},
        {"name": "../up"},
        {"version": ""},
        {"version": "a/b"},
        {"revision": 0},
        {"lists": [b"short"]},
        {"lists": [digest_of(b"")] * (MAX_LISTS + 1)},
        {"files": -1},
        {"size": 1 << 63},
        {"chunks": 1, "chunk_bytes": 10_000_000},
        {"definition": "x" * 40_000},
        {"chunking": ""},
        {"name": 5},
        {"lists": None},
    ],
)
def test_refused(change: dict[str, object]) -> None:
    fields = msgspec.structs.asdict(ROOT) | change
    with pytest.raises(MessageInvalid):
        decode_root(msgspec.msgpack.encode(list(fields.values())))


def test_one_form_only() -> None:
    plain = msgspec.msgpack.decode(encode_root(ROOT))
    for other in ([*plain, "more"], plain[:-1], dict(enumerate(plain))):
        with pytest.raises(MessageInvalid):
            decode_root(msgspec.msgpack.encode(other))
    with pytest.raises(MessageInvalid):
        decode_root(encode_root(ROOT).replace(b"\x04", b"\xcc\x04"))  # 4, in two bytes


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        decode_root(data)


@pytest.mark.parametrize("version", ["1", "1.0", "2024-05-01", "1.0+dfsg~rc1", "v1_2", "9" * 64])
def test_versions(version: str) -> None:
    assert valid_version(version)


@pytest.mark.parametrize("version", ["", "-1", ".5", "a b", "a=b", "a/b", "é", "1;2", "9" * 65, "a\n"])
def test_no_versions(version: str) -> None:
    assert not valid_version(version)
