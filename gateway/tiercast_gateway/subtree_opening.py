"""A sub-tree from its state folder: database, depot, broker and ledger are opened, and closed again in reverse.

Rules
- It knows all that it knew before the first message comes; nothing of it goes on after the context.
- What goes wrong within the context is raised as it is, not wrapped into a group.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tiercast_gateway.above import Above
from tiercast_gateway.subtree import SubTree
from tiercast_gateway.subtree_config import SubTreeConfig
from tiercast_gateway.tables import SCHEMA
from tiercast_protocol.node.brokers import open_broker
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.fetch import Fetcher
from tiercast_protocol.node.ledger import open_ledger


@asynccontextmanager
async def open_subtree(
    config: SubTreeConfig, above: Above, *, fetcher: Fetcher | None = None
) -> AsyncIterator[SubTree]:
    """The sub-tree of one node, running; everything of it ends with the context.

    Args:
        config: what it needs to know.
        above: the parent, or the region.
        fetcher: brings chunks for this node's own preload; None where it can't be ordered to (the server).

    Raises:
        StateError: the state folder is damaged, or of a newer version.
        UsageError: the broker can't be started as configured.
    """
    async with AsyncExitStack() as stack:
        config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = await stack.enter_async_context(Database.open(config.folder / "node.db", SCHEMA))
        store = await stack.enter_async_context(
            DiskStore.open(config.folder / "depot", quota=config.quota, reserve=config.reserve)
        )
        broker = await stack.enter_async_context(
            open_broker(config.broker, folder=config.folder / "broker", region=config.region, owner=config.me)
        )
        ledger = await stack.enter_async_context(open_ledger(config.folder))
        subtree = SubTree(config, above, broker=broker, db=db, store=store, fetcher=fetcher, ledger=ledger)
        above.attach(subtree)
        await subtree.load()
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(subtree.run())
            try:
                yield subtree
            except Exception as error:  # noqa: BLE001 - raised below, bare: the group would wrap it
                failure = error
            finally:
                running.cancel()
        if failure is not None:
            raise failure
