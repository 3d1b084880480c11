"""Entries that can't be one list, each for one reason."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.content.trees import made_tree

from tiercast_protocol.content.sealed.chunk import MAX_RAW
from tiercast_protocol.content.sealed.digest import EMPTY, digest_of
from tiercast_protocol.content.sealed.entry import Entry, Kind, Part
from tiercast_protocol.content.sealed.entrycheck import check_entries
from tiercast_protocol.content.sealed.entrylist import decode_list, encode_list
from tiercast_protocol.errors import MessageInvalid

D = digest_of(b"some file")
CHUNK = digest_of(b"some chunk")
FOLDER = Entry("d", Kind.FOLDER, 0o755)
FILE = Entry("d/f", Kind.FILE, 0o644, 10, digest=D, parts=(Part(CHUNK, 4, 10),))
LINK = Entry("d/l", Kind.LINK, target="f")


@given(st.integers(0, 1000))
def test_good_trees(seed: int) -> None:
    check_entries(made_tree(seed))


@pytest.mark.parametrize(
    "entries",
    [
        [FILE, FILE],
        [FILE, FOLDER],
        [Entry("d", Kind.FILE, 0o644, digest=EMPTY), FILE],
        [Entry("d", Kind.LINK, target="e"), FILE],
        [replace(FILE, path="../f")],
        [replace(FILE, path="/f")],
        [replace(FILE, path="")],
        [replace(FILE, mode=0o10000)],
        [replace(FOLDER, mode=-1)],
        [replace(LINK, target="../../f")],
        [replace(LINK, target="/etc")],
        [replace(FILE, digest=b"short")],
        [replace(FILE, size=0, parts=())],
        [replace(FILE, parts=(Part(CHUNK, MAX_RAW - 9, 10),))],
        [replace(FILE, parts=(Part(CHUNK, -1, 10),))],
        [replace(FILE, size=20, parts=(Part(CHUNK, 0, 20), Part(CHUNK, 30, 0)))],
        [replace(FILE, parts=(Part(CHUNK, 0, 12), Part(CHUNK, 30, -2)))],
        [replace(FILE, parts=(Part(b"short", 0, 10),))],
        [replace(FILE, size=1 << 51, parts=())],
        [replace(FILE, size=20)],
        [replace(FILE, size=0, digest=b"", more=True), LINK],
        [replace(FILE, size=0, digest=b"", more=True, parts=())],
        [replace(FILE, parts=(), size=20)],
        [replace(FILE, start=5, size=5, parts=())],
        [FOLDER, replace(FILE, start=5, size=15)],
        [replace(FILE, start=-1, size=9)],
    ],
)
def test_refused(entries: list[Entry]) -> None:
    with pytest.raises(MessageInvalid, match="manifest"):
        check_entries(entries)
    try:
        assert decode_list(encode_list(entries)) != entries  # some can't even be written down
    except MessageInvalid as error:
        assert error.kind == "manifest"  # noqa: PT017 - either is fine
