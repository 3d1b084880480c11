"""Where chunks come from, what they need, and when they go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.endpoint.lab import Agent, Region, agent_over, pack

from tiercast_endpoint.jobs.steps import Limits
from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.chunks.port import Taken

BIG = os.urandom(300_000)
FILES: dict[str, bytes | str | None] = {"big": BIG, "small": b"small"}


async def test_a_full_store_is_told_with_figures(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pack("hello", "1.0", FILES)
    agent.offer(one)

    async def full(chunks: Sequence[tuple[bytes, bytes]]) -> list[Taken]:
        return [StoreFull(needed=len(stored), free=12, where="quota") for _, stored in chunks]

    monkeypatch.setattr(agent.store, "put_many", full)
    record = await agent.do("j1", "install", one)
    assert (record.state, record.code) == ("failed", "disk.full")
    assert "12 are free" in record.detail


async def test_chunks_that_nobody_needs_make_room(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pack("hello", "1.0", FILES)
    agent.offer(one)
    digest, stored = seal(os.urandom(1000))
    await agent.store.put(digest, stored)

    def free() -> int:
        return 10_000_000 if agent.store.size(digest) is None else 100_000

    monkeypatch.setattr(agent.root, "free", free)
    assert (await agent.do("j1", "install", one)).state == "done"


async def test_a_chunk_that_nobody_has_and_one_that_comes_late(tmp_path: Path, region: Region) -> None:
    one = pack("hello", "1.0", FILES)
    async with agent_over(tmp_path / "a", region) as agent:
        record = await agent.do("j1", "install", one)
        assert (record.state, record.code) == ("failed", "chunk.missing")
    patient = Limits(reserve=0, ask_again_s=(0.05,) * 100)
    async with agent_over(tmp_path / "b", region, limits=patient) as agent:
        await agent.order(region.order("j1", "install", one))
        async with agent.post.final, asyncio.timeout(60):
            await agent.post.final.wait_for(lambda: any(r.state == "fetching" for r in agent.post.records))
        agent.offer(one)
        assert (await agent.ended("j1")).state == "done"


async def test_a_file_that_was_changed_is_fetched_instead(agent: Agent) -> None:
    one, two = pack("hello", "1.0", FILES), pack("hello", "2.0", FILES | {"new": b"new"})
    agent.offer(one, two)
    await agent.do("j1", "install", one)
    (agent.root.path / "hello/big").write_bytes(b"damaged")
    agent.fetcher.fetched.clear()
    assert (await agent.do("j2", "install", two)).state == "done"
    assert agent.tree("hello") == two.files
    assert set(agent.fetcher.fetched) & one.data


async def test_of_a_package_that_is_here_no_chunk_is_asked_for(agent: Agent) -> None:
    one = pack("hello", "1.0", FILES)
    agent.offer(one)
    for digest, stored in one.chunks.items():
        await agent.store.put(digest, stored)
    asked: list[bytes] = []

    async def fetch(digests: Sequence[bytes], job: str = "") -> None:
        del job
        asked.extend(digests)

    agent.fetcher.fetch = fetch  # type: ignore[method-assign]
    assert (await agent.do("j1", "install", one)).state == "done"
    assert agent.tree("hello") == one.files
    assert not set(asked) & one.data


async def test_chunks_of_a_job_that_failed_stay_for_the_next_try(agent: Agent) -> None:
    one = pack("hello", "1.0", FILES | {"new": os.urandom(70_000)})
    agent.offer(one)
    for digest in sorted(one.data)[:1]:
        del agent.fetcher.chunks[digest]
    assert (await agent.do("j1", "install", one)).code == "chunk.missing"
    held = set(await agent.store.digests())
    assert one.root in held
    agent.offer(one)
    agent.fetcher.fetched.clear()
    assert (await agent.do("j2", "install", one)).state == "done"
    assert not held & set(agent.fetcher.fetched)
