"""Folders that are put at their path whole."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.endpoint.acting.site import act, lab, snapshot

from tiercast_endpoint.acting.folders import builder
from tiercast_endpoint.acting.prefix import ActError, Prefix


def wheel(path: Path, name: str, version: str, **files: bytes) -> None:
    """A real wheel, with its RECORD left for us to make."""
    import base64  # noqa: PLC0415 - of this alone
    import hashlib  # noqa: PLC0415 - as above

    info = f"{name}-{version}.dist-info"
    content = {
        **{key.replace("__", "/") + ".py": data for key, data in files.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-say = {name}:main\n".encode(),
    }
    record = ""
    for key, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{key},sha256={digest},{len(data)}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as opened:
        for key, data in content.items():
            opened.writestr(key, data)
        opened.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")


async def test_wheels_come_into_a_folder_that_python_imports_from(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        before = snapshot(site.top)
        wheel(site.place("one") / "w/hello-1.0-py3-none-any.whl", "hello", "1.0", hello=b"def main(): print('one')\n")
        wheel(site.place("one") / "w/other-1.0-py3-none-any.whl", "other", "1.0", other=b"x = 1\n")
        wheel(site.place("two") / "w/hello-1.0-py3-none-any.whl", "hello", "1.0", hello=b"def main(): print('two')\n")
        both = ["w/hello-1.0-py3-none-any.whl", "w/other-1.0-py3-none-any.whl"]
        await site.settled(1, "one", act("wheel", path="/opt/site", sources=both))
        say = [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(site.top / 'opt/site')!r}); import hello; hello.main()",
        ]
        assert subprocess.run(say, capture_output=True, text=True, check=True).stdout == "one\n"
        assert (site.top / "opt/site/bin/hello-say").read_text().startswith("#!/usr/bin/python3\n")
        assert (site.top / "opt/site/other-1.0.dist-info/INSTALLER").read_text() == "tiercast"
        await site.settled(2, "two", act("wheel", path="/opt/site", sources=both[:1]))
        assert subprocess.run(say, capture_output=True, text=True, check=True).stdout == "two\n"
        assert not (site.top / "opt/site/other.py").exists()
        await site.settled(3, "two")
        assert {path: what for path, what in snapshot(site.top).items() if "__pycache__" not in path} == before


PYTHON = Path("/usr/bin/python3")


@pytest.mark.skipif(not PYTHON.exists(), reason="this machine has no Python of its own")
async def test_wheels_come_into_a_virtual_environment_that_is_switched_whole(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        (site.top / "usr/bin").mkdir(parents=True)
        real = PYTHON.resolve().name
        (site.top / "usr/bin" / real).touch()
        (site.top / "usr/bin/python3").symlink_to(real)
        before = snapshot(site.top)
        source = "w/hello-1.0-py3-none-any.whl"
        said = b"import sys\ndef main(): print('%s', sys.prefix)\n"
        for tree in ("one", "two"):
            wheel(site.place(tree) / source, "hello", "1.0", hello=said.replace(b"%s", tree.encode()))
        site.files("two", {"bad.sh": b"#!/bin/sh\nexit 1\n"})
        tool = act("wheel", path="/opt/tool", sources=[source], python="/usr/bin/python3")
        await site.settled(1, "one", tool)
        here = site.top / "opt/tool"
        script = here / "bin/hello-say"
        assert script.read_text().startswith("#!/opt/tool/bin/python\n"), "as the machine sees it"
        say = [str(here / "bin/python"), "-I", str(script)]
        assert subprocess.run(say, capture_output=True, text=True, check=True).stdout == f"one {here}\n"
        with pytest.raises(ActError):
            await site.apply(2, "two", tool, act("program", name="bad", argv=["./bad.sh"]))
        assert subprocess.run(say, capture_output=True, text=True, check=True).stdout == f"two {here}\n"
        await site.revert(2, "two")
        assert subprocess.run(say, capture_output=True, text=True, check=True).stdout == f"one {here}\n"
        await site.settled(3, "two")
        assert snapshot(site.top) == before
        with pytest.raises(ActError, match="leads to no Python") as caught:
            await site.apply(4, "one", act("wheel", path="/opt/tool", sources=[source], python="/usr/bin/python9"))
        assert caught.value.code == "wheel.python"
        await site.revert(4, "one")
        assert snapshot(site.top) == before


async def test_wheels_that_are_not_sound(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        good = site.place("one") / "good-1.0-py3-none-any.whl"
        wheel(good, "good", "1.0", good=b"x = 1\n")
        wheel(site.place("one") / "evil-1.0-py3-none-any.whl", "evil", "1.0", **{"..__..__evil": b"x"})
        data = good.read_bytes()
        (site.place("one") / "bent-1.0-py3-none-any.whl").write_bytes(data.replace(b"x = 1\n", b"x = 2\n"))
        twice = site.place("one") / "twice-1.0-py3-none-any.whl"
        wheel(twice, "twice", "1.0", good=b"x = 3\n")
        cases = (
            ("evil", "archive.path"),
            ("bent", "wheel.invalid"),
            ("twice", "wheel.twice"),
            ("none", "source.missing"),
        )
        for n, (name, code) in enumerate(cases, 1):
            sources = [good.name, f"{name}-1.0-py3-none-any.whl"]
            with pytest.raises(ActError) as caught:
                await site.apply(n, "one", act("wheel", path="/opt/site", sources=sources))
            assert caught.value.code in {code, "archive.invalid"}, caught.value
            await site.revert(n, "one")
            assert snapshot(site.top) == {}


async def test_an_update_site_is_switched_by_one_rename(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        site.files("one", {"site/index": b"1", "site/d/x": b"1"})
        site.files("two", {"site/index": b"2"})
        await site.settled(1, "one", act("site", path="/srv/updates", source="site"))
        was = (site.top / "srv/updates").stat().st_ino
        await site.apply(2, "two", act("site", path="/srv/updates", source="site"))
        assert (site.top / "srv/updates/index").read_bytes() == b"2"
        assert not (site.top / "srv/updates/d").exists()
        await site.revert(2, "two")
        assert (site.top / "srv/updates").stat().st_ino == was, "the very folder is back"
        (site.top / "srv/mine").mkdir()
        with pytest.raises(ActError, match="was not put there by this package"):
            await site.apply(3, "two", act("site", path="/srv/mine", source="site"))
        await site.revert(3, "two")


def test_a_source_that_leads_out_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/site").symlink_to("/etc")
    (tmp_path / "to").mkdir()
    with pytest.raises(ActError, match="has no 'site'"):
        builder(act("site", path="/x", source="site"), tmp_path / "tree", Prefix(tmp_path))(tmp_path / "to")
