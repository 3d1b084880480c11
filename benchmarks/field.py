"""A region of many gateways for simulated endpoints (`crowd.py`), a small job to all of them, and what came of it.

Rules
- Server, gateways and brokers are the real programs, started as a sysadmin starts them.
- What a job came to is read from the region's database, which is what counts; every receipt is proved here once more.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import time
from pathlib import Path

from region import Region, RegionError
from seeded import GROUP, Seat, seat
from tiercast_protocol.content.jobs.receipt import open_receipt
from tiercast_protocol.node.control.client import connect

GATEWAYS = int(os.environ.get("SCALE_GATEWAYS", "20"))
#: A small job: one file, one chunk.
FILE = 16 << 10
#: How long a job may take before it is given up.
PATIENCE_S = 600.0


def need_descriptors(most: int) -> None:
    """Raise our soft limit, which all that we start inherits; say what to do where that is not enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < most:
        raise RegionError(f"{most} open files are needed and {hard} allowed: ulimit -Hn {most}, or --sizes 100,1000")
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Field:
    """A region with its gateways, growing."""

    def __init__(self, folder: Path, region: Region, gateways: int = GATEWAYS) -> None:
        self.folder, self.region = folder, region
        self.gateways = [f"site-{number:02}" for number in range(gateways)]
        self.seats: list[Seat] = []

    def build(self) -> None:
        """Server and gateways."""
        self.region.add_server()
        for name in self.gateways:
            self.region.add_gateway(name)
        # Each says where it is; what the region tells of that to everybody must be told before there is everybody.
        deadline = time.monotonic() + PATIENCE_S
        while self._unplaced():
            if time.monotonic() > deadline:
                raise RegionError("a gateway did not say where it is")
            time.sleep(0.05)

    def _unplaced(self) -> int:
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as db:
            found = db.execute("SELECT count(*) FROM nodes WHERE role = 'gateway' AND url = ''").fetchone()
        return int(found[0])

    def package(self, version: str) -> None:
        """A new small package."""
        tree = self.folder / f"tree-{version}"
        tree.mkdir()
        (tree / "small").write_bytes(os.urandom(FILE))
        self.region.cli("package", "build", str(tree), "--name", "small", "--version", version)

    def grow(self, size: int) -> None:
        """Let endpoints in until there are `size`."""
        self.region.stop()
        self.seats += seat(self.region, self.gateways, range(len(self.seats), size))
        self.region.start(self.region.daemons["server"])
        for wait in [self.region.launch(self.region.daemons[name]) for name in self.gateways]:
            wait()

    @property
    def database(self) -> Path:
        """The region's."""
        return self.region.daemons["server"].folder / "region.db"


async def create(field: Field, version: str, size: int) -> str:
    """Order the package for everybody; the job."""
    async with connect(field.region.daemons["server"].socket) as client:
        made = await client.call(
            "job.create",
            type="install",
            package=f"small={version}",
            targets=[],
            groups=[GROUP],
            note="",
            expires_s=3600,
            options={},
            confirm=size,
        )
    return str(made["job"])


def counts_of(database: Path, job: str) -> dict[str, int]:
    """The targets of a job by state."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        return dict(db.execute("SELECT state, count(*) FROM targets WHERE job = ? GROUP BY state", (job,)).fetchall())


def orders_at(database: Path, job: str) -> int:
    """How many targets' orders of a job a gateway has."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        return int(db.execute("SELECT count(*) FROM order_targets WHERE job = ?", (job,)).fetchone()[0])


async def until_done(database: Path, job: str, size: int, began: float) -> float:
    """Wait until all receipts of a job are committed; seconds until the first was.  Raises RegionError."""
    first = 0.0
    deadline = time.monotonic() + PATIENCE_S
    while True:
        counts = counts_of(database, job)
        if counts.get("done"):
            first = first or time.monotonic() - began
        if counts.get("done", 0) == size:
            return first
        if time.monotonic() > deadline:
            raise RegionError(f"after {PATIENCE_S:.0f} s the job's targets are {counts}")
        await asyncio.sleep(0.1)


def prove(database: Path, job: str) -> int:
    """How many targets of the job have a receipt that their own key signed."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        rows = db.execute(
            "SELECT t.node, t.receipt, t.signature, n.public_key FROM targets t JOIN nodes n ON n.name = t.node"
            " WHERE t.job = ? AND t.state = 'done' AND t.proved",
            (job,),
        ).fetchall()
    return len({open_receipt(receipt, signature, key).node for _, receipt, signature, key in rows})
