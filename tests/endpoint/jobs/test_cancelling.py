"""A cancel of what goes on says so, until it has ended."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any, cast

import pytest
from tests.endpoint.lab import Agent, Region, agent_over, pack

from tiercast_endpoint.jobs.cancelling import goes_on
from tiercast_endpoint.jobs.install import HARMLESS, PROGRAMS, Snapshot, Step
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.why import Machine, Why
from tiercast_protocol.content.jobs.reason import freed, read, todo, words
from tiercast_protocol.content.package.actions import argv_text
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.wire.messages import StatusRecord


def a_job(type_: str, **options: str | int | bool) -> Job:
    return Job(
        "j1", 1, type_, "app", "1", 1, b"", 0, 1 << 50, "j1", "running", 5, snapshot=Snapshot("run"), options=options
    )


def test_a_program_is_named_with_its_moments_and_the_way_to_kill_it() -> None:
    job = a_job("run", argv=argv_text(["/bin/sleep", "60"]), run_timeout_s=90)
    found = goes_on(job, Step.RUN, 1_000_000)
    assert found is not None
    assert (found.get("program"), found.get("began"), found.until) == ("/bin/sleep 60", 1_000_000, 1_090_000)
    assert words(found).startswith("the job is cancelled; what runs of it since ")
    assert words(found).endswith("is let finish: /bin/sleep 60")
    assert freed(found).startswith("that has ended, or is killed at ")
    assert todo(found) == "to kill /bin/sleep 60: tiercast job cancel JOB --force"


@pytest.mark.parametrize("step", Step)
def test_what_is_past_stopping_says_so_and_what_ends_says_nothing(step: Step) -> None:
    found = goes_on(a_job("install"), step, 7)
    if step in HARMLESS or step in {Step.REVERT, Step.UNDO, Step.STOP, Step.DISCARD, Step.SETTLE, Step.STAND, Step.END}:
        assert found is None
    else:
        assert found is not None
        assert ("cancelled" in words(found)) is (step in PROGRAMS and step is not Step.RUN)
        assert ("too late" in words(found)) is not ("cancelled" in words(found))


async def told(agent: Agent, code: str) -> StatusRecord:
    async with asyncio.timeout(30):
        while True:
            found = [record for record in agent.post.records if record.code == code]
            if found:
                return found[0]
            await asyncio.sleep(0.02)  # a word that is not final wakes nobody


async def test_the_machine_says_what_is_let_finish_and_then_how_it_ended(tmp_path: Path, region: Region) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = f"#!/bin/sh\nread line < {gate}\n".encode()
    package = pack("hello", "1.0", {"a.sh": script}, run_after=Program(("./a.sh",)))
    async with agent_over(tmp_path / "a", region, chunks=package.chunks) as agent:
        await agent.order(region.order("j1", "install", package))
        async with asyncio.timeout(30):
            while not (await agent.row("j1")).running:  # noqa: ASYNC110 - the journal has no event
                await asyncio.sleep(0.01)
        before = int(time.time() * 1000)
        await agent.order(region.order("j1", "cancel", None, revision=2))
        said = await told(agent, "cancel.waits")
        assert (said.revision, said.state, said.receipt) == (2, "installing", b"")
        assert json.loads(said.detail)["program"] == "run-after"
        assert json.loads(said.detail)["began"] <= before
        here = Why(agent.db, cast("Any", agent.post), lambda: Machine("pc1", "up", connected=True), agent.jobs.looks)
        jobs = (await here.why({"job": "j1"}))["jobs"]
        assert [[reason["code"] for reason in one["chain"]] for one in jobs] == [["cancel.waits", "program"]]
        assert "let finish: run-after" in words(read(said.code, said.detail))
        gate.write_text("go\n")
        late = await agent.ended("j1", 2)
        assert (late.state, late.code) == ("done", "cancel.late")
        assert agent.tree("hello") == package.files
