"""What steps do when the disk, the package or a neighbour is not as it should be."""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.endpoint.lab import Agent, Region, agent_over, pack

from tiercast_endpoint.jobs.install import Snapshot, Step, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.programs import identity_of
from tiercast_endpoint.jobs.steps import Steps, same_file_system
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.assemble import Assembler
from tiercast_endpoint.trees.materials import Limits
from tiercast_endpoint.trees.treewriter import TreeWriter
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.content.sealed.chunk import seal

BIG = os.urandom(300_000)
FILES: dict[str, bytes | str | None] = {"big": BIG, "small": b"small"}


async def test_a_full_disk_while_assembling_leaves_what_was_fetched(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = pack("hello", "1.0", FILES)
    agent.offer(one)

    def full(self: TreeWriter, *_file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for way in ("add_file", "begin_file"):  # in one go, or as the chunks come
        monkeypatch.setattr(TreeWriter, way, full)
    record = await agent.do("j1", "install", one)
    assert record.code == "disk.full"
    assert "bytes are free" in record.detail
    left = [Path(tree.tree).name for tree in await agent.db.read(holdings.partial_trees)]
    assert [path.name for path in (agent.root.path / ".staging").iterdir()] == left
    assert agent.tree("hello") is None
    monkeypatch.undo()
    agent.fetcher.fetched.clear()
    assert (await agent.do("j2", "install", one)).state == "done"
    assert agent.fetcher.fetched == [], "what was staged is not fetched again"


async def test_staged_means_synced_and_indexed(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pack("hello", "1.0", FILES)
    agent.offer(one)
    pending: list[int] = []
    end = Assembler.end

    async def ended(self: Assembler) -> None:
        pending.append(len(agent.store._sections.pending))
        await end(self)

    monkeypatch.setattr(Assembler, "end", ended)
    assert (await agent.do("j1", "install", one)).state == "done"
    assert pending == [0]


async def test_content_that_is_not_what_the_order_says(agent: Agent) -> None:
    one = pack("hello", "1.0", FILES)
    other = pack("other", "1.0", FILES)
    agent.offer(one, other)
    other.root = one.root
    record = await agent.do("j1", "install", other)
    assert (record.state, record.code) == ("failed", "order.mismatch")


async def test_a_root_that_is_none(agent: Agent) -> None:
    one = pack("hello", "1.0", FILES)
    digest, stored = seal(b"no root")
    agent.fetcher.chunks[digest] = stored
    one.root = digest
    record = await agent.do("j1", "install", one)
    assert (record.state, record.code) == ("failed", "package.invalid")


async def test_no_older_version_is_kept_when_nobody_wants_it(tmp_path: Path, region: Region) -> None:
    one, two = pack("hello", "1.0", FILES), pack("hello", "2.0", FILES | {"new": b"new"})
    chunks = one.chunks | two.chunks
    async with agent_over(tmp_path / "a", region, limits=Limits(0, keep_previous=False), chunks=chunks) as agent:
        await agent.do("j1", "install", one)
        await agent.do("j2", "install", two)
        assert len(agent.root.trees()) == 1
        (tree,) = await agent.db.read(holdings.trees)
        assert tree.version == "2.0"


async def test_a_program_that_can_not_be_started_and_one_that_hangs(agent: Agent) -> None:
    none = pack("a", "1.0", FILES, run_before=Program(("./none.sh",)))
    hang = pack("b", "1.0", {"h.sh": b"#!/bin/sh\nsleep 1000\n"}, run_after=Program(("./h.sh",), timeout_s=1))
    agent.offer(none, hang)
    assert (await agent.do("j1", "install", none)).code == "program.start"
    record = await agent.do("j2", "install", hang)
    assert record.code == "program.timeout"
    assert agent.receipt(record).programs[0].timed_out
    assert agent.tree("b") is None
    assert agent.root.trees() == [tree.tree for tree in await agent.db.read(holdings.partial_trees)]


async def test_a_program_begins_nothing_before_the_journal_names_it(
    tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()

    async def never(_steps: Steps, _job: Job, _pid: int) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Steps, "_started", never)
    ran = tmp_path / "ran"
    program = Program(("./r.sh",), timeout_s=60)
    one = pack("a", "1.0", {"r.sh": b"#!/bin/sh\ntouch '%s'\n" % str(ran).encode()}, run_after=program)
    async with agent_over(tmp_path / "agent", region, chunks=one.chunks) as agent:
        await agent.order(region.order("j1", "install", one))
        async with asyncio.timeout(60):
            await reached.wait()
    monkeypatch.undo()
    async with agent_over(tmp_path / "agent", region, chunks=one.chunks) as agent:
        assert (await agent.ended("j1")).state == "interrupted"
    assert not ran.exists(), "what the journal does not name did not run"


async def test_a_program_that_a_crash_left_running_is_ended_before_it_is_run_again(agent: Agent) -> None:
    one = pack("a", "1.0", {"r.sh": b"#!/bin/sh\nexit 0\n"}, run_after=Program(("./r.sh",), idempotent=True))
    agent.offer(one)
    await agent.do("j1", "install", one)
    left = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    job = await agent.row("j1")
    again = replace(job, running=identity_of(left.pid), snapshot=Snapshot("install", Step.AFTER))
    _, event = await agent.steps.perform(again, Step.AFTER, lambda _done, _total: None)
    assert not isinstance(event, StepFailed)
    async with asyncio.timeout(60):
        assert await left.wait() == -9


async def test_our_own_mistake_ends_the_job_and_says_so(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pack("hello", "1.0", FILES)
    agent.offer(one)

    def broken(key: str) -> Path:
        raise RuntimeError("oh")

    monkeypatch.setattr(agent.root, "fresh_staging", broken)
    record = await agent.do("j1", "install", one)
    assert (record.state, record.code) == ("failed", "agent.bug")


def test_one_file_system(tmp_path: Path) -> None:
    assert same_file_system(tmp_path, tmp_path)
    assert not same_file_system(tmp_path, Path("/proc"))
