"""Power cuts under a whole installation: journal, store and trees on one disk, at any of its moments.

Rules
- The agent's own installer installs a small version, upgrades to one of many files, and removes it; database, store and
  install root are recorded side by side.
- At every moment: a tree that the journal calls whole is whole, a name leads to a whole tree or to nothing, what was
  told to the parent is so.  At some of them the agent is started over what is left, and goes on to the right end.
- Taking out any one sync of the install root breaks one of these.
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
from tests.crash.treedisk import Content, TreeDisk
from tests.endpoint.lab import Package, Region, agent_over, pack

from tiercast_endpoint.jobs.install import Snapshot, Step
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.files import make_folder

ONE = pack("hello", "1.0", {"a": None, "a/big": random.Random(5).randbytes(270_000), "a/small": b"one", "l": "a/big"})
PLAIN = pack("hello", "4.0", {**ONE.files, "a/small": b"two", **{f"c{n:02}": b"%d" % n for n in range(70)}})
CHUNKS = {**ONE.chunks, **PLAIN.chunks}
WHOLE: dict[bytes, Package] = {ONE.root: ONE, PLAIN.root: PLAIN}
#: Jobs of the story, and what the name leads to once each has ended.
JOBS: tuple[tuple[str, str, Package, Package | None], ...] = (
    ("one", "install", ONE, ONE),
    ("two", "install", PLAIN, PLAIN),
    ("three", "remove", PLAIN, None),
)
#: Whose syncs are looked at.
OURS = {"root_folder.py", "treewriter.py", "growing.py", "tree.py"}
#: How many of the moments an agent is started over.
STARTED = 24


@pytest.fixture(name="region")
def _region() -> Region:
    return Region(PrivateKey.generate(), PrivateKey.generate())


class Broken(AssertionError):
    """What may never be."""


class Recorded:
    """One run of the story."""

    def __init__(self, folder: Path, region: Region, ignored: str = "") -> None:
        self.folder, self.region = folder, region
        self.disk = RecordingDisk(ignored=[ignored])
        (folder / "root").mkdir(parents=True)
        self.trees = TreeDisk(self.disk, folder / "root")
        self.orders = [region.order(name, type_, package) for name, type_, package, _ in JOBS]

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
                    record = await agent.ended(order.job)
                    assert record.state == "done", record
                    self.disk.fact("ended", order.job)

    @property
    def moments(self) -> int:
        """How many there are."""
        return len(self.disk.operations)

    def cut(self, place: Path, prefix: int, rng: random.Random | None = None, chance: float = 0.0) -> Content:
        """Leave below `place` what a power cut leaves of databases and store; of the install root, its content."""
        place.mkdir()
        self.disk.crash(prefix, rng, chance).write_to(place)
        (place / str(self.folder)[1:]).mkdir(parents=True, exist_ok=True)
        return self.trees.crash(prefix, rng, chance)

    def ended(self, prefix: int) -> list[str]:
        """Jobs whose end was told by then."""
        return [fact[1] for fact in self.disk.facts(prefix) if fact[0] == "ended"]


def below(trees: Content, path: str) -> Content:
    """What lies below `path`, relative."""
    return {name[len(path) + 1 :]: content for name, content in trees.items() if name.startswith(f"{path}/")}


def look(trees: Content, db: sqlite3.Connection, ended: list[str]) -> None:
    """Compare the install root with what the journal says and the parent was told."""
    contents = [package.files for package in WHOLE.values()]
    for shelf in [path for path in trees if path.count("/") == 2 and path.startswith(".trees/")]:
        if below(trees, shelf) not in contents:
            raise Broken(f"{shelf} on its shelf is not whole")
    leads = trees.get("hello")
    if leads is not None and below(trees, str(leads)) not in contents:
        raise Broken(f"the name leads to {leads!r}, which is not whole")
    if ended:
        told = {name: what for name, _, _, what in JOBS}[ended[-1]]
        later = [what for name, _, _, what in JOBS if name not in ended]
        shows = below(trees, str(leads)) if leads is not None else None
        if shows not in [what.files if what else None for what in (told, *later)]:
            raise Broken(f"{ended[-1]} was told to have ended, and the name leads to {leads!r}")
    if db.execute("SELECT 1 FROM sqlite_master WHERE name='job'").fetchone() is None:
        return
    for tree, root in db.execute("SELECT tree, root FROM tree WHERE whole=1"):
        if below(trees, tree) != WHOLE[root].files:
            raise Broken(f"the journal calls {tree} whole")
    for job, revision, tree, made, snapshot in db.execute("SELECT job, revision, tree, made, snapshot FROM job"):
        step = msgspec.msgpack.decode(snapshot, type=Snapshot).step
        if made and tree and step is not Step.ASSEMBLE and f".staging/{job}.{revision}" in trees:
            raise Broken(f"{job} has its tree, and it is in staging, too")


def database(place: Path, folder: Path) -> sqlite3.Connection:
    """The agent's, as it opens."""
    connection = sqlite3.connect(place / str(folder)[1:] / "agent.db")
    connection.execute("PRAGMA synchronous=OFF")  # who looks need not wait for the disk of the tests
    return connection


def look_at(run: Recorded, folder: Path, prefix: int, rng: random.Random | None, chance: float) -> None:
    """Look at one power cut.

    Raises:
        Broken: what is there may not be.
    """
    place = folder / "cut"
    shutil.rmtree(place, ignore_errors=True)
    trees = run.cut(place, prefix, rng, chance)
    with closing(database(place, run.folder)) as db:
        look(trees, db, run.ended(prefix))


def breaks(run: Recorded, folder: Path) -> bool:
    """Whether some power cut breaks a promise: at the moments at which the journal makes one, and between them."""
    promises = [n + 1 for n, op in enumerate(run.disk.operations) if isinstance(op, SyncData)]
    changes = [n + 1 for n, op in enumerate(run.disk.operations) if isinstance(op, Fact) and op.what[0] != "begun"]
    try:
        for prefix in [*promises, run.moments]:
            look_at(run, folder, prefix, None, 0.0)
        for prefix in changes:
            look_at(run, folder, prefix, random.Random(prefix), 0.5)
    except Broken:
        return True
    return False


async def test_every_power_cut_leaves_what_the_journal_says(tmp_path: Path, region: Region) -> None:
    run = Recorded(tmp_path / "agent", region)
    await run.run()
    for prefix in range(0, run.moments + 1, 7):
        look_at(run, tmp_path, prefix, None, 0.0)
        look_at(run, tmp_path, prefix, random.Random(prefix), (0.2, 0.5, 0.8)[prefix % 3])
    chance = random.Random(1)
    for number in range(STARTED):
        prefix = chance.randrange(run.moments + 1)
        place = tmp_path / f"started{number}"
        trees = run.cut(place, prefix, chance, (0.0, 0.5)[number % 2])
        folder = place / str(run.folder)[1:]
        (folder / "root").mkdir()
        write_tree(trees, folder / "root")
        async with agent_over(folder, region, chunks=CHUNKS) as agent:
            for order in run.orders:
                await agent.order(order)
                assert (await agent.ended(order.job)).state == "done"
            assert agent.tree("hello") is None
            assert agent.root.trees() == []
        shutil.rmtree(place)


def write_tree(trees: Content, top: Path) -> None:
    """Make it real."""
    for path, content in trees.items():
        if content is None:
            (top / path).mkdir(mode=0o700)
        elif isinstance(content, str):
            (top / path).symlink_to(content)
        else:
            (top / path).write_bytes(content)


async def test_and_that_needs_each_sync_of_the_install_root(tmp_path: Path, region: Region) -> None:
    plain = Recorded(tmp_path / "agent", region)
    await plain.run()
    assert not breaks(plain, tmp_path)
    sites = sorted(site for site in plain.disk.sites if site.split(":")[0] in OURS)
    assert len(sites) >= 12, sites
    harmless = []
    for site in sites:
        run = Recorded(tmp_path / site.replace(":", "-"), region, site)
        await run.run()
        if not breaks(run, tmp_path):
            harmless.append(site)
    assert harmless == []
