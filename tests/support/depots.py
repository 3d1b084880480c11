"""A depot of its own, without broker and network, and packages to fill it with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.hop import MadePackage

from tiercast_gateway.depot.depot import Depot
from tiercast_gateway.depot.marks import Marks
from tiercast_gateway.depot.room import nothing_more
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database


@asynccontextmanager
async def opened(
    tmp_path: Path,
    db: Database,
    needed: set[bytes],
    *,
    quota: int | None = None,
    library: bool = False,
    marks: Marks | None = None,
    ballast: int = 0,
    patches: Callable[[bytes], Awaitable[set[bytes]]] = nothing_more,
) -> AsyncIterator[Depot]:
    async def roots() -> set[bytes]:
        return needed

    async with DiskStore.open(tmp_path / "depot", reserve=0, quota=quota, ballast=ballast) as store:
        depot = Depot(store, db, needed=roots, library=library, retention=60.0, marks=marks, patches=patches)
        await depot.load()
        yield depot


async def fill(depot: Depot, package: MadePackage, name: str, asked: int = 0) -> None:
    for digest, stored in package.chunks.items():
        assert await depot.put(digest, stored)
    await depot.know(package.root, name, "1.0", 1)
    known = depot.packages.get(package.root)
    assert known is not None
    known.asked = asked or known.asked


def holds(depot: Depot, package: MadePackage) -> bool:
    found = {depot.size(digest) is not None for digest in package.chunks}
    assert len(found) == 1
    return found.pop()


async def until_told(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Ask every few milliseconds until the answer is yes."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the conditions are asked for, nobody sets an event
            await asyncio.sleep(0.005)
