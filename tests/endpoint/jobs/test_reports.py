"""What is told upward: numbers that grow, receipts that are signed once, progress that is thinned."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.endpoint.lab import ME, PARENT, FakePost, Region

from tiercast_endpoint.jobs import former, journal, reports
from tiercast_endpoint.jobs.install import Outcome
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.reports import EVERY_S, LONGEST_S, MOMENT_S, Progress, Reporter, Soon, pauses_for
from tiercast_protocol.content.jobs.receipt import open_receipt
from tiercast_protocol.node.database import Database


async def test_numbers_grow_over_restarts_and_the_receipt_is_signed_once(tmp_path: Path, region: Region) -> None:
    numbers: list[int] = []
    receipts: list[bytes] = []
    for life in range(2):
        async with Database.open(
            tmp_path / "db", [(1, journal.SCHEMA + journal.OPTIONS + journal.ACTIONS + former.SCHEMA)]
        ) as db:
            post = FakePost(db=db)
            reporter = Reporter(
                db=db, post=post, parent=lambda: PARENT, me=ME, generation=3, key=region.node_key, now_ms=lambda: 1000
            )
            job = Job("j1", 1, "install", "hello", "1.0", 1, b"r" * 32, 1, 2, "cause", "ordered", 3)
            if life == 0:
                job = await db.write(lambda connection, job=job: journal.add_job(connection, job))  # type: ignore[misc]
                job = await reporter.note(job, "waiting")
                await reporter.tell(job)
                job = await reporter.progress(job, 5, 10)
                assert (post.records[-1].done, post.records[-1].total) == (5, 10)
            else:
                (job,) = await db.read(lambda connection: journal.revisions(connection, "j1"))
                assert job.reported
            ended = await reporter.final(job, Outcome("done" if life == 0 else "failed"))
            assert ended.state == "done"
            numbers += [record.seq for record in post.records if not record.receipt]
            receipts.append(post.records[-1].receipt)
            receipt = open_receipt(receipts[-1], post.records[-1].signature, region.node_key.public)
            assert (receipt.seq, receipt.node, receipt.generation, receipt.finished) == (3, ME, 3, 1000)
            assert (post.records[-1].done, post.records[-1].total) == (0, 0)
    assert numbers == [1, 2]
    assert receipts[0] == receipts[1]


async def test_progress_is_told_at_once_and_then_in_turns() -> None:
    told: list[tuple[int, int]] = []
    came = asyncio.Event()

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        came.set()

    progress = Progress(tell, first_s=0.01, every_s=0.2)
    for done in range(10):
        progress(done, 10)
    assert told == []
    async with asyncio.timeout(60):
        await came.wait()
    assert told == [(9, 10)]
    progress(10, 10)
    progress.stop()
    came.clear()
    progress(1, 5)
    async with asyncio.timeout(60):
        await came.wait()
    assert told == [(9, 10), (1, 5)]
    progress(2, 5)
    progress.stop()


async def test_what_is_asked_for_several_times_in_a_moment_is_done_once_and_then_once_a_while() -> None:
    loop, done = asyncio.get_running_loop(), list[float]()
    soon = Soon(lambda: done.append(loop.time()), first_s=0.01, every_s=0.05)
    async with asyncio.timeout(60):
        while len(done) < 3:
            soon()
            soon()
            await asyncio.sleep(0.001)
    assert done[1] - done[0] >= 0.05
    soon()
    soon.stop()
    await asyncio.sleep(0.1)
    assert len(done) == 3


async def test_who_is_behind_is_told_the_newest_later_but_not_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "LONGEST_S", 0.3)
    loop, came, behind = asyncio.get_running_loop(), asyncio.Event(), True
    told: list[tuple[float, int]] = []

    def tell(done: int, _total: int) -> None:
        told.append((loop.time(), done))
        came.set()

    progress = Progress(tell, 0.01, 0.02, busy=lambda: behind)
    began = loop.time()
    async with asyncio.timeout(60):
        progress(1, 3)
        progress(2, 3)
        await came.wait()
        assert told[0][0] - began >= 0.3
        behind = False
        came.clear()
        progress(3, 3)
        await came.wait()
    assert [done for _, done in told] == [2, 3]
    progress.stop()


def test_an_order_for_many_is_told_of_more_seldom() -> None:
    assert pauses_for(1) == pauses_for(100) == (MOMENT_S, EVERY_S)
    assert pauses_for(1000) == (2.0, 2.0)
    assert pauses_for(5000) == (10.0, 10.0)
    assert pauses_for(1_000_000) == (LONGEST_S, LONGEST_S)
