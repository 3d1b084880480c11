"""File groups: read, chosen by platform, and put together with the rest in the order of a tree."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.package.filegroups import (
    Choice,
    FileGroup,
    choice_of,
    group_for,
    group_lines,
    merged,
    read_groups,
)
from tiercast_protocol.content.package.lines import lines_of
from tiercast_protocol.content.package.reader import Reader
from tiercast_protocol.content.sealed.entry import Entry, Kind
from tiercast_protocol.content.sealed.paths import order_key
from tiercast_protocol.errors import MessageInvalid

ARM = FileGroup("arm", "arm", 'architecture == "aarch64"')
PC = FileGroup("pc", "amd64", 'architecture == "x86_64"')
ANY = FileGroup("any", "any")
DIGEST = b"d" * 32


def read(text: str) -> tuple[tuple[FileGroup, ...], list[str]]:
    reader = Reader(tomllib.loads(text), lines=lines_of(text))
    return read_groups(reader), [f"{one.line} {one.key}" for one in reader.mistakes]


def facts(architecture: str) -> str:
    return f'{{"architecture":"{architecture}"}}'


def folder(path: str) -> Entry:
    return Entry(path, Kind.FOLDER, 0o755)


def file(path: str) -> Entry:
    return Entry(path, Kind.FILE, 0o644, 1, digest=DIGEST)


def test_read_and_written() -> None:
    assert read("\n".join(group_lines([ARM, PC, ANY]))) == ((ARM, PC, ANY), [])
    assert read("")[0] == ()
    assert group_lines(()) == []


def test_mistakes() -> None:
    text = (
        '[files.a]\nfolder = "x/y"\n[files.b]\nplatform = "speed > 1"\n[files.c]\nfolder = "B"\n'
        '[files.d]\nplatform = "cpus > 1"\nodd = 1\n'
    )
    assert read(text)[1] == ["2 files.a.folder", "4 files.b.platform", "3 files.b.folder", "6 files.c.folder",
                             "9 files.d.odd", "7 files.d.folder"]  # fmt: skip


def test_first_whose_platform_is_true() -> None:
    groups = (ARM, PC, ANY)
    assert group_for(groups, "pc-1", facts("x86_64")) == PC
    assert group_for(groups, "pc-1", facts("aarch64")) == ARM
    assert group_for(groups, "pc-1", facts("riscv64")) == ANY
    assert group_for((ARM,), "pc-1", facts("x86_64")) is None
    assert group_for((ARM,), "pc-1", "{}") is None, "an unknown fact is no platform"


def test_tree_of_one_machine() -> None:
    tree = [folder("amd64"), folder("amd64/bin"), file("amd64/bin/x"), folder("arm"), file("arm/y"), folder("bin"),
            file("bin/a"), file("readme")]  # fmt: skip
    choice = choice_of((ARM, PC), PC)
    taken = [one.path for one in merged(choice.common(tree), choice.own(tree))]
    assert taken == ["bin", "bin/a", "bin/x", "readme"]
    assert not choice.whole
    assert Choice().whole


def test_what_can_not_be_put_together() -> None:
    with pytest.raises(MessageInvalid, match="in a group and beside it"):
        list(merged([file("a")], [file("a")]))
    choice = choice_of((ARM,), ARM)
    link = Entry("arm/up", Kind.LINK, target="../readme")
    with pytest.raises(MessageInvalid):
        list(choice.own([link]))


PATHS = st.lists(st.text("ab/", min_size=1, max_size=6).map(lambda p: p.strip("/")).filter(bool), max_size=8)


@given(PATHS, PATHS)
def test_merged_is_in_order_and_whole(some: list[str], others: list[str]) -> None:
    left = [folder(path) for path in sorted(set(some), key=order_key)]
    right = [folder(path) for path in sorted(set(others), key=order_key)]
    assert [one.path for one in merged(left, right)] == sorted({*some, *others}, key=order_key)
