"""Placed files on a disk that fills, or that can't be written."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint.acting.site import act, lab, snapshot

from tiercast_endpoint.acting import changes

ROOT = Path(__file__).parents[3]
#: In a mount namespace of its own: a file system of 1 MiB, or one that is read-only, below the prefix.
SMALL = """
import asyncio, os, subprocess, sys
from pathlib import Path
from tests.endpoint.acting.site import act, lab, snapshot

async def main(folder, options):
    async with lab(folder) as site:
        (site.top / "small").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", site.top / "small"], check=True)
        site.files("one", {"a": b"A", "big": os.urandom(3 << 20)})
        before = snapshot(site.top)
        places = ("/etc/first", "a"), ("/small/second", "a"), ("/small/third", "big")
        try:
            await site.apply(1, "one", *(act("file", path=path, source=source) for path, source in places))
        except OSError as error:
            print(os.strerror(error.errno))
        await site.revert(1, "one")
        assert snapshot(site.top) == before

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounts are root's")
@pytest.mark.parametrize(("options", "said"), [("size=1m", "No space left"), ("size=1m,ro", "Read-only file system")])
def test_a_real_disk_that_fills_or_can_not_be_written(tmp_path: Path, options: str, said: str) -> None:
    path = os.pathsep.join([str(ROOT), *(str(ROOT / room) for room in ("protocol", "endpoint"))])
    command = ["unshare", "--mount", sys.executable, "-c", textwrap.dedent(SMALL), str(tmp_path), options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    if "unshare failed" in ran.stderr or "mount:" in ran.stderr:
        pytest.skip("no namespaces here")
    assert ran.returncode == 0, ran.stderr
    assert said in ran.stdout


async def test_where_no_second_name_can_be_had_a_copy_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **more: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    async with lab(tmp_path) as site:
        site.files("one", {"a": b"A"})
        (site.top / "x").write_bytes(b"mine")
        (site.top / "x").chmod(0o604)
        os.utime(site.top / "x", ns=(1, 1_000_000_007))
        before = snapshot(site.top)
        monkeypatch.setattr(changes.os, "link", refuse)
        await site.settled(1, "one", act("file", path="/x", source="a"))
        assert (site.top / "x").read_bytes() == b"A"
        await site.settled(2, "one")
        assert snapshot(site.top) == before


async def test_what_somebody_changed_after_us_stays_when_it_goes_back(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        site.files("one", {"a": b"A"})
        await site.apply(1, "one", act("file", path="/x", source="a"))
        (site.top / "x").write_bytes(b"changed meanwhile")
        done = await site.revert(1, "one")
        assert "kept as x.tiercast-old" in done.actions[0].did
        assert not (site.top / "x").exists()
        assert (site.top / "x.tiercast-old").read_bytes() == b"changed meanwhile"


async def test_many_files_at_once(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        site.files("one", {f"d/{n % 7}/{n}": str(n).encode() for n in range(300)})
        await site.settled(1, "one", act("files", path="/usr/lib/many", source="d"))
        assert sum(1 for _ in (site.top / "usr/lib/many").rglob("*")) == 307
        await site.settled(2, "one")
        assert snapshot(site.top) == {}
