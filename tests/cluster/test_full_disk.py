"""A full disk on each tier: a reason with figures, nothing half done, and on it goes when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import assert_balanced, assert_installed, build, random_tree, running, until
from region import Region

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts small file systems: run scripts/test as root")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, `size` large, at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """Fill the disk of `folder` up to `leave` bytes; the file that does it."""
    filler = folder / "filler"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave))
    return filler


def target(region: Region, job: str) -> dict[str, object]:
    """The one target of a job."""
    found: dict[str, object] = region.cli("job", "show", job)["job"]["targets"][0]
    return found


def test_an_endpoint_without_room_says_how_much_it_lacks(tmp_path: Path) -> None:
    source = random_tree(tmp_path / "big", seed=1, files=20, size=8_000_000)
    with running() as region, small_disk(region.apps("pc-1"), "220m") as disk:
        region.add_server()
        region.add_endpoint("pc-1")
        # What is to stay free, and less than one copy: chunks of large files need no room but their place in the tree.
        filler = fill(disk, (64 << 20) + 6_000_000)
        build(region, source, "big", "1")
        ended = region.cli("job", "install", "big", "--on", "pc-1", "--watch", check=False)["job"]
        assert ended["counts"] == {"failed": 1}
        assert ended["targets"][0]["code"] == "disk.short"
        assert any(ch.isdigit() for ch in ended["targets"][0]["detail"])
        assert not (region.apps("pc-1") / "big").exists()
        filler.unlink()
        assert region.cli("job", "install", "big", "--on", "pc-1", "--watch")["job"]["counts"] == {"done": 1}
        assert_installed(region, ["pc-1"], "big", source)
        assert_balanced(region)


def test_a_gateway_without_room_waits_and_goes_on_when_there_is_some(tmp_path: Path) -> None:
    source = random_tree(tmp_path / "big", seed=2, files=20, size=8_000_000)
    with running() as region, small_disk(region.folder / "gateway", "220m") as disk:
        region.add_server()
        region.add_gateway("gateway")
        region.add_endpoint("pc-1", "gateway")
        filler = fill(disk, 66 << 20)
        build(region, source, "big", "1")
        job = region.cli("job", "install", "big", "--on", "pc-1")["job"]

        def reason() -> bool:
            log = region.daemons["gateway"].log.read_text()
            return "full" in log or "no room" in log

        until(reason, "the gateway says that it is full")
        assert target(region, job)["state"] != "done"
        filler.unlink()
        assert region.cli("job", "watch", job)["job"]["counts"] == {"done": 1}
        assert_installed(region, ["pc-1"], "big", source)
        assert_balanced(region)


def test_a_server_without_room_refuses_the_package_and_keeps_what_came(tmp_path: Path) -> None:
    source = random_tree(tmp_path / "big", seed=3, files=20, size=8_000_000)
    with running() as region, small_disk(region.folder / "server", "220m") as disk:
        region.add_server()
        filler = fill(disk, 66 << 20)
        refused = region.cli("package", "build", str(source), "--name", "big", "--version", "1", check=False)
        assert "room" in refused["error"]["what"], refused
        assert region.cli("package", "list")["packages"] == []
        filler.unlink()
        assert build(region, source, "big", "1")["created"]
