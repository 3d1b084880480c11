"""Whatever was changed in a tree is found."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from tiercast_endpoint.trees.checked import differences, first_difference
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind

ENTRIES = [
    Entry("a", Kind.FOLDER, 0o755),
    Entry("a/f", Kind.FILE, 0o4755, 4, digest=digest_of(b"data")),
    Entry("l", Kind.LINK, target="a/f"),
]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "t/a").mkdir(parents=True)
    (tmp_path / "t/a").chmod(0o755)
    (tmp_path / "t/a/f").write_bytes(b"data")
    (tmp_path / "t/a/f").chmod(0o755)
    (tmp_path / "t/l").symlink_to("a/f")
    return tmp_path / "t"


async def difference(top: Path) -> str | None:
    async def lists() -> AsyncIterator[Sequence[Entry]]:
        yield ENTRIES[:2]
        yield ENTRIES[2:]

    return await first_difference(top, lists(), modes=0o777)


async def test_a_whole_tree(top: Path) -> None:
    assert await difference(top) is None


def swap_folder_for_link(top: Path) -> None:
    (top / "a").rename(top.parent / "a")
    (top / "a").symlink_to("../a")


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "a/f").write_bytes(b"DATA"),
        lambda top: (top / "a/f").write_bytes(b"longer"),
        lambda top: (top / "a/f").unlink(),
        lambda top: (top / "a/f").chmod(0o644),
        lambda top: (top / "a").chmod(0o700),
        lambda top: (top / "new").touch(),
        lambda top: (top / "a/new").mkdir(),
        lambda top: ((top / "l").unlink(), (top / "l").symlink_to("a")),
        lambda top: ((top / "l").unlink(), (top / "l").write_bytes(b"data")),
        lambda top: ((top / "a/f").unlink(), os.mkfifo(top / "a/f")),
        swap_folder_for_link,
        lambda top: top.rename(top.parent / "gone"),
    ],
)
async def test_every_change_is_found(top: Path, change: Callable[[Path], object]) -> None:
    change(top)
    assert await difference(top) is not None


async def test_all_that_differs_is_named_up_to_a_limit(top: Path) -> None:
    async def lists() -> AsyncIterator[Sequence[Entry]]:
        yield ENTRIES[:2]
        yield ENTRIES[2:]

    assert await differences(top, lists(), modes=0o777, most=9) == ([], 3)
    (top / "a/f").write_bytes(b"DATA")
    (top / "l").unlink()
    (top / "new").touch()
    found = [("a/f", "was changed"), ("l", "is gone"), ("new", "does not belong there")]
    assert await differences(top, lists(), modes=0o777, most=9) == (found, 3)
    assert await differences(top, lists(), modes=0o777, most=2) == (found[:2], 3)
    swap_folder_for_link(top)
    (path, what), *_ = (await differences(top, lists(), modes=0o777, most=9))[0]
    assert (path, what) == ("a", "was changed"), "nothing is followed"
