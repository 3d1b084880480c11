"""The network half and the root half together: the stories of one process, told by two."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.endpoint.lab import Agent, Region, agent_over, pack
from tests.endpoint.two import root_half

from tiercast_endpoint.halves import halves
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.trees import holdings
from tiercast_protocol.content.package.actions import argv_text
from tiercast_protocol.content.package.programs import Program

BIG = os.urandom(1_200_000)
FILES: dict[str, bytes | str | None] = {"bin": None, "bin/tool.sh": b"#!/bin/sh\necho $TIERCAST_VERSION\n", "big": BIG}


@pytest.fixture
async def halved(tmp_path: Path, region: Region) -> AsyncIterator[Agent]:
    async with (
        root_half(tmp_path, region) as other,
        agent_over(tmp_path / "agent", region, root_half=other.path) as agent,
    ):
        yield agent


async def test_a_package_is_installed_upgraded_and_removed(halved: Agent) -> None:
    run = Program(argv=("./bin/tool.sh",))
    one = pack("hello", "1.0", FILES, run_after=run)
    two = pack("hello", "2.0", {**FILES, "small": b"new"}, run_before=run, run_after=run)
    halved.offer(one, two)
    record = await halved.do("j1", "install", one)
    assert (record.state, record.code, record.detail) == ("done", "", "")
    assert halved.tree("hello") == FILES
    assert [p.output for p in halved.receipt(record).programs] == ["1.0\n"]
    assert [(i.package, i.version) for i in await halved.db.read(holdings.installed)] == [("hello", "1.0")]

    halved.fetcher.fetched.clear()
    record = await halved.do("j2", "install", two)
    assert record.state == "done", record.detail
    assert halved.tree("hello") == {**FILES, "small": b"new"}
    big = {digest for digest in one.data if len(one.chunks[digest]) > 1000}
    assert not big & set(halved.fetcher.fetched), "what is installed is not fetched again"
    assert [p.output for p in halved.receipt(record).programs] == ["2.0\n", "2.0\n"]

    assert (await halved.do("j3", "install", two)).code == "unchanged"
    assert (await halved.do("j4", "remove", two)).state == "done"
    assert halved.tree("hello") is None
    assert await halved.db.read(holdings.installed) == []
    assert (await halved.do("j5", "remove", two)).code == "absent"


async def test_a_tree_of_many_files_is_written_out_of_borrowed_chunks(halved: Agent) -> None:
    files: dict[str, bytes | str | None] = {f"f{number:03}": b"%d" % number * 50 for number in range(100)}
    one = pack("many", "1.0", files | {"large": os.urandom(600_000)})
    halved.offer(one)
    assert (await halved.do("j1", "install", one)).state == "done"
    assert halved.tree("many") == one.files


async def test_a_file_that_somebody_changed_is_repaired_from_above(halved: Agent) -> None:
    one = pack("hello", "1.0", FILES)
    halved.offer(one)
    assert (await halved.do("j1", "install", one)).state == "done"
    (halved.root.path / "hello" / "big").write_bytes(b"x" * len(BIG))
    record = await halved.do("j2", "repair", one)
    assert record.state == "done", record
    assert halved.tree("hello") == FILES


async def test_the_root_half_compares_what_this_half_may_not_read(
    halved: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = pack("hello", "1.0", FILES)
    halved.offer(one)
    assert (await halved.do("j1", "install", one)).state == "done"

    # as for a user who may not enter the tree: only what is asked over the line counts
    monkeypatch.setattr(halved.root, "current", lambda _package: "")
    record = await halved.do("j2", "verify", one)
    assert (record.state, record.code) == ("done", ""), record.detail
    (halved.root.path / "hello/big").write_bytes(b"x")
    record = await halved.do("j3", "verify", one)
    assert (record.state, record.code) == ("failed", "verify.differs")
    assert "'big'" in record.detail


async def test_a_failed_program_leaves_the_old_version(halved: Agent) -> None:
    one = pack("hello", "1.0", FILES)
    bad = pack("hello", "2.0", {**FILES, "x": b"y"}, run_after=Program(argv=("/bin/false",)))
    halved.offer(one, bad)
    assert (await halved.do("j1", "install", one)).state == "done"
    record = await halved.do("j2", "install", bad)
    assert (record.state, record.code) == ("failed", "program.failed")
    assert halved.tree("hello") == FILES


async def test_a_program_runs_at_the_root_half(halved: Agent) -> None:
    record = await halved.do("j1", "run", None, options={"argv": argv_text(("sh", "-c", "echo hi; exit 3"))})
    assert (record.state, record.code) == ("failed", "program.failed")
    assert [p.output for p in halved.receipt(record).programs] == ["hi\n"]
    assert (await halved.do("j2", "message", None, options={"title": "t", "text": "x"})).state == "done"


async def test_a_shutdown_is_the_root_halfs(tmp_path: Path, region: Region) -> None:
    told = tmp_path / "told"
    shutdown = ("/usr/bin/touch", str(told))
    async with (
        root_half(tmp_path, region, shutdown=shutdown) as other,
        agent_over(tmp_path / "agent", region, root_half=other.path) as agent,
    ):
        record = await agent.do("j1", "shutdown", None)
        assert (record.state, record.detail) == ("done", "The machine was told to shut down.")
    assert told.exists()


async def test_the_root_half_may_end_between_questions_and_come_back(tmp_path: Path, region: Region) -> None:
    one = pack("hello", "1.0", FILES)
    gone = asyncio.Event()

    async def watch(moment: str, step: Step) -> None:
        if (moment, step) == ("recorded", Step.SWITCH):
            gone.set()
            await asyncio.sleep(0)

    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(root_half(tmp_path, region))
        async with agent_over(tmp_path / "agent", region, root_half=first.path, watch=watch) as agent:
            agent.offer(one)
            await agent.order(region.order("j1", "install", one))
            await gone.wait()
            await stack.aclose()
            async with root_half(tmp_path, region):
                assert (await agent.ended("j1")).state == "done"
            assert agent.tree("hello") == FILES


async def test_a_cancel_ends_a_program_at_the_root_half(halved: Agent, tmp_path: Path) -> None:
    one = pack("hello", "1.0", FILES, run_before=Program(argv=("/bin/sh", "-c", f"touch {tmp_path}/runs; sleep 600")))
    halved.offer(one)
    await halved.order(halved.region.order("j1", "install", one))
    await until((tmp_path / "runs").exists)
    await halved.order(halved.region.order("j1", "cancel", one, revision=2, options={"force": True}))
    assert (await halved.ended("j1")).code == "cancel.forced"
    assert halved.tree("hello") is None


async def test_a_long_program_holds_up_no_other_package(halved: Agent, tmp_path: Path) -> None:
    slow = pack("slow", "1.0", FILES, run_before=Program(argv=("/bin/sh", "-c", f"touch {tmp_path}/runs; sleep 600")))
    quick = pack("quick", "1.0", {"a": b"x"})
    halved.offer(slow, quick)
    await halved.order(halved.region.order("j1", "install", slow))
    await until((tmp_path / "runs").exists)
    assert (await halved.do("j2", "install", quick)).state == "done"
    await halved.order(halved.region.order("j1", "cancel", slow, revision=2, options={"force": True}))
    assert (await halved.ended("j1")).code == "cancel.forced"


async def test_a_root_half_that_is_not_there_is_named(
    tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halves, "PATIENCE_S", 0.1)
    monkeypatch.setattr(halves, "AGAIN_S", 0.01)
    one = pack("hello", "1.0", FILES)
    async with agent_over(tmp_path / "agent", region, root_half=tmp_path / "none.sock") as agent:
        agent.offer(one)
        record = await agent.do("j1", "install", one)
    assert (record.state, record.code) == ("failed", "half.away")
    assert "tiercast-root.socket" in record.detail


async def test_the_line_is_closed_when_nobody_asks(halved: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "CLOSE_S", 0.01)
    assert halved.halves is not None
    await halved.halves.ask("installed")
    await until(lambda: halved.halves is not None and halved.halves._line is not None and halved.halves._line.ended)
    await halved.halves.ask("installed")


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - no event for us
            await asyncio.sleep(0.005)
