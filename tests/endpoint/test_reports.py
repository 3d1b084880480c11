"""What is told upward: numbers that grow, receipts that are signed once, progress that is thinned."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.endpoint.lab import ME, PARENT, FakePost, Region

from tiercast_endpoint import former, journal
from tiercast_endpoint.install import Outcome
from tiercast_endpoint.journal import Job
from tiercast_endpoint.reports import Progress, Reporter, Soon
from tiercast_protocol.content.receipt import open_receipt
from tiercast_protocol.node.database import Database


async def test_numbers_grow_over_restarts_and_the_receipt_is_signed_once(tmp_path: Path, region: Region) -> None:
    numbers: list[int] = []
    receipts: list[bytes] = []
    for life in range(2):
        async with Database.open(
            tmp_path / "db", [(1, journal.SCHEMA + journal.OPTIONS + journal.ACTIONS + former.SCHEMA)]
        ) as db:
            post = FakePost()
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
    async with asyncio.timeout(20):
        while len(done) < 3:
            soon()
            soon()
            await asyncio.sleep(0.001)
    assert done[1] - done[0] >= 0.05
    soon()
    soon.stop()
    await asyncio.sleep(0.1)
    assert len(done) == 3
