"""Telling the tree: in order, at least once, and never stuck on what can't be told."""

import asyncio
from typing import Any

import pytest

from tiercast_protocol.errors import StoreFull, UsageError
from tiercast_protocol.wire.messages import Dismissed, EnrolReply, TokenIssued
from tiercast_server import handover


async def _put(world: Any, *names: str) -> None:
    async with world.region.db.write() as connection:
        for name in names:
            await handover.put(connection, Dismissed(name=name), cause="c")


async def test_in_order_and_then_forgotten(world: Any) -> None:
    names = [f"n{n}" for n in range(200)]
    await _put(world, *names)
    assert await world.handover.drain() == 200
    assert [message.name for _, message in world.tree.said] == names
    assert await world.handover.drain() == 0


async def test_what_is_undone_is_not_told(world: Any) -> None:
    async def fails() -> None:
        async with world.region.db.write() as connection:
            await handover.put(connection, Dismissed(name="n"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    assert await world.handover.drain() == 0


async def test_a_reply_goes_to_its_receiver(world: Any) -> None:
    async with world.region.db.write() as connection:
        await handover.put(connection, EnrolReply(token_id="x", accepted=False), receiver="join-x")
    await world.handover.drain()
    assert world.tree.said[0][0] == "join-x"


async def test_what_the_tree_refuses_for_good_does_not_block_the_rest(world: Any) -> None:
    refused = UsageError(code="node.unknown", what="gone")

    async def dismiss(message: Dismissed) -> None:
        raise refused

    world.tree.dismiss = dismiss
    await _put(world, "gone")
    async with world.region.db.write() as connection:
        issued = TokenIssued(token_id="x", password_hash="", parent="server", expires=1)
        await handover.put(connection, issued)
    assert await world.handover.drain() == 2
    assert [type(message) for _, message in world.tree.said] == [TokenIssued]


async def test_run_tells_as_soon_as_it_is_woken_and_tries_again(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiercast_server.handover._RETRY_S", 0.01)
    told = asyncio.Event()
    fails = iter([StoreFull(1, 0, "disk")])

    async def dismiss(message: Dismissed) -> None:
        error = next(fails, None)
        if error is not None:
            raise error
        told.set()

    world.tree.dismiss = dismiss
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.handover.run())
        await _put(world, "n")
        world.handover.wake()
        await told.wait()
        running.cancel()
