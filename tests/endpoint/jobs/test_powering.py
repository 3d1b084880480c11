"""Jobs that end the machine's life: its own command, once, and what a later life knows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.install import Event, Step, StepDone, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.powering import Powering, PowerSettings, boot_ms
from tiercast_endpoint.jobs.story import Snapshot
from tiercast_endpoint.schema import SCHEMA
from tiercast_endpoint.settings import Settings
from tiercast_protocol.errors import ConfigError
from tiercast_protocol.node import config
from tiercast_protocol.node.database import Database


class Others:
    async def perform(self, job: Job, step: Step, _tell: object) -> tuple[Job, Event]:
        return job, StepDone(step, detail="others")


def job(type_: str, **more: Any) -> Job:
    values = {"package": "", "version": "", "package_revision": 0, "root": b"", "issued": 1, "expires": 9, "cause": ""}
    return Job(job="j1", revision=1, type=type_, state="running", at=1, **{**values, **more})


async def performed(tmp_path: Path, one: Job, *argv: str, booted: int = 0, step: Step = Step.RUN) -> tuple[Job, Event]:
    settings = PowerSettings(shutdown_command=argv, reboot_command=(*argv, "again"))
    async with Database.open(tmp_path / "agent.db", SCHEMA) as db:
        one = await db.write(lambda c: journal.add_job(c, one))
        found = await Powering(db, settings, cast("Any", Others()), lambda: booted).perform(
            one, step, lambda _a, _b: None
        )
        if isinstance(found[1], StepDone) and found[1].detail.startswith("The machine was told"):
            kept = await db.read(lambda c: journal.job_at(c, "j1", 1))
            assert kept is not None
            assert kept.running == "power", "it was journaled before it was run"
        return found


async def test_the_machines_own_command_is_run(tmp_path: Path) -> None:
    said = tmp_path / "said"
    script = tmp_path / "power"
    script.write_text(f'#!/bin/sh\necho "$1 $2" > {said}\n', "utf-8")
    script.chmod(0o755)
    ended, event = await performed(tmp_path, job("reboot"), str(script), "now")
    assert event == StepDone(Step.RUN, detail="The machine was told to restart.")
    assert said.read_text() == "now again\n"
    assert ended.programs[0].exit == 0


async def test_what_fails_leaves_the_machine_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, event = await performed(tmp_path / "a", job("shutdown"), "/bin/sh", "-c", "exit 4")
    assert isinstance(event, StepFailed)
    assert (event.code, "status 4" in event.detail) == ("program.failed", True)
    _, event = await performed(tmp_path / "b", job("shutdown"), str(tmp_path / "none"))
    assert isinstance(event, StepFailed)
    assert event.code == "program.start"


async def test_a_later_life_knows_whether_the_machine_went_down(tmp_path: Path) -> None:
    begun = job("shutdown", running="power", snapshot=Snapshot("shutdown", begun=100))
    (tmp_path / "a").mkdir()
    _, event = await performed(tmp_path / "a", begun, "/bin/false", booted=200)
    assert event == StepDone(Step.RUN, detail="The machine went down, and is up again.")
    (tmp_path / "b").mkdir()
    _, event = await performed(tmp_path / "b", begun, "/bin/true", booted=50)
    assert event == StepDone(Step.RUN, detail="The machine was told to shut down."), "only the agent was killed"


async def test_all_else_is_for_others(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert (await performed(tmp_path, job("run"), "/bin/false"))[1] == StepDone(Step.RUN, detail="others")
    _, event = await performed(tmp_path / "a", job("shutdown"), "/bin/false", step=Step.STOP)
    assert event == StepDone(Step.STOP, detail="others")


def test_when_the_machine_was_started() -> None:
    assert 0 < boot_ms() < 1 << 53


def test_a_command_names_its_program(tmp_path: Path) -> None:
    (tmp_path / "endpoint.toml").write_text('install_root = "/x"\n[power]\nshutdown_command = ["shutdown"]\n', "utf-8")
    with pytest.raises(ConfigError, match="absolute path"):
        config.load(tmp_path / "endpoint.toml", Settings)
