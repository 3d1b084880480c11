"""Paths and links: what could leave the tree, or mean two things, is refused by its text."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.sealed.paths import check_path, check_target, folded, folder_of, order_key
from tiercast_protocol.errors import ProtocolError

PART = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda part: part not in {".", ".."}
)
PATH = st.lists(PART, min_size=1, max_size=5).map("/".join)


@given(PATH)
def test_good_paths(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize("path", ["a", ".hidden", "a/b..c", "...", "x" * 255, "é" * 127, "/".join(["x" * 255] * 16)])
def test_odd_but_good(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/etc/passwd",
        "a/",
        "a//b",
        ".",
        "..",
        "./a",
        "a/..",
        "a/../b",
        "a/./b",
        "../a",
        "a\0b",
        "x" * 256,
        "é" * 128,
        "/".join(["x" * 200] * 21),
        "bad-\udcff",
    ],
)
def test_refused(path: str) -> None:
    with pytest.raises(ProtocolError, match="manifest"):
        check_path(path)


@pytest.mark.parametrize(
    ("path", "target"),
    [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a/b", ".."), ("a", "."), ("a", "./b/"), ("a/b", ".././c")],
)
def test_links_inside(path: str, target: str) -> None:
    check_target(path, target)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", ".."),
        ("a", "../b"),
        ("a/b", "../../c"),
        ("a", "/etc/passwd"),
        ("a", ""),
        ("a", "b\0"),
        ("a", "b/../c"),
        ("a/b", "c/../../../d"),
        ("a", "x" * 4096),
        ("a", "\udcff"),
    ],
)
def test_links_that_leave(path: str, target: str) -> None:
    with pytest.raises(ProtocolError, match="manifest"):
        check_target(path, target)


def test_no_chain_of_links_leaves(tmp_path: Path) -> None:
    # the link "top" would pass a check of its text; through "x/y/d" it would climb out
    top = tmp_path / "tree"
    (top / "x/y").mkdir(parents=True)
    (top / "s").mkdir()
    check_target("x/y/d", "../../s")
    (top / "x/y/d").symlink_to("../../s")
    assert os.path.realpath(top / "x/y/d/../..") == str(tmp_path)
    with pytest.raises(ProtocolError, match="climbs after"):
        check_target("top", "x/y/d/../..")


@given(st.lists(st.lists(st.sampled_from(["a", "b", "a-b", "a.b", "A", "é"]), min_size=1, max_size=3), max_size=9))
def test_order_is_that_of_parts(paths: list[list[str]]) -> None:
    by_key = sorted(("/".join(parts) for parts in paths), key=order_key)
    assert by_key == ["/".join(parts) for parts in sorted(paths, key=lambda parts: [part.encode() for part in parts])]


def test_folder_of() -> None:
    assert (folder_of("a"), folder_of("a/b"), folder_of("a/b/c")) == ("", "a", "a/b")


def test_what_a_disk_without_regard_to_case_takes_for_one() -> None:
    for one, other in (
        ("README", "readme"),
        ("caf\u00c9", "cafe\u0301"),
        ("stra\u00dfe", "STRASSE"),
        ("\u212b", "\u00e5"),
    ):
        assert folded(one) == folded(other)
    assert folded("a/b") != folded("a/c")
