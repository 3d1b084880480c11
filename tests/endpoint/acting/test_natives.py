"""Programs, groups, users and units: done, asked after, and taken back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.endpoint.acting.site import Lab, act, lab, snapshot

from tiercast_endpoint.acting import natives
from tiercast_endpoint.acting.engine import Done
from tiercast_endpoint.acting.native import Tools
from tiercast_endpoint.acting.prefix import ActError

UNIT = b"[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
#: A service manager that remembers what it was told; a unit whose file says "broken" does not stay up.
SYSTEMCTL = """#!/bin/sh
here={folder}
echo "$*" >> $here/told
case "$1" in
is-enabled) test -e $here/enabled-$2 && echo enabled || {{ echo disabled; exit 1; }} ;;
is-active) test -e $here/active-$2 && echo active || {{ echo failed; exit 3; }} ;;
enable) touch $here/enabled-$2 ;;
disable) rm -f $here/enabled-$2 ;;
restart) touch $here/active-$2
    grep -q broken $here/prefix/etc/systemd/system/$2 && rm -f $here/active-$2; true ;;
stop) rm -f $here/active-$2 ;;
esac
"""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        yield made


def program(name: str, **more: object) -> object:
    return act("program", name=name, argv=[f"./{name}.sh", "say it"], **more)


async def test_a_program_runs_in_its_tree_and_its_undo_takes_it_back(site: Lab) -> None:
    site.files("one", {
        "do.sh": b'#!/bin/sh\necho "$1 $TIERCAST_PREFIX"; test -z "$SECRET"; touch $TIERCAST_PREFIX/done; exit 3\n',
        "undo.sh": b"#!/bin/sh\nrm $TIERCAST_PREFIX/done\n",
    })  # fmt: skip
    before = snapshot(site.top)
    os.environ["SECRET"] = "x"
    try:
        done = await site.settled(
            1, "one", act("program", name="do", argv=["./do.sh", "say it"], exits=[3], undo=["./undo.sh"])
        )
    finally:
        del os.environ["SECRET"]
    assert (site.top / "done").exists()
    (ran,) = done.programs
    assert (ran.exit, ran.output) == (3, f"say it {site.top}\n")
    done = await site.settled(2, "one")
    assert snapshot(site.top) == before
    assert [one.did for one in done.actions] == ["taken back; undone"]


@pytest.mark.parametrize(
    ("script", "code", "part"),
    [
        ("sleep 1000", "program.timeout", "killed after"),
        ("(setsid sleep 1000 &) ; exit 0", "program.left", "left 1 processes"),
        ('read answer; test -n "$answer" || { echo no answer; exit 4; }', "program.failed", "no answer"),
        ("read answer < /dev/tty || exit 5", "program.failed", "status 5"),
        ("yes flood | head -c 3000000; exit 1", "program.failed", "status 1"),
        ("kill -9 $$", "program.failed", "signal 9"),
        ("kill -9 $PPID; exec sleep 1000", "program.failed", "signal 9"),
        ("setsid sleep 1000 & kill -9 $PPID; exit 0", "program.failed", "signal 9"),
        ("exit 127", "program.start", "could not be started"),
    ],
)  # fmt: skip
async def test_bad_installers_end_with_a_clear_word(site: Lab, script: str, code: str, part: str) -> None:
    site.files("one", {"do.sh": f"#!/bin/sh\n{script}\n".encode(), "a": b"A"})
    before = snapshot(site.top)
    bad = act(
        "program", name="do", argv=["./do.sh"], timeout="1s" if script == "sleep 1000" else "30s", output_limit="1KiB"
    )
    with pytest.raises(ActError) as caught:
        await site.apply(1, "one", act("file", path="/etc/a", source="a"), bad)
    assert (caught.value.code, part in caught.value.detail) == (code, True), caught.value.detail
    await site.revert(1, "one")
    assert snapshot(site.top) == before
    assert await asyncio.to_thread(_sleepers) == []


def _sleepers() -> list[str]:
    """What is left of the long sleep of these tests, below us."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if words[:2] == [b"sleep", b"1000"] and b"TIERCAST_PREFIX" in environment:
                found.append(entry.name)
    return found


async def test_output_is_cut_and_marked_and_has_a_limit_for_all(site: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiercast_endpoint.acting.runner.MOST_OUTPUT", 6000)
    site.files("one", {"do.sh": b"#!/bin/sh\nyes | head -c 100000\n"})
    actions = [act("program", name=f"p{n}", argv=["./do.sh"], output_limit="4KiB") for n in range(3)]
    done = await site.apply(1, "one", *actions)
    sizes = [len(one.output) for one in done.programs]
    assert sizes[0] > sizes[1] > sizes[2]
    assert all("bytes cut" in one.output for one in done.programs)


async def test_an_older_program_runs_again_where_it_bears_that(site: Lab) -> None:
    for tree in ("one", "two"):
        site.files(
            tree,
            {"do.sh": f"#!/bin/sh\necho {tree} > $TIERCAST_PREFIX/said\n".encode(), "bad.sh": b"#!/bin/sh\nexit 1\n"},
        )
    do = act("program", name="do", argv=["./do.sh"], idempotent=True)
    await site.settled(1, "one", do)
    with pytest.raises(ActError):
        await site.apply(2, "two", do, act("program", name="bad", argv=["./bad.sh"]))
    assert (site.top / "said").read_text() == "two\n"
    await site.revert(2, "two")
    assert (site.top / "said").read_text() == "one\n"


async def test_a_program_that_was_cut_off_is_interrupted_and_never_run_twice(site: Lab) -> None:
    site.files("one", {"do.sh": b"#!/bin/sh\necho x >> $TIERCAST_PREFIX/ran; sleep 1000\n"})
    task = asyncio.get_running_loop().create_task(site.apply(1, "one", act("program", name="do", argv=["./do.sh"])))
    async with asyncio.timeout(60):
        while not (site.top / "ran").exists():  # noqa: ASYNC110 - no event for us
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    site.new()
    with pytest.raises(ActError) as caught:
        await site.apply(1, "one", act("program", name="do", argv=["./do.sh"]))
    assert (caught.value.code, caught.value.state) == ("program.interrupted", "interrupted")
    await site.revert(1, "one")
    assert (site.top / "ran").read_text() == "x\n"


async def test_an_undo_that_was_cut_off_is_told_by_whichever_life_ends_the_job(site: Lab) -> None:
    site.files(
        "one", {"do.sh": b"#!/bin/sh\n:\n", "undo.sh": b"#!/bin/sh\necho x >> $TIERCAST_PREFIX/ran; sleep 1000\n"}
    )
    await site.apply(1, "one", act("program", name="do", argv=["./do.sh"], undo=["./undo.sh"]))
    task = asyncio.get_running_loop().create_task(site.revert(1, "one"))
    async with asyncio.timeout(60):
        while not (site.top / "ran").exists():  # noqa: ASYNC110 - no event for us
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    for _ in range(2):  # the second finds that it was not known, and ends before its job has written that down
        site.new()
        failed = await site.engine.revert(site.job(1, "one"), Done())
        assert [one.startswith("program do: ") for one in failed] == [True], failed
    assert (site.top / "ran").read_text() == "x\n"


RAN = b"echo x >> $TIERCAST_PREFIX/ran; "


async def test_an_undo_that_was_seen_to_fail_is_tried_again_by_a_later_job(site: Lab) -> None:
    site.files(
        "one", {"do.sh": b"#!/bin/sh\n:\n", "undo.sh": b"#!/bin/sh\n" + RAN + b"test -e $TIERCAST_PREFIX/mended\n"}
    )
    await site.settled(1, "one", act("program", name="do", argv=["./do.sh"], undo=["./undo.sh"]))
    with pytest.raises(ActError) as caught:
        await site.apply(2, "one")
    assert caught.value.code == "program.failed"
    site.new()  # whoever goes back knows it from the journal
    await site.revert(2, "one")
    (site.top / "mended").touch()
    done = await site.settled(3, "one")
    assert [one.did for one in done.actions] == ["taken back; undone"]
    assert (site.top / "ran").read_text() == "x\nx\n"


@pytest.mark.parametrize("anew", [False, True])
async def test_an_undo_nobody_saw_the_end_of_is_not_begun_by_a_later_job_until_it_was_done_anew(
    site: Lab, anew: bool
) -> None:
    site.files("one", {"do.sh": b"#!/bin/sh\n:\n", "undo.sh": b"#!/bin/sh\n" + RAN + b"sleep 1000\n"})
    do = act("program", name="do", argv=["./do.sh"], undo=["./undo.sh"])
    await site.settled(1, "one", do)
    task = asyncio.get_running_loop().create_task(site.apply(2, "one"))
    async with asyncio.timeout(60):
        while not (site.top / "ran").exists():  # noqa: ASYNC110 - no event for us
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    site.new()
    with pytest.raises(ActError) as caught:
        await site.apply(2, "one")
    assert caught.value.code == "program.interrupted"
    await site.revert(2, "one")
    if anew:
        site.files("two", {"do.sh": b"#!/bin/sh\n:\n", "undo.sh": b"#!/bin/sh\n" + RAN})
        await site.settled(3, "two", do)
    (done,) = (await site.settled(4, "two" if anew else "one")).actions
    assert ("begun by an earlier job" in done.did, (site.top / "ran").read_text()) == (not anew, "x\n" * (1 + anew))


async def test_a_file_for_nobody_is_refused(site: Lab) -> None:
    site.files("one", {"a": b"A"})
    with pytest.raises(ActError, match="no user 'ghost'"):
        await site.apply(1, "one", act("file", path="/a", source="a", owner="ghost"))
    await site.revert(1, "one")


async def test_a_unit_is_enabled_in_a_stand_in_root(site: Lab) -> None:
    site.files("one", {"app.service": UNIT})
    before = snapshot(site.top)
    done = await site.settled(1, "one", act("unit", name="app.service", source="app.service"))
    link = site.top / "etc/systemd/system/multi-user.target.wants/app.service"
    assert link.is_symlink()
    assert done.actions[0].did == "enabled"
    await site.settled(2, "one")
    left = {path: what for path, what in snapshot(site.top).items() if path not in before}
    assert all(what[0] == 0o040000 for what in left.values()), "systemctl leaves its folder, and nothing in it"


async def test_a_unit_is_restarted_looked_at_and_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(natives, "_SETTLED_S", 0.0)
    fake = tmp_path / "systemctl"
    fake.write_text(SYSTEMCTL.format(folder=tmp_path))
    fake.chmod(0o755)
    async with lab(tmp_path, Tools(systemctl=str(fake), live=True)) as site:
        site.files("one", {"app.service": UNIT})
        site.files("two", {"app.service": b"# broken\n" + UNIT})
        unit = act("unit", name="app.service", source="app.service")
        await site.settled(1, "one", unit)
        assert (tmp_path / "active-app.service").exists()
        with pytest.raises(ActError, match="was started, and is failed"):
            await site.apply(2, "two", unit)
        await site.revert(2, "two")
        assert (site.top / "etc/systemd/system/app.service").read_bytes() == UNIT
        assert (tmp_path / "active-app.service").exists(), "the older one runs again"
        await site.settled(3, "one")
        assert not (tmp_path / "active-app.service").exists()
        assert not (tmp_path / "enabled-app.service").exists()
        assert (tmp_path / "told").read_text().splitlines()[-2:] == ["daemon-reload", "reset-failed app.service"]
