"""Entry lists: one form per list, and no list that breaks a rule."""

import random
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.content.trees import file_of, made_tree

from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.entry import Entry, Kind, Part
from tiercast_protocol.content.sealed.entrylist import chunks_of_list, decode_list, encode_list
from tiercast_protocol.errors import MessageInvalid

D = digest_of(b"some file")
CHUNK = digest_of(b"some chunk")
FOLDER = Entry("d", Kind.FOLDER, 0o755)
FILE = Entry("d/f", Kind.FILE, 0o644, 10, digest=D, parts=(Part(CHUNK, 4, 10),))
LINK = Entry("d/l", Kind.LINK, target="f")


@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_round_trip(seed: int) -> None:
    entries = made_tree(seed)
    raw = encode_list(entries)
    assert decode_list(raw) == entries
    assert decode_list(memoryview(raw)) == entries
    assert encode_list(entries) == raw
    assert decode_list(raw, known=True) == entries
    assert chunks_of_list(raw) == list(dict.fromkeys(part.digest for entry in entries for part in entry.parts))


def test_golden() -> None:
    # the digest of a list is part of a package's identity: its bytes never change
    listed = encode_list([FOLDER, FILE, LINK, *made_tree(3)[-3:]])
    assert digest_of(listed).hex() == "2c28002cf5c62babb3849d5fc8a77e0d0c30c68e7c547d59e779f8fda5bf7cd2"


def test_a_list_is_small() -> None:
    offset, entries = 0, []
    for n in range(300):
        entries.append(
            Entry(
                f"lib/module_{n:04}.py",
                Kind.FILE,
                0o644,
                500,
                digest=digest_of(b"%d" % n),
                parts=(Part(D, offset, 500),),
            )
        )
        offset += 500
    assert len(encode_list(entries)) < 300 * 52  # 32 of them are the digest


def test_a_file_that_goes_on() -> None:
    whole = file_of("d/big", 9)
    head = replace(whole, parts=whole.parts[:4], size=0, digest=b"", more=True)
    tail = replace(whole, parts=whole.parts[4:], start=head.end)
    assert decode_list(encode_list([FOLDER, head])) == [FOLDER, head]
    assert decode_list(encode_list([tail, Entry("e", Kind.FOLDER, 0o700)]))[0] == tail


def columns(entries: list[Entry]) -> list:
    return msgspec.msgpack.decode(encode_list(entries))


@pytest.mark.parametrize("column", range(14))
def test_a_column_too_short_or_too_long(column: int) -> None:
    for change in (lambda c: c[:-1], lambda c: c + c[-1:] if c else type(c)([b"x", 1][type(c) is list : 1] or [7])):
        table = columns([FOLDER, FILE, LINK, file_of("d/m", 3)])
        if isinstance(table[column], int):
            table[column] += 1
        else:
            changed = change(table[column])
            if changed == table[column]:
                continue
            table[column] = changed
        with pytest.raises(MessageInvalid):
            decode_list(msgspec.msgpack.encode(table))


def test_other_forms_of_the_same_list() -> None:
    table = columns([FOLDER, FILE, LINK])
    table[3], table[4] = [0, 0, 0], ["d", "d/f", "d/l"]  # shares nothing
    with pytest.raises(MessageInvalid, match="one form"):
        decode_list(msgspec.msgpack.encode(table))
    table = columns([FOLDER, FILE, LINK])
    table[9] += D  # a chunk that no part uses
    with pytest.raises(MessageInvalid, match="one form"):
        decode_list(msgspec.msgpack.encode(table))


def test_empty_and_other_formats() -> None:
    table = columns([FOLDER])
    table[0] = 2
    with pytest.raises(MessageInvalid, match="format 2"):
        decode_list(msgspec.msgpack.encode(table))
    with pytest.raises(MessageInvalid, match="without entries"):
        decode_list(msgspec.msgpack.encode([1, 0, b"", [], [], [], [], b"", [], b"", [], [], [], []]))


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    for read in (decode_list, chunks_of_list):
        with pytest.raises(MessageInvalid):
            read(data)


def test_chunks_that_are_no_whole_digests() -> None:
    table = columns([FOLDER])
    table[9] = b"x"
    with pytest.raises(MessageInvalid, match="fit together"):
        chunks_of_list(msgspec.msgpack.encode(table))


@settings(max_examples=300)
@given(st.integers(0, 10**6), st.integers(0, 20))
def test_any_damage_is_refused_or_another_good_list(seed: int, count: int) -> None:
    chance = random.Random(seed)
    raw = bytearray(encode_list(made_tree(seed % 50, folders=2, files=5)))
    for _ in range(count):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    try:
        entries = decode_list(bytes(raw))
    except MessageInvalid:
        return
    assert encode_list(entries) == bytes(raw)
