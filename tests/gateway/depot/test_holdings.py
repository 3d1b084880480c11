"""How much of a package is here, while it comes in any order."""

from __future__ import annotations

import asyncio
import random

from tests.support.hop import chunks, made_package, until

from tiercast_gateway.depot.depot import Depot
from tiercast_gateway.depot.holdings import Holdings
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database


async def nothing_needed() -> set[bytes]:
    return set()


async def test_bytes_are_counted_as_chunks_come_in_any_order(store: DiskStore, db: Database) -> None:
    package, depot = made_package(20), Depot(store, db, needed=nothing_needed)
    told: list[bytes] = []
    holdings = Holdings(depot, told.append)
    order = list(package.chunks.items())
    random.Random(4).shuffle(order)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(holdings.run())
        holdings.follow(package.root)
        for digest, stored in order:
            await depot.put(digest, stored)
            holdings.chunk_arrived(digest)
        holding = holdings.get(package.root)
        assert holding is not None
        await until(lambda: holding.complete)
        assert (holding.done, holding.total) == (package.size, package.size)
        assert told
        holdings.leave(package.root)
        assert holdings.get(package.root) is None
        running.cancel()


async def test_what_is_here_already_is_found_and_what_is_no_package_is_passed_over(
    store: DiskStore, db: Database
) -> None:
    package, depot, junk = made_package(5), Depot(store, db, needed=nothing_needed), chunks(1)
    holdings = Holdings(depot, lambda _root: None)
    for digest, stored in (package.chunks | junk).items():
        await depot.put(digest, stored)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(holdings.run())
        for root in (*junk, package.root):
            holdings.follow(root)
        holding = holdings.get(package.root)
        assert holding is not None
        await until(lambda: holding.complete)
        running.cancel()
