"""One job as an actor: what is durable is not fetched again, and a full disk holds it (kills: crash/test_kills.py)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint.lab import Region, agent_over, pack

from tiercast_endpoint.jobs import run
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.database import Database

ONE = pack("hello", "1.0", {"a": None, "a/big": os.urandom(200_000), "a/small": b"one", "l": "a/big"})


async def test_no_chunk_of_a_durable_section_is_fetched_again(tmp_path: Path, region: Region) -> None:
    async with agent_over(tmp_path / "agent", region) as agent:
        await agent.store.put_many(list(ONE.chunks.items()))
        await agent.store.sync()
        assert (await agent.do("j1", "install", ONE)).state == "done"
        assert agent.fetcher.fetched == []


async def test_a_full_disk_holds_the_journal_and_then_goes_on(
    tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ROOM_AGAIN_S", 0.01)
    refusals = iter([StoreFull(1, 0, "disk")] * 3)
    async with agent_over(tmp_path / "agent", region, chunks=ONE.chunks) as agent:
        write = Database.write

        async def sometimes(self: Database, unit: Any) -> object:
            if self is agent.db and "save_step" in unit.__code__.co_names:
                for error in refusals:
                    raise error
            return await write(self, unit)

        monkeypatch.setattr(Database, "write", sometimes)
        assert (await agent.do("j1", "install", ONE)).state == "done"
    assert next(refusals, None) is None
