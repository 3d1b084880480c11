"""Power cuts under native actions: no installer has begun that the journal does not know, none runs twice.

Rules
- A stand-in installer does its work in this process: it adds a line to a file of the machine and syncs it, as package
  managers do; so its work and the journal lie on one recorded disk.
- At every moment: what the journal does not call running has not begun, and what it calls done is there.  At some of
  them the agent is started over what is left: nothing runs twice, and what was cut off is told as interrupted.
- Taking the syncs of the journal out breaks one of these.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.crash.recording import Fact, RecordingDisk, RecordingFiles, SyncData, connect_to
from tests.crash.test_installer import Broken, write_tree
from tests.crash.treedisk import Content, TreeDisk
from tests.endpoint.acting.site import act
from tests.endpoint.lab import Package, Region, agent_over, pack

from tiercast_endpoint.acting import effects, engine, runner
from tiercast_endpoint.jobs.story import Snapshot, Step
from tiercast_protocol.content.jobs.receipt import ProgramResult
from tiercast_protocol.content.package.actionread import unpack_actions
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.files import make_folder

STARTED = 4
RAN = "prefix/ran"


def version(number: int) -> Package:
    files: dict[str, bytes | str | None] = {"do.sh": b"#!/bin/sh\n", "no": b"%d" % number}
    action = act("program", name=f"p{number}", argv=["./do.sh", f"do-{number}"], undo=["./do.sh", f"undo-{number}"])
    return pack("hello", f"{number}.0", files, action=(action,))


ONE, TWO = version(1), version(2)
CHUNKS = {**ONE.chunks, **TWO.chunks}
JOBS = (("one", "install", ONE), ("two", "install", TWO), ("three", "remove", TWO))


class StandIn(runner.JobRunner):
    """Runs an installer: a line more in a file of the machine, synced, by the calls that are recorded."""

    async def __call__(self, argv: Sequence[str], **_more: Any) -> ProgramResult:
        top = self._prefix.path
        before = (top / "ran").read_bytes() if (top / "ran").exists() else b""
        fd = os.open(top / "ran.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(fd, before + argv[-1].encode() + b"\n")
        os.fsync(fd)
        os.close(fd)
        os.rename(top / "ran.new", top / "ran")  # noqa: PTH104 - the very call that is recorded
        folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)
        return ProgramResult(argv=list(argv), exit=0, timed_out=False, seconds=0.0, output="")

    def at(self, tree: Path) -> StandIn:
        other = StandIn(self._db, self._job, self._prefix, tree)
        other.results = self.results
        return other


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "JobRunner", StandIn)


@pytest.fixture(name="region")
def _region() -> Region:
    return Region(PrivateKey.generate(), PrivateKey.generate())


class Recorded:
    """One run of the story: two installations and a removal."""

    def __init__(self, folder: Path, region: Region, ignored: str = "") -> None:
        self.folder, self.region = folder, region
        self.disk = RecordingDisk(ignored=[ignored])
        for name in ("root", "prefix", "kept"):
            (folder / name).mkdir(parents=True)
        self.trees = TreeDisk(self.disk, folder)
        self.first = len(self.disk.operations)
        self.orders = [region.order(name, type_, package) for name, type_, package in JOBS]

    async def run(self) -> None:
        """From the first order to the last receipt."""
        stored = RecordingFiles(self.disk)
        make_folder(stored, self.folder)
        with self.trees.recording():
            async with agent_over(
                self.folder, self.region, chunks=CHUNKS, files=stored, connect=connect_to(self.disk), readers=0
            ) as agent:
                for order in self.orders:
                    await agent.order(order)
                    assert (await agent.ended(order.job)).state == "done"

    def look(self, place: Path, prefix: int, rng: random.Random | None, chance: float) -> Content:
        """Cut the power, leave databases and store below `place`, and compare; gives the agent's folder."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        self.disk.crash(prefix, rng, chance).write_to(place)
        at = place / str(self.folder)[1:]
        at.mkdir(parents=True, exist_ok=True)
        trees = self.trees.crash(prefix, rng, chance)
        with closing(sqlite3.connect(at / "agent.db")) as db:
            db.execute("PRAGMA synchronous=OFF")  # who looks need not wait for the disk of the tests
            if db.execute("SELECT 1 FROM sqlite_master WHERE name='effect'").fetchone() is not None:
                self._known(db, words(trees))
        return trees

    def _known(self, db: sqlite3.Connection, ran: list[str]) -> None:
        known: set[str] = set()
        for (number,) in db.execute("SELECT n FROM job WHERE finished=0").fetchall():
            for effect in effects.of_job(db, number):
                key = "undo" if effect.kind == effects.TAKE else "argv"
                word = unpack_actions(effect.action)[0].texts(key)[-1]
                begun = effect.phase in {effects.RUNNING, effects.DONE, effects.BACK}
                known |= {word} if begun else set()
                if effect.phase == effects.DONE and word not in ran:
                    raise Broken(f"{word} is called done, and is not")
        rows = db.execute("SELECT job, snapshot FROM job").fetchall()
        over = {name for name, packed in rows if msgspec.msgpack.decode(packed, type=Snapshot).step in AFTERWARDS}
        known |= {word for name, belongs in OF_JOB.items() if name in over for word in belongs}
        if unknown := set(ran) - known:
            raise Broken(f"{unknown} ran, and the journal does not know")


#: At these steps all of a job's actions are done, and its effects may be forgotten.
AFTERWARDS = {Step.ENTER, Step.SETTLE, Step.UNLINK, Step.DELETE, Step.END}
#: What each job runs.
OF_JOB = {"one": ("do-1",), "two": ("do-2", "undo-1"), "three": ("undo-2",)}


def words(trees: Content) -> list[str]:
    """What ran, by what the machine says."""
    found = trees.get(RAN)
    return found.decode().split() if isinstance(found, bytes) else []


def breaks(run: Recorded, place: Path, every: int = 1) -> str:
    """What some power cut breaks, of every so many of them; "" where none does."""
    operations = run.disk.operations
    promises = [n + 1 for n, op in enumerate(operations) if isinstance(op, SyncData)]
    facts = [n for n in range(run.first, len(operations)) if isinstance(operations[n - 1], Fact)]
    try:
        for prefix in (promises + facts)[::every]:
            run.look(place, prefix, None, 0.0)
        for prefix in facts[::every]:
            run.look(place, prefix, random.Random(prefix), 0.5)
    except Broken as broken:
        return str(broken)
    return ""


async def test_every_power_cut_leaves_installers_that_the_journal_knows_and_none_runs_twice(
    tmp_path: Path, region: Region
) -> None:
    run = Recorded(tmp_path / "agent", region)
    await run.run()
    assert breaks(run, tmp_path / "cut", every=3) == ""
    chance, ends = random.Random(4), Counter[str]()
    around = [n for n in range(run.first, len(run.disk.operations)) if "new='ran" in str(run.disk.operations[n])]
    prefixes = [chance.randrange(run.first, len(run.disk.operations) + 1) for _ in range(STARTED)]
    # An installer has done its work, and the journal does not know it yet.
    prefixes += [n + after for n in around for after in (1, 2, 3)]
    for number, prefix in enumerate(prefixes):
        place = tmp_path / f"started{number}"
        trees = run.look(place, prefix, chance, (0.0, 0.5)[number // 2 % 2])
        folder = place / str(run.folder)[1:]
        write_tree({path: what for path, what in trees.items() if not (folder / path).exists()}, folder)
        async with agent_over(folder, region, chunks=CHUNKS) as agent:
            for order in run.orders:
                await agent.order(order)
                record = await agent.ended(order.job)
                ran = (folder / RAN).read_text().split() if (folder / RAN).exists() else []
                assert max(Counter(ran).values(), default=0) <= 1, f"{ran} at {prefix}"
                done = record.state == "done"
                assert done or record.code in {"program.interrupted", "undo.failed"}, record
                assert not done or OF_JOB[order.job][0] in ran
                ends[record.state] += 1
        shutil.rmtree(place)
    assert ends["interrupted"] > 0, f"what was cut off is told: {ends}"


async def test_and_that_needs_the_syncs_of_the_journal(tmp_path: Path, region: Region) -> None:
    run = Recorded(tmp_path / "agent", region, "sqlite:log")
    await run.run()
    assert "sqlite:log" in run.disk.sites
    assert "the journal does not know" in breaks(run, tmp_path / "cut")
