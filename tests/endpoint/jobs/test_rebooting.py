"""Restarts: a stand-in for the command, and a file that a test changes for the id of the machine's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tiercast_endpoint.jobs.events import Event, StepDone, StepFailed
from tiercast_endpoint.jobs.install import Snapshot
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.powering import PowerSettings
from tiercast_endpoint.jobs.rebooting import Rebooting
from tiercast_endpoint.jobs.story import Plan, Step
from tiercast_endpoint.schema import SCHEMA
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.kernel import Peer


@dataclass
class Bench:
    """A machine whose life is a file, and whose command notes that it ran."""

    db: Database
    folder: Path
    now: int = 1_000

    async def perform(self, job: Job, step: Step, tell: object) -> tuple[Job, Event]:
        del tell
        return job, StepDone(step)

    def made(self) -> Rebooting:
        settings = PowerSettings(reboot_command=(str(self.folder / "reboot"),), boot_id=str(self.folder / "id"))
        return Rebooting(db=self.db, settings=settings, steps=self, now_ms=lambda: self.now, free=lambda: 1)

    def restarts(self) -> int:
        log = self.folder / "ran"
        return len(log.read_text().splitlines()) if log.exists() else 0

    async def waits(self) -> None:
        while not await self.db.read(lambda c: c.execute("SELECT 1 FROM rebooting").fetchone()):  # noqa: ASYNC110 - a row
            await asyncio.sleep(0.01)

    async def ran(self, times: int) -> None:
        while self.restarts() < times:  # noqa: ASYNC110 - a file that another process writes
            await asyncio.sleep(0.01)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "id").write_text("first")
    command(tmp_path, "exit 0")
    async with Database.open(tmp_path / "agent.db", SCHEMA) as db:
        yield Bench(db, tmp_path)


def command(folder: Path, text: str) -> None:
    (folder / "reboot").write_text(f"#!/bin/sh\necho again >> {folder}/ran\n{text}\n")
    (folder / "reboot").chmod(0o755)


def job(mode: str) -> Job:
    snapshot = Snapshot("install", Step.REBOOT, Plan(reboot=mode))
    return Job("j1", 1, "install", "a", "1", 1, b"r" * 32, 1, 9, "c", "installing", 1, n=1, snapshot=snapshot)


async def say(rebooting: Rebooting, verb: str, **args: object) -> object:
    verbs = Verbs()
    rebooting.register(verbs)
    return await verbs.table[verb].handler(Call(verb, dict(args), Peer(0, 0, 0), "operator", "o", "c"))  # type: ignore[misc]


async def test_it_goes_on_only_in_another_life_of_the_machine(bench: Bench) -> None:
    for count in (1, 2):
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            life = tasks.create_task(bench.made().perform(job("now"), Step.REBOOT, print))
            await bench.ran(count)
            life.cancel()
    assert bench.restarts() == 2, "an agent that fell asks again"
    (bench.folder / "id").write_text("second")
    assert (await bench.made().perform(job("now"), Step.REBOOT, print))[1] == StepDone(Step.REBOOT)
    assert bench.restarts() == 2


async def test_whoever_restarts_it_later_will_do(bench: Bench) -> None:
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        life = tasks.create_task(bench.made().perform(job("later"), Step.REBOOT, print))
        await bench.waits()
        life.cancel()
    (bench.folder / "id").write_text("second")
    assert (await bench.made().perform(job("later"), Step.REBOOT, print))[1] == StepDone(Step.REBOOT)
    assert bench.restarts() == 0


async def test_the_owner_puts_it_off_and_says_when(bench: Bench) -> None:
    rebooting = bench.made()
    with pytest.raises(UsageError) as caught:
        await say(rebooting, "reboot")
    assert caught.value.code == "reboot.none"
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        life = tasks.create_task(rebooting.perform(job("ask"), Step.REBOOT, print))
        await bench.waits()
        assert await say(rebooting, "reboots") == [{"job": "j1", "mode": "ask", "until": 0, "said": 0}]
        assert await say(rebooting, "reboot", later_s=60) == [{"job": "j1", "mode": "ask", "until": 61_000, "said": 0}]
        with pytest.raises(UsageError) as caught:
            await say(rebooting, "reboot", later_s=8 * 86_400)
        assert caught.value.code == "reboot.long"
        assert bench.restarts() == 0
        await say(rebooting, "reboot")
        await bench.ran(1)
        life.cancel()


async def test_a_command_that_fails_sends_it_back(bench: Bench) -> None:
    command(bench.folder, "exit 3")
    _, event = await bench.made().perform(job("now"), Step.REBOOT, print)
    assert isinstance(event, StepFailed)
    assert event.code == "program.failed"
    (bench.folder / "reboot").unlink()
    _, event = await bench.made().perform(job("now"), Step.REBOOT, print)
    assert isinstance(event, StepFailed)
    assert event.code == "program.start"


async def test_where_no_restart_can_be_told_it_fails(bench: Bench) -> None:
    (bench.folder / "id").unlink()
    _, event = await bench.made().perform(job("now"), Step.REBOOT, print)
    assert isinstance(event, StepFailed)
    assert event.code == "reboot.life"


async def test_every_other_step_is_handed_on(bench: Bench) -> None:
    assert (await bench.made().perform(job("now"), Step.SWITCH, print))[1] == StepDone(Step.SWITCH)
