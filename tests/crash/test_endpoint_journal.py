"""Power cuts under the agent's journal: what it was told of is there, numbers never go back, a start is not forgotten.

Rules
- The story makes the installer's calls, on the agent's own schema.  Its facts: the state that a unit of work is about
  to commit, and what the caller was promised when the call returned.
- What opens after a cut is one of the states from the last promised one on, whole; and the promises are checked one
  by one too, so that a journal which loses something in the same way before and after the cut is found out.
- That the syncs of SQLite's own fold and of the folder are needed is shown in test_database.py and test_post.py.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.crash.campaign import Violation, campaign
from tests.crash.recording import RecordingDisk, RecordingFiles, connect_to

from tiercast_endpoint.jobs import journal as j
from tiercast_endpoint.jobs.install import Outcome, Plan, Step
from tiercast_endpoint.schema import SCHEMA
from tiercast_protocol.content.jobs.receipt import ProgramResult
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.files import make_folder

T = TypeVar("T")

FOLDER = Path("/agent")
PATH = FOLDER / "agent.db"
ORDER = j.Job("first", 1, "install", "hello", "1.0", 1, b"r" * 32, 1_000, 9_000, "cause", "ordered", 1_001)
PLAN = Plan(before=False)
RAN = ProgramResult(argv=["./before"], exit=0, timed_out=False, seconds=1.5, output="x" * 3000)

State = tuple[list[j.Job], int, int]
NOTHING: State = ([], 0, 0)


def state(connection: sqlite3.Connection) -> State:
    """All jobs, and the counters of numbers and epochs."""
    return j.latest_jobs(connection, 100), j.counter(connection, j.SEQ), j.counter(connection, j.EPOCH)


def sign(job: j.Job) -> tuple[bytes, bytes]:
    """A receipt that differs with each number."""
    return b"%s, %s, %d" % (job.job.encode(), job.state.encode(), job.seq), b"s" * 64


class Agent:
    """The installer's calls; each notes what it is about to commit, and what its return promises."""

    def __init__(self, disk: RecordingDisk, db: Database) -> None:
        self._disk = disk
        self._db = db

    async def write(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        def noted(connection: sqlite3.Connection) -> tuple[T, State]:
            value = unit(connection)
            self._disk.fact("begun", reached := state(connection))
            return value, reached

        value, reached = await self._db.write(noted)
        self._disk.fact("promised", reached)
        return value

    async def take(self, order: j.Job, epoch: int) -> j.Job:
        def unit(connection: sqlite3.Connection) -> j.Job:
            j.raise_counter(connection, j.EPOCH, epoch)
            return j.add_job(connection, order)

        job = await self.write(unit)
        self._disk.fact("taken", job.job, epoch)
        return job

    async def step(self, job: j.Job, step: Step, **found: Any) -> j.Job:
        job = replace(job, snapshot=replace(job.snapshot, step=step, plan=PLAN), started=1_002, **found)
        await self.write(lambda connection: j.save_step(connection, job))
        self._disk.fact("stepped", job.job, step, len(job.programs))
        return job

    async def tell(self, job: j.Job, name: str) -> j.Job:
        job = await self.write(lambda connection: j.save_status(connection, replace(job, state=name)))
        self._disk.fact("told", job.seq)
        return job

    async def start(self, job: j.Job, identity: str) -> None:
        await self.write(lambda connection: j.set_running(connection, job.n, identity))
        self._disk.fact("started", job.job, identity)

    async def end(self, job: j.Job, outcome: Outcome) -> None:
        job = replace(job, state=outcome.state, code=outcome.code, finished=1_009)
        job = await self.write(lambda connection: j.save_final(connection, job, sign))
        self._disk.fact("told", job.seq)
        self._disk.fact("ended", job.job, job.receipt)
        await self.write(lambda connection: j.set_reported(connection, job.n))


async def story(disk: RecordingDisk) -> None:
    """A job from order to receipt while others come in; then a new start, which ends what the first life began."""
    make_folder(RecordingFiles(disk), FOLDER)
    async with Database.open(PATH, SCHEMA, connect=connect_to(disk), readers=0) as db:
        agent = Agent(disk, db)
        job = await agent.take(ORDER, 1)
        job = await agent.tell(job, "fetching")
        job = await agent.step(job, Step.FETCH)
        # Another job's order and this one's progress are committed together.
        other, job = await asyncio.gather(agent.take(replace(ORDER, job="second"), 2), agent.tell(job, "fetching"))
        job = await agent.step(job, Step.BEFORE, tree=".trees/hello/1", made=True)
        await agent.start(job, "41:1")
        job = await agent.step(job, Step.SWITCH, programs=(RAN,))
        await agent.write(lambda connection: j.set_previous(connection, job.n, ".trees/hello/0"))
        await agent.end(job, Outcome("done"))
        other = await agent.step(other, Step.BEFORE, tree=".trees/hello/2")
        await agent.start(other, "42:7")
    async with Database.open(PATH, SCHEMA, connect=connect_to(disk), readers=0) as db:
        agent = Agent(disk, db)
        (left,) = await db.read(j.open_jobs)
        assert (left.job, left.running) == ("second", "42:7")
        await agent.tell(left, "installing")
        await agent.end(left, Outcome("interrupted", "program.interrupted"))


async def check(folder: Path, facts: list[Any]) -> None:
    place = folder / str(FOLDER)[1:]
    place.mkdir(exist_ok=True)
    async with Database.open(place / PATH.name, SCHEMA, readers=0) as db:
        found = await db.read(state)
        promised = [fact[1] for fact in facts if fact[0] == "promised"] or [NOTHING]
        states = [NOTHING, *(fact[1] for fact in facts if fact[0] == "begun")]
        assert found in states[max(map(states.index, promised)) :], "neither old nor new"
        jobs, seq, epoch = found
        by_name = {job.job: job for job in jobs}
        steps = list(Step)
        for kind, *what in facts:
            if kind == "taken":
                assert what[0] in by_name, "an order was taken and lost"
                assert epoch >= what[1], "an older epoch would be obeyed again"
            elif kind == "stepped":
                job = by_name[what[0]]
                assert steps.index(job.snapshot.step) >= steps.index(what[1]), "a step was taken back"
                assert len(job.programs) >= what[2], "what a program did is lost"
            elif kind == "started":
                assert by_name[what[0]].running == what[1], "a program was started and nobody knows"
            elif kind == "told":
                assert seq >= what[0], "a number will be used twice"
            elif kind == "ended":
                assert by_name[what[0]].receipt == what[1], "another receipt than the one that was told"
        # The heir goes on: new numbers, and no second outcome.
        told = max((fact[1] for fact in facts if fact[0] == "told"), default=0)
        assert await db.write(j.next_seq) > told
        for job in jobs:
            again = replace(job, state="failed", finished=2_000)
            final = await db.write(lambda connection, again=again: j.save_final(connection, again, sign))
            assert not job.finished or final == job, "a job has two outcomes"
        assert await db.read(lambda connection: connection.execute("PRAGMA integrity_check").fetchone()) == ("ok",)


async def test_what_was_told_is_there_after_any_power_cut(tmp_path: Path) -> None:
    disk = RecordingDisk()
    await story(disk)
    assert await campaign(disk, tmp_path, check, seeds=2, step=2) > 100


async def test_and_that_needs_the_syncs_of_the_log(tmp_path: Path) -> None:
    disk = RecordingDisk(ignored=["sqlite:log"])
    await story(disk)
    assert "sqlite:log" in disk.sites
    with pytest.raises(Violation):
        await campaign(disk, tmp_path, check, seeds=0, step=2)
