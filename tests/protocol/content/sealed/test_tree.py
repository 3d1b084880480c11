"""What spans lists: folders before their content, files that go on, counts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.content.trees import file_of, made_tree

from tiercast_protocol.content.sealed.digest import EMPTY
from tiercast_protocol.content.sealed.entry import Entry, Kind
from tiercast_protocol.content.sealed.tree import TreeCheck
from tiercast_protocol.errors import MessageInvalid


def folder(path: str) -> Entry:
    return Entry(path, Kind.FOLDER, 0o755)


def empty(path: str) -> Entry:
    return Entry(path, Kind.FILE, 0o644, digest=EMPTY)


@given(st.integers(0, 1000), st.integers(1, 40))
def test_good_trees_in_any_pieces(seed: int, piece: int) -> None:
    entries = made_tree(seed)
    check = TreeCheck()
    for at in range(0, len(entries), piece):
        check.add(entries[at : at + piece])
    files = [entry for entry in entries if entry.kind is Kind.FILE]
    check.finish(files=len(files), size=sum(entry.size for entry in files))


def test_names_that_sort_between_a_folder_and_its_content() -> None:
    check = TreeCheck()
    check.add([folder("a"), empty("a/x"), empty("a-b"), folder("a.d"), empty("a.d/y"), empty("ab")])
    check.finish(files=4, size=0)


@pytest.mark.parametrize(
    "lists",
    [
        [[empty("a/b")]],
        [[folder("a")], [empty("b/c")]],
        [[empty("a")], [empty("a/b")]],
        [[Entry("a", Kind.LINK, target="b")], [empty("a/b")]],
        [[folder("a"), folder("a/b")], [empty("a/c/d")]],
        [[folder("a"), folder("b")], [empty("a/c")]],
        [[empty("b")], [empty("a")]],
        [[empty("a")], [empty("a")]],
        [[folder("a"), folder("c")], [folder("b"), empty("c/x")]],
    ],
)
def test_refused(lists: list[list[Entry]]) -> None:
    check = TreeCheck()
    for entries in lists[:-1]:
        check.add(entries)
    with pytest.raises(MessageInvalid, match="manifest"):
        check.add(lists[-1])


def halves() -> tuple[Entry, Entry]:
    whole = file_of("big", 6)
    head = replace(whole, parts=whole.parts[:4], size=0, digest=b"", more=True)
    return head, replace(whole, parts=whole.parts[4:], start=head.end)


def test_a_file_goes_on() -> None:
    head, tail = halves()
    check = TreeCheck()
    check.add([head])
    check.add([tail, empty("c")])
    check.finish(files=2, size=tail.size)


def test_a_file_that_does_not_go_on() -> None:
    head, tail = halves()
    for following in (
        empty("c"),
        head,
        replace(tail, start=tail.start - 1),
        replace(tail, mode=0o600),
        replace(tail, path="bih"),
    ):
        check = TreeCheck()
        check.add([head])
        with pytest.raises(MessageInvalid, match="does not go on"):
            check.add([following])


def test_a_file_without_beginning_or_end() -> None:
    head, tail = halves()
    with pytest.raises(MessageInvalid, match="nothing began"):
        TreeCheck().add([tail])
    check = TreeCheck()
    check.add([head])
    with pytest.raises(MessageInvalid, match="no end"):
        check.finish(files=1, size=0)


@pytest.mark.parametrize(("files", "size"), [(0, 0), (2, 0), (1, 1)])
def test_counts_are_the_roots(files: int, size: int) -> None:
    check = TreeCheck()
    check.add([empty("a")])
    with pytest.raises(MessageInvalid, match="the root says"):
        check.finish(files=files, size=size)
