"""A node's own word on open jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.support.hop import made_package, order_for, until

from tiercast_gateway.depot.depot import Depot
from tiercast_gateway.orders.progress import Progress
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import StatusRecord

KEY = PrivateKey.generate()


def ordered(root: bytes, job: str = "j1", type_: str = "install") -> Order:
    return codec.decode(order_for(KEY, {"pc": b"p" * 32}, root=root, job=job, type_=type_).order, Order)


@asynccontextmanager
async def running(
    store: DiskStore, db: Database, *, silent: bool = False
) -> AsyncIterator[tuple[Progress, Depot, list[StatusRecord]]]:
    async def nothing_needed() -> set[bytes]:
        return set()

    told: list[StatusRecord] = []

    async def tell(record: StatusRecord) -> None:
        told.append(record)

    depot = Depot(store, db, needed=nothing_needed)
    progress = Progress("me", depot, tell, silent=silent)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(progress.run())
        try:
            yield progress, depot, told
        finally:
            task.cancel()


async def test_it_says_relaying_and_then_held(store: DiskStore, db: Database) -> None:
    package = made_package(10)
    async with running(store, db) as (progress, depot, told):
        progress.job_changed(ordered(package.root), True)
        await until(lambda: bool(told))
        assert (told[0].target, told[0].state, told[0].done) == ("me", "relaying", 0)
        for digest, stored in reversed(package.chunks.items()):
            await depot.put(digest, stored)
            progress.chunk_arrived(digest)
        await until(lambda: told[-1].state == "held")
        assert (told[-1].done, told[-1].total) == (package.size, package.size)
        assert told[-1].seq > told[0].seq


async def test_why_nothing_goes_is_said_though_not_even_the_root_is_known(store: DiskStore, db: Database) -> None:
    package = made_package(2)
    async with running(store, db) as (progress, _, told):
        progress.job_changed(ordered(package.root), True)
        progress.holdings.leave(package.root)
        progress.reasons_changed("j1", "[]")
        await until(lambda: bool(told) and told[-1].detail == "[]")
        assert (told[-1].state, told[-1].total) == ("relaying", 0)


async def test_two_jobs_share_the_figures_of_one_package(store: DiskStore, db: Database) -> None:
    package = made_package(2)
    async with running(store, db) as (progress, _, told):
        for job in ("j1", "j2"):
            progress.job_changed(ordered(package.root, job), True)
        await until(lambda: {record.job for record in told} == {"j1", "j2"})
        progress.job_changed(ordered(package.root, "j1"), False)
        assert progress.holdings.get(package.root) is not None
        progress.job_changed(ordered(package.root, "j2"), False)
        assert progress.holdings.get(package.root) is None


async def test_its_own_work_a_silent_node_and_jobs_without_content_say_nothing(store: DiskStore, db: Database) -> None:
    package = made_package(2)
    async with running(store, db) as (progress, _, told):
        progress.own_work("own")
        progress.job_changed(ordered(package.root, "own"), True)
        progress.job_changed(ordered(b"", "r", "remove"), True)
        progress.job_changed(ordered(package.root, "other"), True)
        await until(lambda: bool(told))
        assert {record.job for record in told} == {"other"}
    async with running(store, db, silent=True) as (progress, _, told):
        progress.job_changed(ordered(package.root), True)
        assert progress.holdings.get(package.root) is None


async def test_a_clock_that_is_set_back_hides_nothing_that_is_said_later(
    store: DiskStore, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = made_package(2)
    async with running(store, db) as (progress, depot, told):
        progress.job_changed(ordered(package.root), True)
        await until(lambda: bool(told))
        year_ago = time.time_ns() - 365 * 86_400 * 1_000_000_000
        monkeypatch.setattr(time, "time_ns", lambda: year_ago)
        monkeypatch.setattr(time, "time", lambda: year_ago / 1e9)
        for digest, stored in reversed(package.chunks.items()):
            await depot.put(digest, stored)
            progress.chunk_arrived(digest)
        await until(lambda: told[-1].state == "held")
        assert told[-1].seq > told[0].seq


async def test_of_a_job_without_content_only_why_it_waits_is_said(store: DiskStore, db: Database) -> None:
    async with running(store, db) as (progress, _, told):
        progress.job_changed(ordered(b"", type_="message"), True)
        progress.reasons_changed("j1", "why")
        await until(lambda: bool(told))
        assert (told[0].job, told[0].state, told[0].detail, told[0].total) == ("j1", "relaying", "why", 0)
        progress.reasons_changed("j1", "")
        await until(lambda: len(told) > 1)
        assert told[1].detail == ""
        assert told[1].seq >= told[0].seq
        progress.job_changed(ordered(b"", type_="message"), False)
        progress.reasons_changed("j1", "late")
        progress.job_changed(ordered(b"", job="j2", type_="message"), True)
        progress.reasons_changed("j2", "why")
        await until(lambda: len(told) > 2)
        assert told[2].job == "j2"
