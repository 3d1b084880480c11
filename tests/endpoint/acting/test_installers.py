"""Native installers on real packages, in a root folder that the test made."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.endpoint.acting.site import Lab, act, lab, snapshot

from tiercast_endpoint.acting.installers import msi_command
from tiercast_endpoint.acting.native import Tools
from tiercast_endpoint.acting.prefix import ActError
from tiercast_protocol.content.package.handler import Handler

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg here")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        yield made


def deb(site: Lab, tree: str, version: str, *, name: str = "hello-tc", script: str = "") -> None:
    """A real package, `hello.deb` in `tree`; `script` is run once it is unpacked."""
    build = site.folder / f"build-{tree}"
    (build / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: x\n"
    (build / "DEBIAN/control").write_text(control)
    if script:
        (build / "DEBIAN/postinst").write_text(f"#!/bin/sh\n{script}\n")
        (build / "DEBIAN/postinst").chmod(0o755)
    (build / "usr/share/hello-tc").mkdir(parents=True)
    (build / "usr/share/hello-tc/version").write_text(version)
    site.place(tree).mkdir(parents=True, exist_ok=True)
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(build), str(site.place(tree) / "hello.deb")]
    subprocess.run(command, check=True, capture_output=True)


SPEC = """Name: {name}
Version: {version}
Release: 1
Summary: x
License: MIT
BuildArch: noarch
%description
x
{more}
%install
mkdir -p %{{buildroot}}/usr/share/hello-tc %{{buildroot}}/etc
echo {version} > %{{buildroot}}/usr/share/hello-tc/version
echo of={version} > %{{buildroot}}/etc/hello-tc.conf
%files
/usr/share/hello-tc/version
%config(noreplace) /etc/hello-tc.conf
"""


def rpm(site: Lab, tree: str, version: str, *, name: str = "hello-tc", more: str = "") -> None:
    """A real package, made by rpmbuild: `hello.rpm` in `tree`."""
    build = site.folder / f"rpm-{tree}"
    build.mkdir()
    (build / "x.spec").write_text(SPEC.format(name=name, version=version, more=more))
    command = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {build}", str(build / "x.spec")]
    subprocess.run(command, check=True, capture_output=True, env={"HOME": str(build), "PATH": "/usr/bin:/bin"})
    (made,) = build.glob("RPMS/noarch/*.rpm")
    site.place(tree).mkdir(parents=True, exist_ok=True)
    made.rename(site.place(tree) / "hello.rpm")


def rpm_says(site: Lab, *words: str) -> tuple[int, str]:
    """What the real rpm says of the root of the test."""
    command = ["rpm", "--root", str(site.top), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"HOME": "/root", "PATH": "/usr/bin"}
    )
    return done.returncode, done.stdout.strip()


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


HELLO_RPM = act("rpm", name="hello-tc", source="hello.rpm")
needs_rpm = pytest.mark.skipif(
    shutil.which("rpmbuild") is None or os.geteuid() != 0,
    reason="no rpm and rpmbuild here (apt-get install rpm), or not root, which rpm --root wants",
)


@needs_rpm
async def test_an_rpm_comes_goes_back_and_goes(site: Lab) -> None:
    rpm(site, "one", "1.0")
    rpm(site, "two", "2.0")
    site.files("two", {"bad.sh": b"#!/bin/sh\nexit 1\n"})
    done = await site.settled(1, "one", HELLO_RPM)
    assert done.actions[0].did == "installed 1.0-1"
    assert rpm_says(site, "-q", "hello-tc")[1] == "hello-tc-1.0-1.noarch"
    assert rpm_says(site, "-V", "hello-tc") == (0, ""), "rpm's own verification finds nothing"
    with pytest.raises(ActError):
        await site.apply(2, "two", HELLO_RPM, act("program", name="bad", argv=["./bad.sh"]))
    assert (site.top / "usr/share/hello-tc/version").read_text() == "2.0\n"
    await site.revert(2, "two")
    assert rpm_says(site, "-q", "hello-tc")[1] == "hello-tc-1.0-1.noarch"
    assert rpm_says(site, "-V", "hello-tc") == (0, "")
    (site.top / "etc/hello-tc.conf").write_text("of=mine\n")
    await site.settled(3, "two", HELLO_RPM)
    assert (site.top / "etc/hello-tc.conf").read_text() == "of=mine\n", "changed by hand: rpm's own rule keeps it"
    await site.settled(4, "two")
    assert rpm_says(site, "-q", "hello-tc")[0] == 1
    assert not (site.top / "usr/share/hello-tc/version").exists()


@needs_rpm
async def test_an_rpm_of_the_machine_stays_and_what_is_none_is_refused(site: Lab) -> None:
    rpm(site, "one", "1.0")
    assert rpm_says(site, "--install", str(site.place("one") / "hello.rpm"))[0] == 0
    await site.settled(1, "one", HELLO_RPM)
    done = await site.settled(2, "one")
    assert "the machine had 1.0-1 before" in done.actions[0].did
    assert rpm_says(site, "-q", "hello-tc")[0] == 0
    rpm(site, "other", "1.0", name="other")
    site.files("none", {"hello.rpm": b"no rpm"})
    rpm(site, "failing", "3.0", more="%pre\nexit 1")
    cases = (("other", "rpm.name"), ("none", "rpm.invalid"), ("failing", "program.failed"))
    for n, (tree, code) in enumerate(cases, 3):
        with pytest.raises(ActError) as caught:
            await site.apply(n, tree, HELLO_RPM)
        assert caught.value.code == code
        await site.revert(n, tree)
        assert rpm_says(site, "-q", "hello-tc")[1] == "hello-tc-1.0-1.noarch"


@pytest.mark.parametrize("kind", ["deb", "rpm"])
async def test_an_installer_that_ends_well_and_did_not_do_it(tmp_path: Path, kind: str) -> None:
    fake = tmp_path / "tool"
    fake.write_text(
        """#!/bin/sh
case "$*" in
*-qp*|*--showformat=*) echo x 2.0 ;;
*-W*) echo installed 1.0 ;;
*-q*) echo 1.0 ;;
esac
"""
    )
    fake.chmod(0o755)
    tool = str(fake)
    async with lab(tmp_path, Tools("false", tool, tool, tool, tool)) as site:
        site.files("one", {"x": b"x"})
        with pytest.raises(ActError, match=r"of x 2\.0 ended well, and 1\.0 is there") as caught:
            await site.apply(1, "one", act(kind, name="x", source="x"))
        assert caught.value.code == f"{kind}.missing"


@needs_dpkg
async def test_what_dpkg_left_half_done_goes_when_it_is_taken_back(site: Lab) -> None:
    dpkg_root(site)
    deb(site, "one", "1.0", script="exit 1")
    before = set(snapshot(site.top))
    with pytest.raises(ActError) as caught:
        await site.apply(1, "one", HELLO)
    assert caught.value.code == "program.failed"
    assert "half-configured" in (site.top / "var/lib/dpkg/status").read_text()
    await site.revert(1, "one")
    assert "hello-tc" not in (site.top / "var/lib/dpkg/status").read_text()
    left = {path for path in set(snapshot(site.top)) - before if not path.startswith("var/lib/dpkg")}
    assert left == set()


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
