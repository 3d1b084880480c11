"""Disks that are too small, read-only or mounted where a package wants to be: a clear code, and the old version stands.

Rules
- Small file systems of their own are mounted in memory below the test's folder, and gone after it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.crash.stories import in_steps, machine
from tests.endpoint.acting.site import act
from tests.endpoint.lab import Agent, Region, agent_over, pack

from tiercast_endpoint.jobs.journal import Job
from tiercast_protocol.content.package import phases
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import StoreFull

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")

ONE = pack("app", "1", {"f": b"one", "conf": b"old"}, action=(act("file", path="/etc/app.conf", source="conf"),))
BIG = pack(
    "app",
    "2",
    {"f": b"two", "conf": b"new", "share": None, **{f"share/{n:03}": os.urandom(8000) for n in range(40)}},
    action=(
        act("file", path="/etc/app.conf", source="conf"),
        act("files", path="/usr/share/app", source="share"),
    ),
)


ENDS = {phases.COMMITTED, "disk.full"}


@pytest.fixture(name="region")
def _region() -> Region:
    return Region(PrivateKey.generate(), PrivateKey.generate())


@contextmanager
def mounted(at: Path, size: str) -> Iterator[Path]:
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def remount(at: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(at)], check=True)


async def test_a_disk_that_fills_while_files_are_placed(tmp_path: Path, region: Region) -> None:
    chunks = {**ONE.chunks, **BIG.chunks}
    with mounted(tmp_path / "agent/prefix", "200k") as prefix:
        async with agent_over(tmp_path / "agent", region, chunks=chunks) as agent:
            assert (await agent.do("j1", "install", ONE)).state == "done"
            before = machine(tmp_path)
            record = await agent.do("j2", "install", BIG)
            assert (record.state, record.code) == ("failed", "disk.full"), record
            assert machine(tmp_path) == before
            assert agent.tree("app") == ONE.files
            remount(prefix, "size=4m")
            assert (await agent.do("j3", "install", BIG)).state == "done"
            assert len(machine(tmp_path)) > len(before) + 40


@pytest.mark.parametrize("which", ["prefix", "root"])
async def test_a_disk_that_becomes_read_only(tmp_path: Path, region: Region, which: str) -> None:
    chunks = {**ONE.chunks, **BIG.chunks}
    with mounted(tmp_path / "agent" / which, "16m") as disk:
        async with agent_over(tmp_path / "agent", region, chunks=chunks) as agent:
            assert (await agent.do("j1", "install", ONE)).state == "done"
            before = machine(tmp_path)
            remount(disk, "ro")
            record = await agent.do("j2", "install", BIG)
            assert (record.state, record.code) in {("failed", "disk.error"), ("failed", "undo.failed")}, record
            assert "Read-only" in record.detail
            assert agent.tree("app") == ONE.files
            assert machine(tmp_path) == before
            remount(disk, "rw")
            assert (await agent.do("j3", "install", BIG)).state == "done"
            assert agent.tree("app") == BIG.files


async def test_a_disk_that_fills_while_the_tree_is_built(tmp_path: Path, region: Region) -> None:
    chunks = {**ONE.chunks, **BIG.chunks}
    with mounted(tmp_path / "agent/root", "300k") as disk:
        async with agent_over(tmp_path / "agent", region, chunks=chunks) as agent:
            assert (await agent.do("j1", "install", ONE)).state == "done"
            record = await agent.do("j2", "install", BIG)
            assert (record.state, record.code) in {("failed", "disk.short"), ("failed", "disk.full")}, record
            assert "free" in record.detail
            assert agent.tree("app") == ONE.files
            remount(disk, "size=4m")
            assert (await agent.do("j3", "install", BIG)).state == "done"


async def test_a_mount_and_a_link_where_a_package_wants_to_be(tmp_path: Path, region: Region) -> None:
    chunks = {**ONE.chunks, **BIG.chunks}
    outside = tmp_path / "outside"
    outside.mkdir()
    async with agent_over(tmp_path / "agent", region, chunks=chunks) as agent:
        prefix = tmp_path / "agent/prefix"
        (prefix / "usr").symlink_to(outside)
        before = machine(tmp_path)
        record = await agent.do("j1", "install", BIG)
        assert (record.state, record.code) == ("failed", "path.link"), record
        assert "/usr" in record.detail
        assert machine(tmp_path) == before
        assert list(outside.iterdir()) == []
        assert agent.tree("app") is None
        (prefix / "usr").unlink()
        (prefix / "etc").mkdir()
        (prefix / "etc/app.conf").mkdir()
        with mounted(prefix / "etc/app.conf", "16k"):
            record = await agent.do("j2", "install", ONE)
            assert (record.state, record.code) == ("failed", "path.mount"), record
            assert "/etc/app.conf" in record.detail


@pytest.mark.parametrize("left", [0, 40_000, 120_000, 240_000])
async def test_a_disk_that_fills_between_prepare_and_commit(tmp_path: Path, region: Region, left: int) -> None:
    """Tree, placed files, what is kept and the journal are on one disk, which has `left` bytes when it is to commit."""
    chunks = {**ONE.chunks, **BIG.chunks}
    with mounted(tmp_path / "agent", "6m") as disk:
        async with agent_over(tmp_path / "agent", region, chunks=chunks) as agent:
            assert (await agent.do("j1", "install", ONE)).state == "done"
            before = machine(tmp_path)
            prepare, commit, accept = in_steps(region, BIG, "prepare", "commit", "accept")
            await agent.order(prepare)
            await until(agent, lambda row: row.code == phases.PREPARED)
            assert machine(tmp_path) == before, "prepared is nothing changed"
            filler = fill(disk, left)
            # A journal without room takes no order: the parent repeats it, as it does here below.
            with suppress(StoreFull):
                await agent.order(commit)
                await until(
                    agent, lambda row: row.code in ENDS or any(run.no_room for run in agent.jobs.looks().values())
                )
            filler.unlink()
            await agent.order(commit)
            row = await until(agent, lambda row: row.code in ENDS)
            if row.finished:
                assert (row.state, row.code) == ("failed", "disk.full")
                assert machine(tmp_path) == before
                assert agent.tree("app") == ONE.files
                assert (await agent.do("j3", "install", BIG)).state == "done"
            else:
                await agent.order(accept)
                await until(agent, lambda row: bool(row.finished))
                assert (await agent.row("j")).state == "done"
            assert agent.tree("app") == BIG.files
            assert len(machine(tmp_path)) > len(before) + 40


def fill(disk: Path, left: int) -> Path:
    """A file that takes all room but `left` bytes."""
    filler = disk / "filler"
    with filler.open("wb") as opened:
        while True:
            state = os.statvfs(disk)
            free = state.f_bavail * state.f_frsize - left
            if free <= 0:
                return filler
            try:
                opened.write(bytes(min(free, 1 << 20)))
                opened.flush()
            except OSError:
                return filler


async def until(agent: Agent, reached: Callable[[Job], bool]) -> Job:
    """The job's row, once it is so far."""
    async with asyncio.timeout(60):
        while not reached(row := await agent.row("j")):  # noqa: ASYNC110 - its row is looked up
            await asyncio.sleep(0.01)
    return row
