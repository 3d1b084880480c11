"""Trees that are not whole: gone on with, kept as sources, and given up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from tests.endpoint.lab import Agent, Package, Region, agent_over, pack

from tiercast_endpoint.trees import holdings
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node.chunks.port import Taken

BIG = os.urandom(1_500_000)
FILES: dict[str, bytes | str | None] = {"big": BIG, "d": None, "d/small": b"small", "l": "big"}


def large(package: Package, digests: Iterable[bytes]) -> list[bytes]:
    """Those that are chunks of the large file."""
    return [digest for digest in digests if digest in package.data and len(package.chunks[digest]) > 1000]


def cut(package: Package) -> dict[bytes, bytes]:
    """All of its chunks but the last one of the large file."""
    chunks = dict(package.chunks)
    del chunks[large(package, chunks)[-1]]
    return chunks


async def partial(agent: Agent) -> list[str]:
    return [tree.tree for tree in await agent.db.read(holdings.partial_trees)]


async def test_a_job_goes_on_with_what_one_that_failed_left(tmp_path: Path, region: Region) -> None:
    one = pack("app", "1.0", FILES)
    async with agent_over(tmp_path / "a", region, chunks=cut(one)) as agent:
        agent.fetcher.late = set(large(one, one.chunks))
        record = await agent.do("j1", "install", one)
        assert (record.state, record.code) == ("failed", "chunk.missing")
        assert await partial(agent) == [".staging/j1.1"]
        agent.offer(one)
        agent.fetcher.fetched.clear()
        assert (await agent.do("j2", "install", one)).state == "done"
        assert len(large(one, agent.fetcher.fetched)) == 1
        assert agent.tree("app") == FILES
        assert await partial(agent) == []
        assert list((agent.root.path / ".staging").iterdir()) == []


@pytest.mark.parametrize("damage", [False, True])
async def test_another_life_goes_on_with_it(tmp_path: Path, region: Region, *, damage: bool) -> None:
    one = pack("app", "1.0", FILES)
    async with agent_over(tmp_path / "a", region, chunks=cut(one)) as agent:
        agent.fetcher.late = set(large(one, one.chunks))
        await agent.do("j1", "install", one)
    half = tmp_path / "a" / "root" / ".staging" / "j1.1" / "big"
    assert half.exists()
    if damage:
        content = bytearray(half.read_bytes())
        content[7] ^= 1
        half.write_bytes(content)
    async with agent_over(tmp_path / "a", region, chunks=one.chunks) as agent:
        assert (await agent.do("j2", "install", one)).state == "done"
        assert len(large(one, agent.fetcher.fetched)) == 1 + damage, "only what is missing or damaged comes again"
        assert agent.tree("app") == FILES


async def test_a_tree_whose_program_failed_stays_a_source(tmp_path: Path, region: Region) -> None:
    bad = pack("app", "1.0", FILES | {"no.sh": b"#!/bin/sh\nexit 1\n"}, run_before=Program(("./no.sh",)))
    async with agent_over(tmp_path / "a", region, chunks=bad.chunks) as agent:
        assert (await agent.do("j1", "install", bad)).code == "program.failed"
        assert agent.tree("app") is None
        (left,) = await partial(agent)
        assert left.startswith(".trees/app/")
        agent.fetcher.fetched.clear()
        assert (await agent.do("j2", "install", bad)).code == "program.failed"
        assert agent.fetcher.fetched == []
        good = pack("app", "2.0", FILES)
        agent.offer(good)
        assert (await agent.do("j3", "install", good)).state == "done"
        assert await partial(agent) == []
        assert len(agent.root.trees()) == 1


async def test_room_that_is_needed(tmp_path: Path, region: Region) -> None:
    one = pack("app", "1.0", FILES)
    async with agent_over(tmp_path / "a", region, chunks=cut(one)) as agent:
        agent.fetcher.late = set(large(one, one.chunks))
        await agent.do("j1", "install", one)
        assert len(await partial(agent)) == 1
        await agent.materials.evict_unneeded()
        assert await partial(agent) == []
        assert list((agent.root.path / ".staging").iterdir()) == []


async def test_a_cancelled_job_leaves_nothing(tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pack("app", "1.0", FILES)
    async with agent_over(tmp_path / "a", region, chunks=one.chunks) as agent:
        agent.fetcher.late = set(large(one, one.chunks))
        placing, some_came = agent.materials.placing, asyncio.Event()
        put_many = placing.put_many

        async def put_one(chunks: Sequence[tuple[bytes, bytes | memoryview]]) -> list[Taken]:
            taken = await put_many(chunks)
            if placing.held(large(one, one.chunks)):
                agent.fetcher.gate.clear()
                some_came.set()
            return taken

        monkeypatch.setattr(placing, "put_many", put_one)
        await agent.order(region.order("j1", "install", one))
        async with asyncio.timeout(60):
            await some_came.wait()
        await placing.sync()
        assert await agent.db.read(lambda c: holdings.placed_parts(c, ".staging/j1.1"))
        await agent.order(region.order("j1", "cancel", None, revision=2))
        assert (await agent.ended("j1")).state == "cancelled"
        assert await partial(agent) == []
        assert list((agent.root.path / ".staging").iterdir()) == []


async def test_a_kill_between_the_rename_and_the_row(tmp_path: Path, region: Region) -> None:
    one = pack("app", "1.0", FILES)
    async with agent_over(tmp_path / "a", region, chunks=cut(one)) as agent:
        agent.fetcher.late = set(large(one, one.chunks))
        await agent.do("j1", "install", one)
        row = await agent.row("j1")
        await asyncio.to_thread(agent.root.adopt, row.key, "app", one.root)
    async with agent_over(tmp_path / "a", region, chunks=one.chunks) as agent:
        (left,) = await partial(agent)
        assert left.startswith(".trees/app/")
        assert (await agent.do("j2", "install", one)).state == "done"
        assert len(large(one, agent.fetcher.fetched)) == 1
        assert agent.tree("app") == FILES


async def test_rows_without_folders_and_folders_without_rows(tmp_path: Path, region: Region) -> None:
    one = pack("app", "1.0", FILES)
    async with agent_over(tmp_path / "a", region, chunks=cut(one)) as agent:
        agent.fetcher.late = set(large(one, one.chunks))
        await agent.do("j1", "install", one)
        (agent.root.path / ".staging/j1.1").rename(agent.root.path / ".staging/unknown")
    async with agent_over(tmp_path / "a", region) as agent:
        assert await partial(agent) == []
        assert list((agent.root.path / ".staging").iterdir()) == []
        with pytest.raises(ChunkMissing):
            await agent.materials.sources.read(next(iter(one.data)))
