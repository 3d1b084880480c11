"""Two phases on a machine's disk, by one process and by two halves: what stands, and what is said to be installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.endpoint.lab import Agent, Content, Package, Region, agent_over, pack
from tests.endpoint.two import root_half

from tiercast_endpoint.trees import holdings

OLD, NEW, LATER = (pack("app", str(n), {"f": b"version %d " % n * 20}) for n in (1, 2, 3))


@pytest.fixture(params=["one process", "two halves"])
async def agent(request: pytest.FixtureRequest, tmp_path: Path, region: Region) -> AsyncIterator[Agent]:
    async with AsyncExitStack() as stack:
        path = None
        if request.param == "two halves":
            path = (await stack.enter_async_context(root_half(tmp_path, region))).path
        found = await stack.enter_async_context(agent_over(tmp_path / "agent", region, root_half=path))
        found.offer(OLD, NEW, LATER)
        assert (await found.do("j1", "install", OLD)).state == "done"
        yield found


async def order(agent: Agent, step: str, revision: int, package: Package = NEW) -> None:
    options: dict[str, str | int | bool] = {"two_phase": True, **({"step": step} if step else {})}
    await agent.order(agent.region.order("j2", "install", package, revision=revision, options=options))


async def says(agent: Agent, code: str, revision: int = 1) -> None:
    async with asyncio.timeout(60):
        while (await agent.row("j2", revision)).code != code:  # noqa: ASYNC110 - a row of its journal
            await asyncio.sleep(0.01)


async def stands(agent: Agent) -> tuple[Content | None, list[str]]:
    return agent.tree("app"), [one.version for one in await agent.db.read(holdings.installed)]


async def test_prepared_committed_and_accepted(agent: Agent) -> None:
    await order(agent, "", 1)
    await says(agent, "commit.waits")
    assert await stands(agent) == (OLD.files, ["1"])
    await order(agent, "commit", 2)
    await order(agent, "commit", 2)
    await says(agent, "accept.waits")
    assert await stands(agent) == (NEW.files, ["2"])
    await order(agent, "accept", 3)
    record = await agent.ended("j2", 3)
    assert (record.state, record.code) == ("done", "")
    assert agent.receipt(record).revision == 3
    assert await stands(agent) == (NEW.files, ["2"])
    assert [tree.version for tree in await agent.db.read(lambda c: holdings.trees(c, "app"))] == ["2"], (
        "the old one went"
    )


async def test_committed_and_undone(agent: Agent) -> None:
    await order(agent, "", 1)
    await order(agent, "commit", 2)
    await says(agent, "accept.waits")
    fetched = len(agent.fetcher.fetched)
    await order(agent, "undo", 3)
    record = await agent.ended("j2", 3)
    assert (record.state, record.code) == ("cancelled", "undone")
    assert await stands(agent) == (OLD.files, ["1"])
    assert len(agent.fetcher.fetched) == fetched
    await order(agent, "commit", 4)
    record = await agent.ended("j2", 4)
    assert (record.state, record.code) == ("cancelled", "undone"), "never after an undo that was acknowledged"
    assert await stands(agent) == (OLD.files, ["1"])


async def test_undone_before_it_was_committed(agent: Agent) -> None:
    await order(agent, "", 1)
    await says(agent, "commit.waits")
    await order(agent, "undo", 2)
    assert (await agent.ended("j2", 2)).code == "undone"
    assert await stands(agent) == (OLD.files, ["1"])


@pytest.mark.parametrize("step", ["accept", "undo"])
async def test_what_another_job_put_there_meanwhile_is_left(agent: Agent, step: str) -> None:
    await order(agent, "commit", 2)
    await says(agent, "accept.waits", 2)  # one that never heard of it does all of it
    assert (await agent.do("j3", "install", LATER)).state == "done"
    await order(agent, step, 3)
    record = await agent.ended("j2", 3)
    assert (record.state, record.code) == ("done", "superseded")
    assert await stands(agent) == (LATER.files, ["3"])
