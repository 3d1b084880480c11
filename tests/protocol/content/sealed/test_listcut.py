"""Cuts of lists: complete, bounded, and an edit costs one list."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.content.trees import file_of, made_tree

from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.entry import Entry, Kind, Part
from tiercast_protocol.content.sealed.listcut import cut_lists
from tiercast_protocol.content.sealed.manifest import decode_list
from tiercast_protocol.content.sealed.tree import TreeCheck


def large_tree(folders: int = 60, files: int = 60, seed: int = 2) -> list[Entry]:
    chance, entries = random.Random(seed), []
    for n in range(folders):
        entries.append(Entry(f"folder{n:03}", Kind.FOLDER, 0o755))
        pack, offset = chance.randbytes(32), 0
        for m in range(files):
            part = Part(pack, offset, 100)
            entries.append(
                Entry(f"folder{n:03}/name{m:05}", Kind.FILE, 0o644, 100, digest=chance.randbytes(32), parts=(part,))
            )
            offset = (offset + 100) % 200_000
    return entries


def read_back(lists: list[bytes]) -> list[Entry]:
    """All entries, with the pieces of long files joined."""
    check, entries = TreeCheck(), []
    for raw in lists:
        listed = decode_list(raw)
        check.add(listed)
        for entry in listed:
            if entry.start:
                before = entries.pop()
                entry = replace(entry, parts=before.parts + entry.parts, start=before.start)  # noqa: PLW2901 - the same file
            entries.append(entry)
    return entries


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_complete(seed: int, folders: int) -> None:
    entries = made_tree(seed, folders=folders, files=30)
    assert read_back(list(cut_lists(entries))) == entries


def test_nothing_gives_no_list() -> None:
    assert list(cut_lists([])) == []


def test_sizes() -> None:
    lists = list(cut_lists(large_tree()))
    assert all(len(raw) < 70_000 for raw in lists)
    assert 8_000 < sum(map(len, lists)) / len(lists) < 32_000


def test_one_flat_folder() -> None:
    entries = large_tree(folders=1, files=9_000)
    lists = list(cut_lists(entries))
    assert all(len(raw) < 70_000 for raw in lists)
    assert read_back(lists) == entries
    held = {digest_of(raw) for raw in lists}
    more = [*entries[:4000], replace(entries[4000], path=entries[4000].path + "-new"), *entries[4000:]]
    more.sort(key=lambda entry: entry.path)
    assert sum(digest_of(raw) not in held for raw in cut_lists(more)) <= 3


def test_one_huge_file() -> None:
    entries = [file_of("a", 3), file_of("huge", 20_000), file_of("z", 2)]
    lists = list(cut_lists(entries))
    assert all(len(raw) < 70_000 for raw in lists)
    assert read_back(lists) == entries
    held = {digest_of(raw) for raw in lists}
    parts = entries[1].parts
    other = Part(b"n" * 32, 0, 60_000)
    edited = replace(entries[1], digest=b"d" * 32, parts=(*parts[:5000], other, *parts[5001:]))
    new = [raw for raw in cut_lists([entries[0], edited, entries[2]]) if digest_of(raw) not in held]
    assert len(new) <= 3  # where it was edited, a cut that may have moved, and the end, which has the digest


def test_an_edit_costs_one_list() -> None:
    entries = large_tree()
    held = {digest_of(raw) for raw in cut_lists(entries)}
    for at in range(1, len(entries), 397):
        edited = list(entries)
        if edited[at].kind is Kind.FILE:
            edited[at] = replace(edited[at], digest=b"x" * 32)
            assert sum(digest_of(raw) not in held for raw in cut_lists(edited)) == 1


def test_a_new_file_or_folder_costs_few_lists() -> None:
    entries = large_tree()
    held = {digest_of(raw) for raw in cut_lists(entries)}
    more = [*entries, Entry("folder030/aaa", Kind.LINK, target="name00001"), Entry("folder029x", Kind.FOLDER, 0o755)]
    more.sort(key=lambda entry: entry.path.replace("/", "\0"))
    assert sum(digest_of(raw) not in held for raw in cut_lists(more)) <= 3
    fewer = [entry for entry in entries if not entry.path.startswith("folder020")]
    assert sum(digest_of(raw) not in held for raw in cut_lists(fewer)) <= 3
