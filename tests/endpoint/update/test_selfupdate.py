"""The job of the agent's own package, over the start in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tiercast_endpoint.jobs.events import Event, StepDone, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.restart import Restart
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.update import selfupdate, starter, trial
from tiercast_endpoint.update.selfupdate import SelfUpdate

OLD, NEW = ".trees/agent/old", ".trees/agent/new"
JOB = Job("j1", 1, "install", "agent", "2", 1, b"", 1, 2, "", "ordered", 1, tree=NEW)


class Inner:
    def __init__(self, *, fails: bool = False) -> None:
        self.asked: list[Step] = []
        self.fails = fails

    async def perform(self, job: Job, step: Step, tell: Callable[[int, int], None]) -> tuple[Job, Event]:
        self.asked.append(step)
        tell(0, 0)
        return job, StepFailed(step, "program.failed") if self.fails else StepDone(step)


def nothing(_done: int, _total: int) -> None:
    return


def update(folder: Path, inner: Inner, running: str | None, restart: Restart, *, connected: bool) -> SelfUpdate:
    return SelfUpdate(
        inner, folder=folder, package="agent", running=running, restart=restart, connected=lambda: connected
    )


async def test_it_starts_again_and_is_good_when_it_reaches_a_parent(tmp_path: Path) -> None:
    restart, inner, file = Restart(), Inner(), tmp_path / starter.FILE
    starter.save(file, trial.Record(good=OLD))
    old = update(tmp_path, inner, OLD, restart, connected=True)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(old.perform(JOB, Step.AFTER, nothing))
        async with asyncio.timeout(60):
            await restart.asked.wait()
        assert restart.but == "j1"
        assert not waiting.done()
        waiting.cancel()
    new = update(tmp_path, inner, NEW, restart, connected=True)
    assert (await new.perform(JOB, Step.AFTER, nothing))[1] == StepDone(Step.AFTER)
    assert starter.load(file).good == NEW
    assert inner.asked == [Step.AFTER] * 2


async def test_what_the_starter_refused_fails(tmp_path: Path) -> None:
    starter.save(tmp_path / starter.FILE, trial.Record(good=OLD, refused=NEW, why="It ended."))
    old = update(tmp_path, Inner(), OLD, Restart(), connected=True)
    _, event = await old.perform(JOB, Step.AFTER, nothing)
    assert isinstance(event, StepFailed)
    assert (event.code, event.detail) == ("agent.unconfirmed", "The new agent was taken back. It ended.")


async def test_all_else_is_handed_on(tmp_path: Path) -> None:
    restart = Restart()
    for running, job, step in (
        (None, JOB, Step.AFTER),
        (OLD, replace(JOB, package="other"), Step.AFTER),
        (OLD, JOB, Step.SWITCH),
    ):
        one = update(tmp_path, Inner(), running, restart, connected=False)
        assert (await one.perform(job, step, nothing))[1] == StepDone(step)
    failing = update(tmp_path, Inner(fails=True), OLD, restart, connected=False)
    assert isinstance((await failing.perform(JOB, Step.AFTER, nothing))[1], StepFailed)
    assert not restart.asked.is_set()


def test_status_says_which_version_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(starter.TREE, raising=False)
    assert selfupdate.shown(tmp_path) == {}
    monkeypatch.setenv(starter.TREE, OLD)
    starter.save(tmp_path / starter.FILE, trial.Record(good=OLD, refused=NEW, why="It ended."))
    assert selfupdate.shown(tmp_path) == {"tree": OLD, "trial": "", "refused": NEW, "why": "It ended."}
