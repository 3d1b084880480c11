"""Power cuts under actions: what is placed, what is kept for going back, and the journal, on one disk.

Rules
- A version is installed whose actions replace somebody's file and place others; a second one changes them, and a third
  one fails after its actions and goes back.
- At every moment: a placed file holds what one of the versions says, whole; what the journal would go back to is there;
  what was told to the parent is so.  At some of them the agent is started over what is left, and gets to the right end.
- Taking out any one sync of the placing breaks one of these.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.crash.recording import Fact, RecordingDisk, RecordingFiles, SyncData, connect_to
from tests.crash.test_installer import Broken, write_tree
from tests.crash.treedisk import Content, TreeDisk
from tests.endpoint.acting.site import act
from tests.endpoint.lab import Package, Region, agent_over, pack

from tiercast_endpoint.acting import effects
from tiercast_endpoint.acting.prefix import FILE, FOLDER, digest_of
from tiercast_endpoint.jobs.story import Snapshot, Step
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.files import make_folder

STARTED = 16


def version(number: str, **more: object) -> Package:
    files = {"conf": f"version {number}\n".encode() * 40, "share": None, f"share/{number}": number.encode() * 30}
    actions = (act("file", path="/etc/app.conf", source="conf"), act("files", path="/share", source="share"))
    return pack("hello", number, files | {"no.sh": b"#!/bin/sh\nexit 3\n"}, action=actions, **more)  # type: ignore[arg-type]


ONE, TWO = version("1.0"), version("2.0")
THREE = version("3.0", run_after=Program(("./no.sh",), idempotent=True))
CHUNKS = {**ONE.chunks, **TWO.chunks, **THREE.chunks}
JOBS = (("one", ONE, "done"), ("two", TWO, "done"), ("three", THREE, "failed"))
MINE = b"somebody's own\n"


def stands(package: Package | None) -> dict[str, bytes]:
    """What is placed while this version stands."""
    if package is None:
        return {"etc/app.conf": MINE}
    name, content = next((path, data) for path, data in package.files.items() if path.startswith("share/"))
    return {"etc/app.conf": bytes(package.files["conf"] or b""), name: bytes(content or b"")}  # type: ignore[arg-type]


#: What stands after each job, and before the first.
AFTER = {"": stands(None), "one": stands(ONE), "two": stands(TWO), "three": stands(TWO)}
VERSIONS = [stands(package) for package in (None, ONE, TWO, THREE)]
#: Of each placed path what the versions that have it say.
MAY = {path: {some[path] for some in VERSIONS if path in some} for what in VERSIONS for path in what}


class Recorded:
    """One run of the story."""

    def __init__(self, folder: Path, region: Region, ignored: str = "") -> None:
        self.folder, self.region = folder, region
        self.disk = RecordingDisk(ignored=[ignored])
        for name in ("root", "prefix/etc", "kept"):
            (folder / name).mkdir(parents=True)
        (folder / "prefix/etc/app.conf").write_bytes(MINE)
        self.trees = TreeDisk(self.disk, folder)
        #: From here on: before, what lies there from the start is not yet recorded.
        self.first = len(self.disk.operations)
        self.orders = [region.order(name, "install", package) for name, package, _ in JOBS]

    async def run(self) -> None:
        """From the first order to the last receipt."""
        stored = RecordingFiles(self.disk)
        make_folder(stored, self.folder)
        with self.trees.recording():
            async with agent_over(
                self.folder, self.region, chunks=CHUNKS, files=stored, connect=connect_to(self.disk), readers=0
            ) as agent:
                for order, (_, _, state) in zip(self.orders, JOBS, strict=True):
                    await agent.order(order)
                    assert (await agent.ended(order.job)).state == state
                    self.disk.fact("ended", order.job)

    def look(self, place: Path, prefix: int, rng: random.Random | None, chance: float) -> Content:
        """Cut the power, leave databases and store below `place`, and compare; gives the agent's folder."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        self.disk.crash(prefix, rng, chance).write_to(place)
        at = place / str(self.folder)[1:]
        at.mkdir(parents=True, exist_ok=True)
        trees = self.trees.crash(prefix, rng, chance)
        here = {path.removeprefix("prefix/"): what for path, what in trees.items() if path.startswith("prefix/")}
        for path, may in MAY.items():
            if path in here and here[path] not in may:
                raise Broken(f"{path} is of no version")
        ended = [fact[1] for fact in self.disk.facts(prefix) if fact[0] == "ended"]
        if "etc/app.conf" not in here:
            raise Broken("what always stood there is gone")
        following = [fact[1] for fact in self.disk.facts(prefix) if fact[0] == "tree"]
        if following and ended and prefix == self._end_of(ended[-1]) and _placed(here) != AFTER[ended[-1]]:
            raise Broken(f"{ended[-1]} was told to have ended, and what stands is not so")
        with closing(sqlite3.connect(at / "agent.db")) as db:
            db.execute("PRAGMA synchronous=OFF")  # who looks need not wait for the disk of the tests
            if db.execute("SELECT 1 FROM sqlite_master WHERE name='effect'").fetchone() is not None:
                self._kept(db, trees)
        return trees

    def _kept(self, db: sqlite3.Connection, trees: Content) -> None:
        for (number,) in db.execute("SELECT DISTINCT job FROM effect").fetchall():
            (packed,) = db.execute("SELECT snapshot FROM job WHERE n=?", (number,)).fetchone()
            forward = msgspec.msgpack.decode(packed, type=Snapshot).step is Step.APPLY
            for effect in effects.of_job(db, number):
                if forward and effect.phase == effects.READY:
                    self._staged(effect, trees)
                for change in effect.changes if effect.phase != effects.BEGUN else ():
                    if change.before.kept and f"kept/{change.before.kept}" not in trees:
                        raise Broken(f"{change.path} can't be brought back")

    def _staged(self, effect: effects.Effect, trees: Content) -> None:
        """What the journal calls ready has only its name to get."""
        for change in effect.changes:
            here = trees.get(f"prefix{change.path}", b"")
            stands = isinstance(here, bytes) and digest_of(here) == change.after.digest
            waits = f"prefix{change.path.rpartition('/')[0]}/{change.staged}" in trees
            if change.after.kind == FILE and not (stands or waits):
                raise Broken(f"{change.path} is called ready, and is nowhere")
            if change.after.kind == FOLDER and f"prefix{change.path}" not in trees:
                raise Broken(f"{change.path} is called ready, and is not there")

    def _end_of(self, job: str) -> int:
        return 1 + next(n for n, op in enumerate(self.disk.operations) if op == Fact(("ended", job)))

    @property
    def ends(self) -> list[int]:
        return [self._end_of(name) for name, _, _ in JOBS]


def _placed(here: Content) -> dict[str, object]:
    return {path: what for path, what in here.items() if isinstance(what, bytes)}


@pytest.fixture(name="region")
def _region() -> Region:
    return Region(PrivateKey.generate(), PrivateKey.generate())


def breaks(run: Recorded, place: Path, every: int = 1) -> str:
    """What some power cut breaks, of every so many of them; "" where none does."""
    operations = run.disk.operations
    promises = [n + 1 for n, op in enumerate(operations) if isinstance(op, SyncData)]
    try:
        for prefix in [*run.ends, *promises[::every]]:
            run.look(place, prefix, None, 0.0)
        for prefix in [n for n in range(run.first, len(operations)) if isinstance(operations[n - 1], Fact)][::every]:
            run.look(place, prefix, random.Random(prefix), 0.5)
    except Broken as broken:
        return str(broken)
    return ""


async def test_every_power_cut_leaves_each_file_whole_and_the_way_back(tmp_path: Path, region: Region) -> None:
    run = Recorded(tmp_path / "agent", region)
    await run.run()
    assert breaks(run, tmp_path / "cut", every=4) == ""
    chance = random.Random(3)
    for number in range(STARTED):
        prefix = chance.randrange(run.first, len(run.disk.operations) + 1)
        place = tmp_path / f"started{number}"
        trees = run.look(place, prefix, chance, (0.0, 0.5)[number % 2])
        folder = place / str(run.folder)[1:]
        write_tree({path: what for path, what in trees.items() if not (folder / path).exists()}, folder)
        async with agent_over(folder, region, chunks=CHUNKS) as agent:
            for order, (name, _, state) in zip(run.orders, JOBS, strict=True):
                await agent.order(order)
                assert (await agent.ended(order.job)).state == state, name
            left = {
                str(p.relative_to(folder / "prefix")): p.read_bytes()
                for p in (folder / "prefix").rglob("*")
                if p.is_file()
            }
            assert left == AFTER["three"]
        shutil.rmtree(place)


async def test_and_that_needs_each_sync_of_the_placing(tmp_path: Path, region: Region) -> None:
    plain = Recorded(tmp_path / "agent", region)
    await plain.run()
    sites = sorted(site for site in plain.disk.sites if site.startswith(("changes.py", "syncing.py")))
    assert len(sites) >= 4, sites
    harmless = []
    for site in sites:
        run = Recorded(tmp_path / site.replace(":", "-"), region, site)
        await run.run()
        if not breaks(run, tmp_path / "cut"):
            harmless.append(site)
    assert harmless == []
