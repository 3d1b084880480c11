"""An agent is killed at instants of an installation: what it finds is all-new or all-old, and nothing runs twice."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.endpoint.lab import ME, Package, Region, agent_over, pack

from tiercast_endpoint import holdings, run
from tiercast_protocol.content.order import Order
from tiercast_protocol.content.programs import Program
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.database import Database

REPOSITORY = Path(__file__).parents[2]
BIG = random.Random(5).randbytes(200_000)


def versions(folder: Path) -> tuple[Package, Package]:
    """Two versions whose programs write down that they ran, outside of their trees."""
    log = str(folder / "ran").encode()
    files = {"a": None, "a/big": BIG, "a/small": b"one", "l": "a/big"}
    before = b"#!/bin/sh\necho before >> " + log + b"\n"
    after = b"#!/bin/sh\necho after >> " + log + b"\n"
    one = pack("hello", "1.0", files)
    two = pack(
        "hello",
        "2.0",
        files | {"a/small": b"two", "b": None, "b/before.sh": before, "b/after.sh": after},
        run_before=Program(("./b/before.sh",), idempotent=True),
        run_after=Program(("./b/after.sh",)),
    )
    return one, two


async def prepare(folder: Path, region: Region) -> tuple[Package, Package, Order]:
    """An agent with the first version, and the order for the second."""
    folder.mkdir()
    one, two = versions(folder)
    async with agent_over(folder / "agent", region, chunks=one.chunks) as agent:
        assert (await agent.do("j1", "install", one)).state == "done"
    order = region.order("j2", "install", two)
    (folder / "order.pickle").write_bytes(pickle.dumps((region, two.chunks, order)))
    return one, two, order


def live(folder: Path, fatal: int, kind: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.endpoint.crash_child", str(folder), str(fatal), kind],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": ":".join([str(REPOSITORY), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def shown(folder: Path) -> dict[str, bytes | str | None]:
    """What a reader of the package's name sees."""
    top = (folder / "agent" / "root" / "hello").resolve(strict=True)
    return {
        str(p.relative_to(top)): str(p.readlink()) if p.is_symlink() else p.read_bytes() if p.is_file() else None
        for p in sorted(top.rglob("*"))
    }


@pytest.mark.parametrize("kind", ["moments", "changes"])
async def test_a_kill_at_any_instant_leaves_all_new_or_all_old(tmp_path: Path, region: Region, kind: str) -> None:
    whole = tmp_path / "whole"
    await prepare(whole, region)
    ran = live(whole, 0, kind)
    assert ran.returncode == 0, ran.stderr
    instants = int(ran.stdout.splitlines()[-1])
    assert instants > 10
    chosen = sorted(random.Random(kind).sample(range(1, instants + 1), 10))
    outcomes: list[str] = []
    for fatal in chosen:
        folder = tmp_path / f"{kind}{fatal}"
        one, two, order = await prepare(folder, region)
        assert live(folder, fatal, kind).returncode == -signal.SIGKILL
        assert shown(folder) in (one.files, two.files), f"half a version after instant {fatal}"
        async with agent_over(folder / "agent", region, chunks=two.chunks) as agent:
            # The parent repeats what was not acknowledged; the agent may know the order or not.
            await agent.order(order)
            record = await agent.ended("j2")
            outcomes.append(record.state)
            receipt = agent.receipt(record)
            assert (receipt.node, receipt.state) == (ME, record.state)
            assert agent.tree("hello") == (two.files if record.state == "done" else one.files)
            assert record.state in {"done", "interrupted"}
            known = [*await agent.db.read(holdings.trees), *await agent.db.read(holdings.partial_trees)]
            staged = {f".staging/{path.name}" for path in (agent.root.path / ".staging").iterdir()}
            assert {t.tree for t in known} == set(agent.root.trees()) | staged
            assert record.state != "done" or not await agent.db.read(holdings.partial_trees)
        lines = (folder / "ran").read_text().split() if (folder / "ran").exists() else []
        assert lines.count("after") <= 1, "a program that is not idempotent ran twice"
        if record.state == "done":
            assert lines.count("after") == 1
        shutil.rmtree(folder)
    assert "done" in outcomes


async def test_no_chunk_of_a_durable_section_is_fetched_again(tmp_path: Path, region: Region) -> None:
    _, two, order = await prepare(tmp_path / "a", region)
    async with agent_over(tmp_path / "a/agent", region, chunks=two.chunks) as agent:
        for digest, stored in two.chunks.items():
            await agent.store.put(digest, stored)
        await agent.store.sync()
        await agent.order(order)
        await agent.ended("j2")
        assert agent.fetcher.fetched == []


async def test_a_full_disk_holds_the_journal_and_then_goes_on(
    tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = versions(tmp_path)
    monkeypatch.setattr(run, "_ROOM_S", 0.01)
    refusals = iter([StoreFull(1, 0, "disk")] * 3)
    async with agent_over(tmp_path / "agent", region, chunks=one.chunks) as agent:
        write = Database.write

        async def sometimes(self: Database, unit: object) -> object:
            if self is agent.db and "save_step" in unit.__code__.co_names:
                for error in refusals:
                    raise error
            return await write(self, unit)  # type: ignore[arg-type]

        monkeypatch.setattr(Database, "write", sometimes)
        assert (await agent.do("j1", "install", one)).state == "done"
    assert next(refusals, None) is None
