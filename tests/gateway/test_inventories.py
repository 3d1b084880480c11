"""Inventories are kept, the newest stands, and goes up once, in company."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.hop import FakeAbove, until

from tiercast_gateway.inventories import Inventories
from tiercast_gateway.routes import Routes
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.facts import Inventories as Said
from tiercast_protocol.wire.facts import InventoryEntry


def entry(seq: int, node: str = "pc", generation: int = 1, size: int = 3, *, urgent: bool = False) -> InventoryEntry:
    data = b"d" * size
    return InventoryEntry(node=node, generation=generation, seq=seq, data=data, signature=b"s", urgent=urgent)


def said(above: FakeAbove) -> list[list[InventoryEntry]]:
    return [message.entries for message, _ in above.said if isinstance(message, Said)]


@asynccontextmanager
async def running(db: Database, above: FakeAbove, gather: float = 0.05, busy: float = 0) -> AsyncIterator[Inventories]:
    routes = Routes(db)
    for node in ("pc", "pc2", "site"):
        await routes.learn(node, "site")
    inventories = Inventories(db, above, routes, gather, busy)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(inventories.run())
        try:
            yield inventories
        finally:
            task.cancel()


async def test_what_comes_closely_goes_up_together_and_once(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above, 0.2) as inventories:
        for one in (entry(2), entry(1), entry(3, "pc2"), entry(2)):
            await inventories.take("site", Said(entries=[one]))
        await until(lambda: bool(above.said))
        assert said(above) == [[entry(2), entry(3, "pc2")]]
        await inventories.take("site", Said(entries=[entry(2), entry(1, generation=2)]))
        await until(lambda: len(above.said) > 1)
        assert said(above)[1:] == [[entry(1, generation=2)]]


async def test_strangers_and_nonsense_are_dropped(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above) as inventories:
        wrong = [entry(1), entry(-1, "other"), entry(1, "other", size=600_000), entry(1 << 60, "other")]
        await inventories.take("other", Said(entries=[*wrong, entry(5, "other")]))
        await until(lambda: bool(above.said))
        assert said(above) == [[entry(5, "other")]]


async def test_what_was_not_told_before_a_stop_is_told_after_it(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above, 60) as inventories:
        await inventories.take("site", Said(entries=[entry(1)]))
    assert above.said == []
    async with running(db, above) as inventories:
        await until(lambda: said(above) == [[entry(1)]])
        await inventories.tell_again(["pc"])
        await until(lambda: said(above) == [[entry(1)]] * 2)
        await inventories.forget(["pc"])
        await inventories.take("site", Said(entries=[entry(1, "pc2")]))
        await inventories.tell_again()
        await until(lambda: said(above)[2:] == [[entry(1, "pc2")]])


async def test_a_message_is_never_too_large(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above, 0.2) as inventories:
        await inventories.take("site", Said(entries=[entry(1, node, size=60_000) for node in ("pc", "pc2", "site")]))
        await inventories.take("a", Said(entries=[entry(1, "a", size=60_000)]))
        await inventories.take("b", Said(entries=[entry(1, "b", size=60_000)]))
        await until(lambda: sum(map(len, said(above))) == 5)
        assert [len(entries) for entries in said(above)] == [4, 1]


async def test_while_many_come_few_messages_go(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above, 0.01, busy=0.5) as inventories:
        begin = time.monotonic()
        for seq in range(1, 10_000):
            await inventories.take("site", Said(entries=[entry(seq)]))
            if len(above.said) == 3:
                break
        assert time.monotonic() - begin >= 1.0, "the first at once, the others half a second apart"


async def test_what_somebody_waits_for_goes_at_once_at_every_tier(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above, 30, busy=60) as inventories:
        await inventories.take("site", Said(entries=[entry(1)]))
        await inventories.take("site", Said(entries=[entry(1, "pc2", urgent=True)]))
        await until(lambda: bool(above.said))
        assert said(above) == [[entry(1), entry(1, "pc2", urgent=True)]]
        await inventories.take("site", Said(entries=[entry(2, urgent=True)]))
        await until(lambda: len(above.said) > 1)
        assert said(above)[1:] == [[entry(2, urgent=True)]]
