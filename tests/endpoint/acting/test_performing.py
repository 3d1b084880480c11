"""A package's actions through a whole job: placed, replaced, undone, removed."""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.endpoint.acting.site import act, snapshot
from tests.endpoint.acting.test_archive import special, tar
from tests.endpoint.lab import Agent, Region, agent_over, pack
from tests.endpoint.two import root_half

from tiercast_endpoint.acting import archive
from tiercast_protocol.content.package.programs import Program

FILES: dict[str, bytes | str | None] = {
    "etc": None,
    "etc/app.conf": b"colour = red\n",
    "share": None,
    "share/a": b"A",
    "share/deep": None,
    "share/deep/b.sh": b"#!/bin/sh\n",
    "fail.sh": b"#!/bin/sh\nexit 1\n",
}


def place(agent: Agent) -> Path:
    return agent.folder / "prefix"


async def test_files_are_placed_and_go_again(agent: Agent) -> None:
    top = place(agent)
    (top / "etc").mkdir()
    (top / "etc/other.ini").write_text("# mine\n[a]\nx=1\n")
    before = snapshot(top)
    one = pack(
        "app",
        "1.0",
        FILES,
        action=(
            act("directory", path="/var/lib/app", mode="0750"),
            act("file", path="/etc/app/app.conf", source="etc/app.conf", mode="0640"),
            act("files", path="/usr/share/app", source="share"),
            act("link", path="/usr/bin/app", source="share/deep/b.sh"),
            act("ini", path="/etc/other.ini", set={"a.x": "2", "b.y": "3"}),
        ),
    )
    agent.offer(one)
    record = await agent.do("j1", "install", one)
    assert record.state == "done", record
    assert (top / "etc/app/app.conf").read_bytes() == b"colour = red\n"
    assert (top / "etc/app/app.conf").stat().st_mode & 0o777 == 0o640
    assert (top / "var/lib/app").stat().st_mode & 0o777 == 0o750
    assert (top / "usr/share/app/deep/b.sh").stat().st_mode & 0o777 == 0o755
    assert (top / "usr/bin/app").resolve().read_bytes() == b"#!/bin/sh\n"
    assert "# mine" in (top / "etc/other.ini").read_text()
    assert [one.action for one in agent.receipt(record).actions] == [
        "directory /var/lib/app", "file /etc/app/app.conf", "files /usr/share/app", "link /usr/bin/app",
        "ini /etc/other.ini",
    ]  # fmt: skip
    assert (await agent.do("j2", "remove", one)).state == "done"
    assert snapshot(top) == before


async def test_what_fails_later_takes_all_of_it_back(agent: Agent) -> None:
    top = place(agent)
    (top / "etc").mkdir()
    (top / "etc/app.conf").write_text("somebody else's\n")
    before = snapshot(top)
    one = pack(
        "app",
        "1.0",
        FILES,
        action=(act("file", path="/etc/app.conf", source="etc/app.conf"), act("files", path="/s", source="share")),
        run_after=Program(("./fail.sh",)),
    )
    agent.offer(one)
    record = await agent.do("j1", "install", one)
    assert (record.state, record.code) == ("failed", "program.failed")
    assert snapshot(top) == before
    assert agent.tree("app") is None
    assert [one.did for one in agent.receipt(record).actions] == ["placed", "placed", "taken back", "taken back"]


async def test_an_upgrade_replaces_what_both_have_and_takes_back_the_rest(agent: Agent) -> None:
    top = place(agent)
    before = snapshot(top)
    one = pack(
        "app",
        "1.0",
        FILES,
        action=(act("file", path="/etc/a", source="etc/app.conf"), act("file", path="/etc/b", source="share/a")),
    )
    two = pack(
        "app",
        "2.0",
        FILES | {"etc/app.conf": b"colour = blue\n"},
        action=(act("file", path="/etc/a", source="etc/app.conf"), act("file", path="/etc/d/c", source="share/a")),
    )
    agent.offer(one, two)
    assert (await agent.do("j1", "install", one)).state == "done"
    was = snapshot(top)
    assert (await agent.do("j2", "install", two)).state == "done"
    assert (top / "etc/a").read_bytes() == b"colour = blue\n"
    assert not (top / "etc/b").exists()
    assert (await agent.do("j3", "install", one)).state == "done"
    assert set(snapshot(top)) == set(was)
    assert (await agent.do("j4", "remove", one)).state == "done"
    assert snapshot(top) == before
    assert list((agent.folder / "kept").iterdir()) == []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - no event for us
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("superseded", [False, True])
async def test_what_stands_committed_is_undone_with_its_actions_unless_another_job_came(
    agent: Agent, superseded: bool
) -> None:
    top = place(agent)
    action = (act("file", path="/etc/a", source="etc/app.conf"),)
    three = [pack("app", one, FILES | {"etc/app.conf": one.encode()}, action=action) for one in ("1", "2", "3")]
    agent.offer(*three)
    await agent.do("j1", "install", three[0])

    async def step(revision: int, said: str) -> None:
        options: dict[str, str | int | bool] = {"two_phase": True, "step": said}
        await agent.order(agent.region.order("j2", "install", three[1], revision=revision, options=options))

    await step(1, "prepare")
    await step(2, "commit")
    await until(lambda: (top / "etc/a").read_bytes() == b"2")
    await until(lambda: any(record.code == "accept.waits" for record in agent.post.records))
    if superseded:
        assert (await agent.do("j3", "install", three[2])).state == "done"
    await step(3, "undo")
    await until(lambda: any(record.job == "j2" and record.receipt for record in agent.post.records))
    assert (top / "etc/a").read_bytes() == (b"3" if superseded else b"1")
    await agent.do("j4", "remove", three[0])
    assert snapshot(top) == {}


async def test_a_repair_does_nothing_but_make_the_tree_whole_and_the_undo_is_found_in_it(agent: Agent) -> None:
    top = place(agent)
    scripts: dict[str, bytes | str | None] = {
        "do.sh": b"#!/bin/sh\necho x >> $TIERCAST_PREFIX/ran\n",
        "undo.sh": b"#!/bin/sh\nrm $TIERCAST_PREFIX/ran\n",
    }
    one = pack("app", "1", scripts, action=(act("program", name="p", argv=["./do.sh"], undo=["./undo.sh"]),))
    agent.offer(one)
    assert (await agent.do("j1", "install", one)).state == "done"
    tree = agent.root.current("app")
    damaged = agent.root.path / "app" / "do.sh"
    damaged.chmod(0o700)
    damaged.write_bytes(b"#!/bin/sh\nexit 1\n")
    assert (await agent.do("j2", "repair", one)).state == "done"
    assert agent.root.current("app") != tree
    assert (top / "ran").read_text() == "x\n"
    record = await agent.do("j3", "remove", one)
    assert record.state == "done", record.detail
    assert snapshot(top) == {}


CONF: dict[str, bytes | str | None] = {
    "conf": b"right",
    "do.sh": b"#!/bin/sh\necho x >> $TIERCAST_PREFIX/ran\n",
    "undo.sh": b"#!/bin/sh\nrm $TIERCAST_PREFIX/ran\n",
}
PLACES = pack(
    "app",
    "1",
    CONF,
    action=(
        act("file", path="/etc/app.conf", source="conf"),
        act("program", name="p", argv=["./do.sh"], undo=["./undo.sh"]),
    ),
)


@pytest.mark.parametrize("two_halves", [False, True])
async def test_what_was_placed_is_verified_and_repaired_and_no_program_runs(
    tmp_path: Path, region: Region, two_halves: bool
) -> None:
    top = tmp_path / ("root-prefix" if two_halves else "agent/prefix")
    async with AsyncExitStack() as stack:
        half = await stack.enter_async_context(root_half(tmp_path, region, prefix=top)) if two_halves else None
        agent = await stack.enter_async_context(
            agent_over(tmp_path / "agent", region, root_half=half.path if half else None)
        )
        agent.offer(PLACES)
        assert (await agent.do("j1", "install", PLACES)).state == "done"
        assert (await agent.do("v1", "verify", PLACES)).state == "done"
        said = agent.receipt(await agent.do("v2", "verify", PLACES)).detail
        assert said == "app 1: 5 paths as sealed. Not compared: program p."

        (top / "etc/app.conf").write_text("wrong")
        record = await agent.do("v3", "verify", PLACES)
        assert (record.state, record.code) == ("failed", "verify.differs")
        assert agent.receipt(record).detail == "app 1: '/etc/app.conf' was changed."
        (shown,) = await agent.owner("verify", package="app")
        assert shown["differences"] == [{"path": "/etc/app.conf", "what": "was changed"}]
        assert (shown["whole"], shown["unseen"]) == (False, ["program p"])

        fetched = len(agent.fetcher.fetched)
        assert (await agent.do("r1", "repair", PLACES)).state == "done"
        assert (top / "etc/app.conf").read_bytes() == b"right"
        assert (top / "etc/app.conf.tiercast-old").read_bytes() == b"wrong"
        assert (top / "ran").read_text() == "x\n", "a repair runs no program"
        assert len(agent.fetcher.fetched) == fetched, "its bytes lie in the tree"
        assert (await agent.do("v4", "verify", PLACES)).state == "done"
        assert (await agent.do("r2", "repair", PLACES)).code == "unchanged"

        # Both at once: the tree is made anew, and what is placed comes from the new one.
        (agent.root.path / "app" / "conf").write_bytes(b"WRONG")
        (top / "etc/app.conf").unlink()
        assert (await agent.do("r3", "repair", PLACES)).state == "done"
        assert (top / "etc/app.conf").read_bytes() == b"right"
        assert (await agent.do("v5", "verify", PLACES)).state == "done"
        record = await agent.do("j9", "remove", PLACES)
        assert record.state == "done", agent.receipt(record).detail
        assert [path.name for path in top.rglob("*") if path.is_file()] == ["app.conf.tiercast-old"]


async def test_a_version_whose_actions_do_not_stand_is_installed_again(agent: Agent) -> None:
    top = place(agent)
    agent.offer(PLACES)
    assert (await agent.do("j1", "install", PLACES)).state == "done"
    assert (await agent.do("j2", "install", PLACES)).code == "unchanged"
    (top / "etc/app.conf").unlink()
    record = await agent.do("j3", "install", PLACES)
    assert (record.state, record.code) == ("done", "")
    assert (top / "etc/app.conf").read_bytes() == b"right"
    assert (top / "ran").read_text() == "x\nx\n", "it is an installation like any other"
    assert (await agent.do("v1", "verify", PLACES)).state == "done"


async def test_what_only_an_installer_can_mend_is_told_and_not_repaired(agent: Agent) -> None:
    top = place(agent)
    (top / "etc").mkdir()
    (top / "etc/group").write_text("root:x:0:\n")
    (top / "etc/gshadow").touch()
    one = pack("app", "1", {"f": b"f"}, action=(act("group", name="tcgroup"),))
    agent.offer(one)
    assert (await agent.do("j1", "install", one)).state == "done"
    (top / "etc/group").write_text("root:x:0:\n")
    record = await agent.do("r1", "repair", one)
    assert (record.state, record.code) == ("failed", "verify.differs")
    assert "group tcgroup is gone" in agent.receipt(record).detail
    assert (await agent.do("j2", "install", one)).state == "done"
    assert "tcgroup" in (top / "etc/group").read_text()


HOSTILE = {
    "archive.link": [special("out", tarfile.SYMTYPE, "../../../etc/passwd")],
    "archive.path": [("../../out", b"x")],
    "archive.device": [special("null", tarfile.CHRTYPE)],
    "archive.setuid": [special("su", tarfile.REGTYPE, mode=0o4755)],
    "archive.sparse": [special("hole", tarfile.GNUTYPE_SPARSE)],
    "archive.many": [(f"f{number}", b"") for number in range(60)],
    "archive.bomb": [("zeros", bytes(2 << 20))],
}


@pytest.mark.parametrize("code", HOSTILE)
async def test_a_hostile_archive_leaves_the_old_version_in_place(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(archive, "MOST_ENTRIES", 50)
    monkeypatch.setattr(archive, "FREE", 1 << 20)
    top, packages = place(agent), []
    for version, entries in (("1", [("good", b"one")]), ("2", HOSTILE[code])):
        # After the hostile one another action: what came before it is taken back, what comes after is not done.
        made = tar(tmp_path / f"{version}.tgz", ("first", version.encode()), *entries, mode="w:gz").read_bytes()
        files: dict[str, bytes | str | None] = {"a.tgz": made, "conf": version.encode()}
        actions = (
            act("file", path="/etc/app.conf", source="conf"),
            act("archive", path="/opt/app", source="a.tgz"),
            act("file", path="/etc/late.conf", source="conf"),
        )
        packages.append(pack("app", version, files, action=actions))
    agent.offer(*packages)
    assert (await agent.do("j1", "install", packages[0])).state == "done"
    stood, outside = snapshot(top), snapshot(tmp_path / "agent", times=False).keys()
    record = await agent.do("j2", "install", packages[1])
    assert (record.state, record.code) == ("failed", code), agent.receipt(record).detail
    assert snapshot(top) == stood
    assert agent.tree("app") == packages[0].files
    left = {path for path in snapshot(tmp_path / "agent", times=False) if path not in outside}
    assert not [path for path in left if not path.startswith(("chunks/", "root/.trees/", "root/.staging/"))], left
    assert (await agent.do("v1", "verify", packages[0])).state == "done"
