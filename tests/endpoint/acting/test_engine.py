"""Whatever the actions are, and wherever they are cut off: all of it stands, or nothing of it."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.endpoint.acting.site import Lab, act, lab, snapshot

from tiercast_endpoint.acting import changes, effects
from tiercast_endpoint.acting.prefix import ActError
from tiercast_protocol.content.package.actiontypes import Action


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


TREES = {
    "one": {"a": b"one\n", "share/x": b"X", "share/y/z.sh": b"#!/bin/sh\n", "t.tgz": tar({"p/q": b"1", "r": b"2"})},
    "two": {"a": b"two\n", "share/x": b"XX", "share/w": b"W", "t.tgz": tar({"p/q": b"11", "s": b"3"})},
}
BEFORE = {
    "etc/there.ini": b"# a\n[s]\nx = 1\n",
    "etc/there.env": b"A=1\nB='2'\n",
    "etc/there.json": b'{"a": {"b": 1}}\n',
    "etc/there.toml": b"# t\n[a]\nb = 1 # one\n",
    "etc/there": b"somebody's\n",
}

modes = st.sampled_from(["", "0600", "4755"])
kinds = st.sampled_from(["replace", "keep", "merge"])


def at(path: str, *options: st.SearchStrategy[Action]) -> st.SearchStrategy[list[Action]]:
    del path
    return st.one_of(st.just([]), *(option.map(lambda one: [one]) for option in options))


def file(path: str) -> st.SearchStrategy[Action]:
    return st.builds(
        lambda source, mode, kind: act(
            "file", path=path, source=source, config=kind, **({"mode": mode} if mode else {})
        ),
        st.sampled_from(["a", "share/x"]), modes, kinds,
    )  # fmt: skip


def settings_of(kind: str, path: str, keys: list[str]) -> st.SearchStrategy[Action]:
    values = st.sampled_from(["1", "two", "a b"])
    table = st.dictionaries(st.sampled_from(keys), values, min_size=1)
    return table.map(lambda pairs: act(kind, path=path, set=pairs))


def link(path: str) -> st.SearchStrategy[Action]:
    return st.sampled_from(["../x", "/nowhere"]).map(lambda target: act("link", path=path, target=target))


SLOTS = [
    at("", file("/etc/there"), link("/etc/there")),
    at("", file("/etc/new/deep/f"), link("/etc/new/deep/f")),
    at("", file("/etc/new/g")),
    at("", *(settings_of("ini", f"/etc/{name}.ini", ["s.x", "s.y", "t.z"]) for name in ("there", "none"))),
    at("", *(settings_of("env", f"/etc/{name}.env", ["A", "C"]) for name in ("there", "none"))),
    at("", *(settings_of("json", f"/etc/{name}.json", ["a.b", "a.c", "d"]) for name in ("there", "none"))),
    at("", *(settings_of("toml", f"/etc/{name}.toml", ["a.b", "a.c", "d"]) for name in ("there", "none"))),
    at("", st.just(act("files", path="/usr/share/app", source="share"))),
    at(
        "",
        st.sampled_from([act("directory", path="/var/app", mode="0700"), act("directory", path="/etc", mode="0711")]),
    ),
    at(
        "",
        st.just(act("site", path="/srv/whole", source="share")),
        st.just(act("archive", path="/srv/whole", source="t.tgz")),
    ),
]
lists = st.tuples(*SLOTS).map(lambda found: [one for some in found for one in some]).flatmap(st.permutations)


class Cut(BaseException):
    """The agent was killed."""


class Fatal:
    """The module `os`, until so many calls have changed something."""

    def __init__(self, left: int) -> None:
        self._left = left

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        if name not in {"rename", "link", "mkdir", "unlink", "symlink", "chmod", "chown", "rmdir", "fsync"}:
            return found

        def call(*args: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                raise Cut
            return found(*args, **more)

        return call


def prepared(folder: Path, db: Any) -> Lab:
    site = Lab(folder, db)
    for tree, files in TREES.items():
        site.files(tree, files)
    for path, data in BEFORE.items():
        (site.top / path).parent.mkdir(parents=True, exist_ok=True)
        (site.top / path).write_bytes(data)
    return site


async def cut_off(site: Lab, left: int, n: int, tree: str, actions: list[Action]) -> str:
    """Apply, and be killed after so many changes; how it ended."""
    changes.os = Fatal(left)  # type: ignore[assignment]
    try:
        await site.apply(n, tree, *actions)
    except Cut:
        return "cut"
    except ActError:
        return "refused"
    finally:
        changes.os = os
    return "done"


async def story(folder: Path, one: list[Action], two: list[Action], cuts: tuple[int, int], *, back: bool) -> None:
    async with lab(folder) as made:
        site = prepared(folder, made.db)
        before = snapshot(site.top)
        for n, (tree, actions, left) in enumerate((("one", one, cuts[0]), ("two", two, cuts[1])), 1):
            stood = snapshot(site.top)
            end = await cut_off(site, left, n, tree, actions)
            site.new()
            if end == "cut" and not (back and n == 2):
                try:
                    await site.apply(n, tree, *actions)
                    end = "done"
                except ActError:
                    end = "refused"
            if end != "done" or (back and n == 2):
                await site.revert(n, tree)
                assert snapshot(site.top) == stood
            await site.accept(n)
        await site.settled(3, "two")
        assert snapshot(site.top) == before
        assert await made.db.read(lambda connection: connection.execute("SELECT path FROM owned").fetchall()) == []
        assert await made.db.read(lambda connection: effects.acted(connection, "app")) == []
        assert not site.keep.exists() or list(site.keep.iterdir()) == []


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(lists, lists, st.tuples(st.integers(0, 60), st.integers(0, 60)), st.booleans())
def test_any_actions_cut_off_anywhere_come_and_go_without_a_trace(
    one: list[Action], two: list[Action], cuts: tuple[int, int], back: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder), one, two, cuts, back=back))


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(
    max_examples=400, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=[*HealthCheck]
)
@given(lists, lists, st.tuples(st.integers(0, 60), st.integers(0, 60)), st.booleans())
def test_and_very_many_of_them(one: list[Action], two: list[Action], cuts: tuple[int, int], back: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder), one, two, cuts, back=back))


async def test_a_file_of_another_package_is_refused(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        site = prepared(tmp_path, made.db)
        await site.settled(1, "one", act("file", path="/etc/x", source="a"), package="first")
        stood = snapshot(site.top)
        with pytest.raises(ActError, match="belongs to the package 'first'"):
            await site.apply(2, "two", act("file", path="/y", source="a"), act("file", path="/etc/x", source="a"))
        await site.revert(2, "two")
        assert snapshot(site.top) == stood
        for action in (act("site", path="/etc/x", source="share"), act("ini", path="/etc/x", set={"a.b": "1"})):
            with pytest.raises(ActError, match="belongs to"):
                await site.apply(3, "two", action)
            await site.revert(3, "two")


async def test_settings_in_one_file_are_shared_key_by_key(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        site = prepared(tmp_path, made.db)
        before = snapshot(site.top, times=False)
        await site.settled(1, "one", act("env", path="/etc/there.env", set={"A": "5"}), package="first")
        await site.settled(2, "one", act("env", path="/etc/there.env", set={"C": "7"}), package="second")
        with pytest.raises(ActError, match="is set by the package 'first'"):
            await site.apply(3, "one", act("env", path="/etc/there.env", set={"A": "6"}), package="third")
        await site.revert(3, "one", package="third")
        await site.settled(4, "one", package="first")
        assert (site.top / "etc/there.env").read_text() == "A=1\nB='2'\nC=7\n"
        await site.settled(5, "one", package="second")
        assert snapshot(site.top, times=False) == before


async def test_a_folder_stays_while_another_package_uses_it(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        site = prepared(tmp_path, made.db)
        before = snapshot(site.top)
        await site.settled(1, "one", act("file", path="/opt/shared/a", source="a"), package="first")
        await site.settled(2, "one", act("file", path="/opt/shared/b", source="a"), package="second")
        await site.settled(3, "one", package="first")
        assert sorted(path.name for path in (site.top / "opt/shared").iterdir()) == ["b"]
        await site.settled(4, "one", package="second")
        assert snapshot(site.top) == before
