"""Root and lists are asked for with the order, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from tests.support.hop import made_package, order_for, until

from tiercast_gateway.depot.depot import Depot
from tiercast_gateway.depot.heads import Heads
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.fetch import read_root
from tiercast_protocol.wire import codec

KEY = PrivateKey.generate()


def ordered(root: bytes, job: str = "j1", type_: str = "install", **options: str) -> Order:
    order = codec.decode(order_for(KEY, {"pc": b"p" * 32}, root=root, job=job, type_=type_).order, Order)
    return msgspec.structs.replace(order, options={**options})


class Around:
    """What stands around: what was asked, what patches lead to, what is sought below."""

    def __init__(self) -> None:
        self.wanted: dict[bytes, str] = {}
        self.dropped: set[bytes] = set()
        self.patched: set[bytes] = set()
        self.below: set[bytes] = set()

    def want(self, digests: Sequence[bytes], job: str = "") -> None:
        self.wanted.update(dict.fromkeys(digests, job))

    def unwant(self, digests: Sequence[bytes]) -> None:
        self.dropped.update(digests)

    def leads_to(self, root: bytes) -> bool:
        return root in self.patched

    def sought(self, digest: bytes) -> bool:
        return digest in self.below


@asynccontextmanager
async def running(store: DiskStore, db: Database) -> AsyncIterator[tuple[Heads, Depot, Around]]:
    async def nothing_needed() -> set[bytes]:
        return set()

    depot, around = Depot(store, db, needed=nothing_needed), Around()
    heads = Heads(depot, around, around, around)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(heads.run())
        try:
            yield heads, depot, around
        finally:
            task.cancel()


async def test_root_then_lists_and_no_data(store: DiskStore, db: Database) -> None:
    package = made_package(10)
    async with running(store, db) as (heads, depot, around):
        heads.job_changed(ordered(package.root), True)
        await until(lambda: around.wanted == {package.root: "j1"})
        await depot.put(package.root, package.chunks[package.root])
        heads.chunk_arrived(package.root)
        lists = set((await read_root(package.root, depot)).lists)
        await until(lambda: around.wanted.keys() == {package.root, *lists})
        for digest in lists:
            await depot.put(digest, package.chunks[digest])
            heads.chunk_arrived(digest)
        heads.job_changed(ordered(package.root), False)
        assert not around.dropped


async def test_nothing_that_is_held_patched_or_without_content(store: DiskStore, db: Database) -> None:
    held, patched, last = made_package(2), made_package(3), made_package(4)
    async with running(store, db) as (heads, depot, around):
        await depot.put(held.root, held.chunks[held.root])
        around.patched.add(patched.root)
        heads.job_changed(ordered(held.root, "j1"), True)
        heads.job_changed(ordered(patched.root, "j2"), True)
        heads.job_changed(ordered(b"", "j3", "remove"), True)
        heads.job_changed(ordered(last.root, "j4"), True)
        await until(lambda: around.wanted == {last.root: "j4"})


async def test_what_may_never_be_wanted_below_is_not_fetched_ahead(store: DiskStore, db: Database) -> None:
    async with running(store, db) as (heads, _, around):
        heads.job_changed(ordered(b"a" * 32, type_="offer"), True)
        heads.job_changed(ordered(b"b" * 32, condition="cpus > 1"), True)
        heads.job_changed(ordered(b"c" * 32, package_requires="base"), True)
        heads.job_changed(ordered(b"d" * 32, priority="3"), True)
        await until(lambda: around.wanted == {b"d" * 32: "j1"})


async def test_a_job_that_is_over_wants_nothing_but_what_is_sought_below(store: DiskStore, db: Database) -> None:
    one, other = made_package(2), made_package(3)
    async with running(store, db) as (heads, _, around):
        heads.job_changed(ordered(one.root, "j1"), True)
        heads.job_changed(ordered(other.root, "j2"), True)
        await until(lambda: around.wanted.keys() == {one.root, other.root})
        around.below.add(other.root)
        heads.job_changed(ordered(one.root, "j1"), False)
        heads.job_changed(ordered(other.root, "j2"), False)
        assert around.dropped == {one.root}
