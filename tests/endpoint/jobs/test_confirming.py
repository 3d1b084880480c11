"""Confirmation with real programs: asked again until it confirms, kept over a kill, and parents that are sought."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from tiercast_endpoint.jobs.confirming import Confirming, Parents, knock, network_up
from tiercast_endpoint.jobs.events import StepDone, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.schema import SCHEMA
from tiercast_endpoint.trees.selection import Selection
from tiercast_protocol.content.package.confirmed import Confirmation
from tiercast_protocol.content.package.definition import Definition
from tiercast_protocol.node.database import Database

JOB = Job("j1", 1, "install", "app", "2", 1, b"r" * 32, 1, 9, "c", "installing", 1, n=1, tree="tree")


@dataclass
class Bench:
    """A tree with a health program, its definition, and a clock that a test moves."""

    db: Database
    folder: Path
    terms: Confirmation
    connected: bool = True
    urls: list[str] = field(default_factory=list)

    def free(self) -> int:
        return 1

    async def selection(self, _job: Job) -> Selection:
        return Selection(cast("Any", None), Definition("app", "2", confirm=self.terms), values={"word": "well"})

    async def perform(self, job: Job, step: Step, _tell: object) -> tuple[Job, StepDone]:
        return job, StepDone(step)

    def made(self) -> Confirming:
        parents = Parents(lambda: self.connected, lambda: self.urls)
        materials = cast("Any", self)
        return Confirming(db=self.db, materials=materials, root=self.folder, steps=materials, parents=parents)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "tree").mkdir()
    async with Database.open(tmp_path / "agent.db", SCHEMA) as db:
        yield Bench(db, tmp_path, Confirmation(("./health.sh",), within_s=1, every_s=1))


def health(bench: Bench, text: str) -> None:
    program = bench.folder / "tree" / "health.sh"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


async def counted(bench: Bench, *, lives: int) -> int:
    """Milliseconds that are counted once so many lives are."""
    while True:
        rows = await bench.db.read(lambda c: c.execute("SELECT spent, lives FROM confirming").fetchall())
        if rows and rows[0][1] == lives:
            return int(rows[0][0])
        await asyncio.sleep(0.01)


async def test_it_is_asked_again_until_it_confirms(bench: Bench) -> None:
    bench.terms = Confirmation(("./health.sh", "${word}"), within_s=60, every_s=1)
    health(bench, "test -e ../yes && echo $1")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(bench.made().perform(JOB, Step.CONFIRM, print))
        await counted(bench, lives=0)
        (bench.folder / "yes").touch()
    job, event = asking.result()
    assert event == StepDone(Step.CONFIRM)
    assert job.programs[-1].output == "well\n"
    assert await bench.db.read(lambda c: c.execute("SELECT * FROM confirming").fetchall()) == []


async def test_what_never_confirms_goes_back_with_what_it_said_last(bench: Bench) -> None:
    health(bench, "echo ill; exit 3")
    job, event = await bench.made().perform(JOB, Step.CONFIRM, print)
    assert isinstance(event, StepFailed)
    assert (event.code, job.programs[-1].exit, job.programs[-1].output) == ("confirm.timeout", 3, "ill\n")


async def test_each_life_counts_what_the_one_before_did(bench: Bench) -> None:
    bench.terms = replace(bench.terms, within_s=3, every_s=1)
    health(bench, "exit 1")
    for spent in (0, 1000, 2000):
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            life = tasks.create_task(bench.made().perform(JOB, Step.CONFIRM, print))
            assert await counted(bench, lives=spent // 1000) >= spent
            life.cancel()
    _, event = await bench.made().perform(JOB, Step.CONFIRM, print)
    assert isinstance(event, StepFailed)


async def test_a_program_that_can_not_be_started_never_confirms(bench: Bench) -> None:
    job, event = await bench.made().perform(JOB, Step.CONFIRM, print)
    assert isinstance(event, StepFailed)
    assert job.programs[-1].exit == 127


async def test_parents_are_sought_only_where_one_is_needed(bench: Bench) -> None:
    health(bench, "exit 0")
    bench.connected = False
    assert (await bench.made().perform(JOB, Step.CONFIRM, print))[1] == StepDone(Step.CONFIRM)
    bench.terms = replace(bench.terms, needs_gateway=True, outage_s=1)
    _, event = await bench.made().perform(JOB, Step.CONFIRM, print)
    assert isinstance(event, StepFailed)
    assert "No gateway" in event.detail


async def test_every_other_step_is_handed_on(bench: Bench) -> None:
    assert (await bench.made().perform(JOB, Step.SWITCH, print))[1] == StepDone(Step.SWITCH)


async def test_who_answers_at_an_address(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await knock(f"mqtt://127.0.0.1:{port}")
    server.close()
    await server.wait_closed()
    assert not await knock(f"mqtt://127.0.0.1:{port}")
    assert not await knock("mqtt://:no")
    assert network_up(["mqtt://127.0.0.1:1"], tmp_path)
    assert not network_up(["mqtt://gate:1"], tmp_path)
    (tmp_path / "lo").mkdir()
    (tmp_path / "lo/operstate").write_text("unknown\n")
    (tmp_path / "eth0").mkdir()
    (tmp_path / "eth0/operstate").write_text("down\n")
    assert not network_up(["mqtt://gate:1"], tmp_path)
    (tmp_path / "eth0/operstate").write_text("up\n")
    assert network_up(["mqtt://gate:1"], tmp_path)
