"""What an action changes, and what becomes of a file that somebody changed by hand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.endpoint.acting.site import Lab, act, lab, snapshot

from tiercast_endpoint.acting.prefix import ActError

OURS = {"one": b"a\nb\nc\nd\ne\n", "two": b"a\nb\nc\nd\nE2\n"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        for tree, data in OURS.items():
            made.files(tree, {"conf": data})
        yield made


def conf(rule: str) -> object:
    return act("file", path="/etc/conf", source="conf", config=rule)


async def upgraded(site: Lab, rule: str, by_hand: bytes) -> list[str]:
    await site.settled(1, "one", conf(rule))
    (site.top / "etc/conf").write_bytes(by_hand)
    stood = snapshot(site.top)
    await site.apply(2, "two", conf(rule))
    await site.revert(2, "two")
    assert snapshot(site.top) == stood, "what was changed by hand is back as it was"
    done = await site.settled(3, "two", conf(rule))
    return [one.did for one in done.actions]


async def test_replace_keeps_what_was_changed_by_hand_aside(site: Lab) -> None:
    (did,) = await upgraded(site, "replace", b"mine\n")
    assert did == "/etc/conf was changed by hand; it is kept as /etc/conf.tiercast-old"
    assert (site.top / "etc/conf").read_bytes() == OURS["two"]
    assert (site.top / "etc/conf.tiercast-old").read_bytes() == b"mine\n"
    (site.top / "etc/conf").write_bytes(b"again\n")
    await site.settled(4, "one", conf("replace"))
    assert (site.top / "etc/conf.tiercast-old.2").read_bytes() == b"again\n"


async def test_keep_leaves_it_and_puts_ours_beside(site: Lab) -> None:
    (did,) = await upgraded(site, "keep", b"mine\n")
    assert did == "/etc/conf was changed by hand and stays; the package's is /etc/conf.tiercast-new"
    assert (site.top / "etc/conf").read_bytes() == b"mine\n"
    assert (site.top / "etc/conf.tiercast-new").read_bytes() == OURS["two"]
    done = await site.settled(4, "two")
    assert "kept as /etc/conf.tiercast-old" in done.actions[0].did
    assert {path.name: path.read_bytes() for path in (site.top / "etc").iterdir()} == {"conf.tiercast-old": b"mine\n"}


async def test_merge_takes_both_sides_changes(site: Lab) -> None:
    (did,) = await upgraded(site, "merge", b"A1\nb\nc\nd\ne\n")
    assert "has the package's changes, too" in did
    assert (site.top / "etc/conf").read_bytes() == b"A1\nb\nc\nd\nE2\n"
    done = await site.settled(4, "one", conf("merge"))
    assert (site.top / "etc/conf").read_bytes() == b"A1\nb\nc\nd\ne\n", "and back again"
    assert len(done.actions) == 1


async def test_merge_where_both_changed_a_line_is_keep(site: Lab) -> None:
    (did,) = await upgraded(site, "merge", b"a\nb\nc\nd\nmine\n")
    assert "and stays" in did
    assert (site.top / "etc/conf").read_bytes() == b"a\nb\nc\nd\nmine\n"


@pytest.mark.parametrize("rule", ["replace", "keep", "merge"])
async def test_what_nobody_changed_is_replaced_under_every_rule(site: Lab, rule: str) -> None:
    await site.settled(1, "one", conf(rule))
    done = await site.settled(2, "two", conf(rule))
    assert done.actions[0].did == "placed"
    assert (site.top / "etc/conf").read_bytes() == OURS["two"]


@pytest.mark.parametrize("rule", ["replace", "keep", "merge"])
async def test_what_was_there_before_the_package_comes_back(site: Lab, rule: str) -> None:
    (site.top / "etc").mkdir()
    (site.top / "etc/conf").write_bytes(b"theirs\n")
    before = snapshot(site.top)
    await site.settled(1, "one", conf(rule))
    expected = OURS["one"] if rule == "replace" else b"theirs\n"
    assert (site.top / "etc/conf").read_bytes() == expected
    await site.settled(2, "one")
    assert snapshot(site.top) == before


async def test_settings_that_somebody_changed_stay(site: Lab) -> None:
    (site.top / "x.env").write_text("A=1\nB=2\n")
    env = act("env", path="/x.env", set={"A": "10", "B": "20"})
    await site.settled(1, "one", env)
    (site.top / "x.env").write_text("A=10\nB=by hand\nC=3\n")
    done = await site.settled(2, "one")
    assert (site.top / "x.env").read_text() == "A=1\nB=by hand\nC=3\n"
    assert "'B' was changed by hand and stays" in done.actions[0].did


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (act("file", path="/link/x", source="conf"), "path.link"),
        (act("file", path="/file/x", source="conf"), "path.foreign"),
        (act("file", path="/dir", source="conf"), "path.foreign"),
        (act("directory", path="/file"), "path.foreign"),
        (act("link", path="/dir", target="x"), "path.foreign"),
        (act("ini", path="/dir", set={"a.b": "1"}), "path.foreign"),
        (act("site", path="/dir", source="d"), "path.foreign"),
        (act("file", path="/x", source="none"), "source.missing"),
        (act("files", path="/x", source="conf"), "source.missing"),
        (act("ini", path="/file", set={"a.b": "1"}), "settings.form"),
        (act("ini", path="/new.ini", set={"nodot": "1"}), "settings.key"),
        (act("file", path="/proc/x", source="conf"), "path.mount"),
    ],
)
async def test_targets_that_can_not_be(site: Lab, action: object, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.top / "real").mkdir()
    (site.top / "link").symlink_to("real")
    (site.top / "file").write_text("just = text\n")
    (site.top / "dir").mkdir()
    if code == "path.mount":
        (site.folder / "mounts").write_text(f"1 2 0:1 / {site.top}/proc/x rw - proc proc rw\n")
        site.prefix._mounts = site.folder / "mounts"
        site.engine._prefix._mounts = site.folder / "mounts"
    before = snapshot(site.top)
    with pytest.raises(ActError) as caught:
        await site.apply(1, "one", act("file", path="/etc/first", source="conf"), action)
    assert caught.value.code == code, caught.value.detail
    await site.revert(1, "one")
    assert snapshot(site.top) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file that root alone may give away")
async def test_owner_and_mode_are_put_and_come_back(site: Lab) -> None:
    (site.top / "etc").mkdir()
    (site.top / "etc/passwd").write_text("app:x:1234:1234::/:/bin/sh\n")
    (site.top / "etc/group").write_text("www:x:77:\n")
    (site.top / "mine").write_bytes(OURS["one"])
    (site.top / "mine").chmod(0o640)
    before = snapshot(site.top)
    action = act("file", path="/mine", source="conf", owner="app", group="www", mode="4755")
    await site.settled(1, "one", action)
    here = (site.top / "mine").stat()
    assert (here.st_uid, here.st_gid, here.st_mode & 0o7777) == (1234, 77, 0o4755)
    await site.settled(2, "one")
    assert snapshot(site.top) == before
