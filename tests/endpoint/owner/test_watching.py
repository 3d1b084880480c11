"""The owner looks on: history in words, and a line per change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.endpoint.lab import Agent, pack

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer

HELLO = pack("hello", "1.0", {"a": b"a" * 1000})
TOOL = pack("tool", "2.1", {"b": b"b"})


async def test_a_history_tells_what_came_and_what_became_of_it(agent: Agent) -> None:
    agent.offer(HELLO, TOOL)
    await agent.do("j1", "install", HELLO)
    await agent.order(agent.region.order("j2", "offer", TOOL))
    await agent.owner("owner.decline", job="j2")
    await agent.ended("j2")
    newest, oldest = await agent.owner("owner.history")
    assert (newest["job"], newest["code"], newest["says"]) == ("j2", "offer.declined", "Declined by alice.")
    assert (oldest["package"], oldest["state"]) == ("hello", "done")
    assert [row["job"] for row in await agent.owner("owner.history", package="hello")] == ["j1"]
    assert await agent.owner("owner.history", since=newest["finished"]) == []
    with pytest.raises(UsageError):
        await agent.owner("owner.history", most=0)


async def test_who_watches_sees_what_is_open_and_then_every_change(agent: Agent) -> None:
    agent.offer(HELLO)
    await agent.order(agent.region.order("j1", "offer", HELLO))
    records = agent.post.records
    async with asyncio.timeout(60), agent.post.final:
        await agent.post.final.wait_for(lambda: bool(records) and records[-1].code == "offer.open")
    call = Call("owner.watch", {}, Peer(1, 1000, 1000), "viewer", "alice", "cause")
    handler: Any = agent.verbs.named("owner.watch").handler
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        async for event in handler(call):
            seen.append(event)
            if event.get("present"):
                await agent.owner("owner.accept", job="j1")
            if event["event"] == "ended":
                break
    first = seen[0]
    assert (first["event"], first["job"], first["says"]) == ("offered", "j1", "offered: the owner has not chosen yet")
    assert "chosen" in [event["event"] for event in seen]
    assert (seen[-1]["job"], seen[-1]["state"]) == ("j1", "done")
