"""What actions left on the machine, compared with how it stands: each difference by its path, people's own ones not."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.endpoint.acting.site import Lab, act, lab, snapshot
from tests.endpoint.acting.test_folders import wheel
from tests.endpoint.acting.test_installers import HELLO, deb, dpkg_root, needs_dpkg

from tiercast_endpoint.acting.comparing import CHANGED, GONE, MEANT, RIGHTS, STRANGE, Compared
from tiercast_endpoint.acting.engine import Done
from tiercast_endpoint.acting.installers import verified

FILES = {"conf": b"colour = red\n", "share/a": b"A", "share/deep/b.sh": b"#!/bin/sh\n", "do.sh": b"#!/bin/sh\n"}


@pytest.fixture(name="site")
async def _site(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        made.files("one", FILES)
        (made.top / "etc").mkdir()
        (made.top / "etc/there.ini").write_text("# mine\n[a]\nx=1\nz=9\n")
        yield made


async def compared(site: Lab) -> Compared:
    return await site.engine.compare(site.job(9, ""))


async def mended(site: Lab, n: int) -> Done:
    done = Done()
    await site.engine.mend(site.job(n, "one"), done)
    await site.accept(n)
    return done


async def test_what_stands_as_it_was_left_does_not_differ(site: Lab) -> None:
    actions = (
        act("directory", path="/var/lib/app", mode="0750"),
        act("file", path="/etc/app.conf", source="conf"),
        act("files", path="/usr/share/app", source="share"),
        act("link", path="/usr/bin/app", source="share/deep/b.sh"),
        act("ini", path="/etc/there.ini", set={"a.x": "2"}, unset=["a.z"]),
        act("site", path="/srv/app", source="share"),
        act("program", name="p", argv=["./do.sh"]),
    )
    await site.settled(1, "one", *actions)
    found = await compared(site)
    assert (found.differences, found.placed, found.unseen) == ([], [], ["program p"])
    assert found.count >= len(actions) - 1
    # Others may add keys, and files beside ours.
    (site.top / "etc/there.ini").write_text((site.top / "etc/there.ini").read_text() + "[b]\ny=3\n")
    (site.top / "usr/share/app/mine").touch()
    assert (await compared(site)).differences == []


async def test_each_kind_of_difference_is_named_and_only_that_is_mended(site: Lab) -> None:
    actions = (
        act("directory", path="/var/lib/app", mode="0750"),
        act("file", path="/etc/app.conf", source="conf", mode="0640"),
        act("files", path="/usr/share/app", source="share"),
        act("link", path="/usr/bin/app", source="share/deep/b.sh"),
        act("ini", path="/etc/there.ini", set={"a.x": "2", "c.d": "4"}, unset=["a.z"]),
        act("site", path="/srv/app", source="share"),
        act("file", path="/etc/whole.conf", source="conf"),
    )
    before = snapshot(site.top)
    await site.settled(1, "one", *actions)
    (site.top / "var/lib/app").chmod(0o777)
    (site.top / "etc/app.conf").write_text("colour = blue\n")
    (site.top / "usr/share/app/deep/b.sh").chmod(0o600)
    shutil.rmtree(site.top / "usr/share/app/deep")
    (site.top / "usr/bin/app").unlink()
    (site.top / "etc/there.ini").write_text("# mine\n[a]\nx=7\nz=1\n[k]\nl=m\n")
    (site.top / "srv/app/a").write_text("B")
    (site.top / "srv/app/strange").touch()
    (site.top / "srv/app/deep/b.sh").chmod(0o700)
    left = (site.top / "etc/whole.conf").stat().st_ino
    found = await compared(site)
    assert sorted(found.differences) == [
        ("/etc/app.conf", CHANGED),
        ("/etc/there.ini", f"'a.x' {CHANGED}"),
        ("/etc/there.ini", f"'a.z' {CHANGED}"),
        ("/etc/there.ini", f"'c.d' {CHANGED}"),
        ("/srv/app/a", CHANGED),
        ("/srv/app/deep/b.sh", RIGHTS),
        ("/srv/app/strange", STRANGE),
        ("/usr/bin/app", GONE),
        ("/usr/share/app/deep", GONE),
        ("/usr/share/app/deep/b.sh", GONE),
        ("/var/lib/app", RIGHTS),
    ]
    assert "path:/etc/whole.conf" not in found.placed
    done = await mended(site, 2)
    assert "kept as /etc/app.conf.tiercast-old" in next(one.did for one in done.actions if "app.conf" in one.action)
    assert (await compared(site)).differences == []
    assert (site.top / "etc/whole.conf").stat().st_ino == left, "what does not differ is left alone"
    text = (site.top / "etc/there.ini").read_text()
    assert "l=m" in text
    assert "# mine" in text
    # And it still goes as it came: what people changed stays, all else is as before.
    (site.top / "etc/app.conf.tiercast-old").unlink()
    await site.settled(3, "one")
    after = snapshot(site.top)
    assert {path for path in after if path not in before} == set()
    text = (site.top / "etc/there.ini").read_text().replace(" = ", "=")
    assert text == "# mine\n[a]\nx=1\nz=9\n[k]\nl=m\n"


@pytest.mark.parametrize("rule", ["keep", "merge"])
async def test_what_a_rule_leaves_to_people_does_not_differ_but_has_to_be_there(site: Lab, rule: str) -> None:
    await site.settled(1, "one", act("file", path="/etc/app.conf", source="conf", config=rule))
    (site.top / "etc/app.conf").write_text("mine\n")
    (site.top / "etc/app.conf").chmod(0o600)
    assert (await compared(site)).differences == []
    (site.top / "etc/app.conf").unlink()
    assert (await compared(site)).differences == [("/etc/app.conf", GONE)]
    await mended(site, 2)
    assert (site.top / "etc/app.conf").read_bytes() == FILES["conf"]


@pytest.mark.parametrize("kind", ["archive", "wheel"])
async def test_whole_folders_are_compared_with_what_they_are_made_from(site: Lab, kind: str) -> None:
    tree = site.place("one")
    with tarfile.open(tree / "a.tar", "w") as made:
        info = tarfile.TarInfo("in/file")
        info.size, info.mode = 3, 0o644
        made.addfile(info, io.BytesIO(b"abc"))
    wheel(tree / "m-1-py3-none-any.whl", "m", "1", m__init=b"x = 1\n")
    action = act("archive", path="/opt/it", source="a.tar") if kind == "archive" else act(
        "wheel", path="/opt/it", sources=["m-1-py3-none-any.whl"]
    )  # fmt: skip
    await site.settled(1, "one", action)
    assert (await compared(site)).differences == []
    inner = site.top / ("opt/it/in" if kind == "archive" else "opt/it/m")
    (inner / "__pycache__").mkdir()
    file = next(path for path in inner.iterdir() if path.is_file())
    file.write_bytes(b"evil!!"[: file.stat().st_size])
    (site.keep / MEANT).mkdir()  # as a kill would have left it
    found = dict((await compared(site)).differences)
    assert found.pop(f"/{file.relative_to(site.top)}") == CHANGED
    assert found == ({f"/{inner.relative_to(site.top)}/__pycache__": STRANGE} if kind == "archive" else {})
    assert not (site.keep / MEANT).exists()
    await mended(site, 2)
    assert (await compared(site)).differences == []


async def test_a_link_where_a_folder_was_is_told_and_not_followed(site: Lab, tmp_path: Path) -> None:
    await site.settled(1, "one", act("files", path="/usr/share/app", source="share"))
    outside = tmp_path / "outside"
    shutil.copytree(site.top / "usr/share/app", outside)
    shutil.rmtree(site.top / "usr/share/app")
    (site.top / "usr/share/app").symlink_to(outside)
    found = dict((await compared(site)).differences)
    assert found["/usr/share/app"] == CHANGED
    assert "is a link to" in found["/usr/share/app/a"]


@needs_dpkg
async def test_a_deb_by_the_word_of_dpkg(site: Lab) -> None:
    dpkg_root(site)
    deb(site, "one", "1.0")
    await site.settled(1, "one", HELLO)
    assert (await compared(site)).differences == []
    (site.top / "usr/share/hello-tc/version").write_text("9.9")
    found = await compared(site)
    assert found.differences == [("/usr/share/hello-tc/version", CHANGED)]
    assert found.placed == [], "an installer is not run again to mend"
    (site.top / "usr/share/hello-tc/version").unlink()
    assert (await compared(site)).differences == [("/usr/share/hello-tc/version", GONE)]
    status = site.top / "var/lib/dpkg/status"
    status.write_text(status.read_text().replace("Version: 1.0", "Version: 0.9"))
    assert "0.9" in (await compared(site)).differences[0][1]
    status.write_text("")
    assert (await compared(site)).differences == [("deb hello-tc", "is not installed")]


async def test_a_group_that_is_gone(site: Lab) -> None:
    (site.top / "etc/group").write_text("root:x:0:\n")
    (site.top / "etc/gshadow").touch()
    await site.settled(1, "one", act("group", name="tcgroup"))
    assert (await compared(site)).differences == []
    (site.top / "etc/group").write_text("root:x:0:\n")
    assert (await compared(site)).differences == [("group tcgroup", "is gone")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("??5?????? c /etc/x.conf", None),
        ("??5??????   /usr/bin/x", ("/usr/bin/x", CHANGED)),
        ("S.5....T.    /usr/bin/y", ("/usr/bin/y", CHANGED)),
        ("missing     /usr/a b", ("/usr/a b", GONE)),
        ("missing   c /etc/y", None),
        ("dpkg: package 'x' is not installed", None),
    ],
)
def test_the_lines_of_dpkg_and_rpm(line: str, expected: tuple[str, str] | None) -> None:
    assert verified(line) == expected
