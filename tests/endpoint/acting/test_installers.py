"""Native installers on real packages, in a root folder that the test made."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.endpoint.acting.site import Lab, act, lab, snapshot

from tiercast_endpoint.acting.installers import msi_command
from tiercast_endpoint.acting.native import Tools
from tiercast_endpoint.acting.prefix import ActError
from tiercast_protocol.content.handler import Handler

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg here")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        yield made


def deb(site: Lab, tree: str, version: str, *, name: str = "hello-tc") -> None:
    """A real package without scripts, `hello.deb` in `tree`."""
    build = site.folder / f"build-{tree}"
    (build / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: x\n"
    (build / "DEBIAN/control").write_text(control)
    (build / "usr/share/hello-tc").mkdir(parents=True)
    (build / "usr/share/hello-tc/version").write_text(version)
    site.place(tree).mkdir(parents=True, exist_ok=True)
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(build), str(site.place(tree) / "hello.deb")]
    subprocess.run(command, check=True, capture_output=True)


def dpkg_root(site: Lab) -> None:
    for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"):
        (site.top / folder).mkdir(parents=True)
    for file in ("status", "available"):
        (site.top / "var/lib/dpkg" / file).touch()


HELLO = act("deb", name="hello-tc", source="hello.deb")


@needs_dpkg
async def test_a_deb_comes_goes_back_and_goes(site: Lab) -> None:
    dpkg_root(site)
    deb(site, "one", "1.0")
    deb(site, "two", "2.0")
    site.files("two", {"bad.sh": b"#!/bin/sh\nexit 1\n"})
    before = set(snapshot(site.top))
    done = await site.settled(1, "one", HELLO)
    assert done.actions[0].did == "installed 1.0"
    assert "Setting up hello-tc (1.0)" in done.programs[0].output
    with pytest.raises(ActError):
        await site.apply(2, "two", HELLO, act("program", name="bad", argv=["./bad.sh"]))
    assert (site.top / "usr/share/hello-tc/version").read_text() == "2.0"
    await site.revert(2, "two")
    assert (site.top / "usr/share/hello-tc/version").read_text() == "1.0"
    await site.settled(3, "one")
    left = {path for path in set(snapshot(site.top)) - before if not path.startswith("var/lib/dpkg")}
    assert left == set()
    assert "hello-tc" not in (site.top / "var/lib/dpkg/status").read_text()


@needs_dpkg
async def test_what_the_machine_had_before_stays(site: Lab) -> None:
    dpkg_root(site)
    deb(site, "one", "1.0")
    subprocess.run(
        ["dpkg", f"--root={site.top}", "-i", str(site.place("one") / "hello.deb")], check=True, capture_output=True
    )
    await site.settled(1, "one", HELLO)
    done = await site.settled(2, "one")
    assert "the machine had 1.0 before" in done.actions[0].did
    assert (site.top / "usr/share/hello-tc/version").exists()


@needs_dpkg
async def test_a_deb_that_is_another_or_none(site: Lab) -> None:
    dpkg_root(site)
    deb(site, "one", "1.0", name="other")
    site.files("two", {"hello.deb": b"no deb"})
    for n, (tree, code) in enumerate((("one", "deb.name"), ("two", "deb.invalid")), 1):
        with pytest.raises(ActError) as caught:
            await site.apply(n, tree, HELLO)
        assert caught.value.code == code
        await site.revert(n, tree)


async def test_an_rpm_is_installed_by_the_tool_of_its_own(tmp_path: Path) -> None:
    fake = tmp_path / "rpm"
    fake.write_text(
        f"""#!/bin/sh
echo "$*" >> {tmp_path}/told
case "$*" in
*-q*) test -e {tmp_path}/there && echo 1.0-1 || exit 1 ;;
*--upgrade*) touch {tmp_path}/there ;;
*--erase*) rm {tmp_path}/there ;;
esac
"""
    )
    fake.chmod(0o755)
    async with lab(tmp_path, Tools(rpm=str(fake))) as site:
        site.files("one", {"x.rpm": b"rpm"})
        done = await site.settled(1, "one", act("rpm", name="x", source="x.rpm"))
        assert done.actions[0].did == "installed 1.0-1"
        await site.settled(2, "one")
        assert not (tmp_path / "there").exists()
        told = (tmp_path / "told").read_text().splitlines()
        where = f"--root {site.top}"
        assert told[1] == f"{where} --upgrade --replacepkgs --oldpackage {site.place('one')}/x.rpm"
        assert f"{where} --erase x" in told


async def test_the_command_line_of_an_msi_and_no_msi_here(site: Lab) -> None:
    action = act("msi", name="Editor", source="e.msi", properties={"installdir": "C:/A B", "mode": "x"})
    assert msi_command(action, "e.msi") == [
        "msiexec", "/i", "e.msi", "/qn", "/norestart", 'INSTALLDIR="C:/A B"', "MODE=x"
    ]  # fmt: skip
    assert msi_command(action, "e.msi", remove=True) == ["msiexec", "/x", "e.msi", "/qn", "/norestart"]
    with pytest.raises(ActError, match="only Windows"):
        await site.apply(1, "one", action)


async def test_a_handler_installs_asks_and_removes(site: Lab) -> None:
    site.files("things", {
        "install.sh": b'#!/bin/sh\ncp "$TIERCAST_SOURCE" "$TIERCAST_PREFIX/$TIERCAST_NAME-$TIERCAST_WITH_SIZE"\n',
        "remove.sh": b'#!/bin/sh\nrm "$TIERCAST_PREFIX/$TIERCAST_NAME-$TIERCAST_WITH_SIZE"\n',
        "query.sh": b'#!/bin/sh\ntest -e "$TIERCAST_PREFIX/$TIERCAST_NAME-$TIERCAST_WITH_SIZE" && echo 7\n',
    })  # fmt: skip
    site.handlers["things"] = Handler(("./install.sh",), ("./remove.sh",), ("./query.sh",))
    site.files("one", {"thing": b"T", "two": b"2"})
    before = snapshot(site.top)
    wanted = act("handler", handler="things", name="lamp", source="thing", properties={"size": "xl"})
    done = await site.settled(1, "one", wanted)
    assert (site.top / "lamp-xl").read_bytes() == b"T"
    assert done.actions[0].did == "installed 7"
    await site.settled(2, "one")
    assert snapshot(site.top) == before
