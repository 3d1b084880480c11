"""Only who was woken for a job that lets him sleeps again after it, and not while there is work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.hop import until

from tiercast_endpoint.jobs import journal, sleeping
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.powering import PowerSettings
from tiercast_endpoint.jobs.sleeping import Sleeping
from tiercast_endpoint.schema import SCHEMA
from tiercast_protocol.node.config import Duration
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire.power import Woken

NOW = [1_000]


class Outbox:
    """Has something in it as often as `full` says."""

    def __init__(self, full: int = 0) -> None:
        self.full, self.handlers = full, dict[str, Any]()

    def on(self, kind: str, handler: Any) -> None:
        self.handlers[kind] = handler

    async def pending(self, _limit: int) -> list[int]:
        self.full -= 1
        return [1] if self.full >= 0 else []


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(tmp_path / "agent.db", SCHEMA) as one:
        yield one


async def put(db: Database, name: str, *, finished: int = 0, **options: str | int | bool) -> None:
    job = Job(
        job=name, revision=1, type="message", package="", version="", package_revision=0, root=b"", issued=1, expires=9,
        cause="", state="done" if finished else "running", at=1, options=options,
    )  # fmt: skip

    def write(c: Any) -> None:
        held = journal.job_at(c, name, 1) or journal.add_job(c, job)
        if finished:
            journal.save_final(c, replace(held, finished=finished, state="done"), lambda _job: (b"", b""))

    await db.write(write)


@asynccontextmanager
async def running(db: Database, tmp_path: Path, delay: float = 0.0, full: int = 0) -> AsyncIterator[Sleeping]:
    argv = ("/bin/sh", "-c", f"echo $TIERCAST_JOB >> {tmp_path / 'down'}")
    settings = PowerSettings(shutdown_command=argv, sleep_delay=Duration(delay))
    one = Sleeping(db, cast("Any", Outbox(full)), settings, lambda: NOW[0])
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(one.run())
        try:
            yield one
        finally:
            task.cancel()


def call() -> Call:
    return Call(verb="v", args={}, peer=Peer(1, 1, 1), role="operator", user="ann", cause="")


async def test_it_sleeps_again_after_its_job_and_its_receipts(db: Database, tmp_path: Path) -> None:
    await put(db, "j1", sleep_after=True)
    async with running(db, tmp_path, full=1) as one:
        await one.woken(Woken(jobs=["j1"]))
        assert await one._show(call()) == {"at": 0, "job": ""}
        await put(db, "j1", finished=5, sleep_after=True)
        one.changed()
        await until((tmp_path / "down").exists)
        await until(lambda: (tmp_path / "down").read_text() == "j1\n")
        one.changed()
    assert await db.read(sleeping._may_sleep) == "", "once"


@pytest.mark.parametrize("why", ["not woken", "not allowed", "other work"])
async def test_who_may_not_stays(db: Database, why: str) -> None:
    await put(db, "j1", finished=5, sleep_after=why != "not allowed")
    if why == "other work":
        await put(db, "j2")
    if why != "not woken":
        await db.write(lambda c: sleeping._keep(["j1", ""], 1, c))
    assert await db.read(sleeping._may_sleep) == ""


async def test_the_owner_keeps_it_awake(db: Database, tmp_path: Path) -> None:
    await put(db, "j1", finished=5, sleep_after=True)
    async with running(db, tmp_path, delay=60) as one:
        await one.woken(Woken(jobs=["j1"]))
        await until(lambda: bool(one._at))
        assert await one._show(call()) == {"at": NOW[0] + 60_000, "job": "j1"}
        assert await one._stay(call()) == {"job": "j1"}
        await until(lambda: not one._at)
        assert await one._stay(call()) == {"job": ""}
    assert not (tmp_path / "down").exists()
