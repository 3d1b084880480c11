"""One job to many: 100, 1,000 and 10,000 endpoints below 20 gateways on this machine (docs/performance.md, "scale").

    scripts/bench scale [--json]        SCALE_SIZES=100,1000 for fewer endpoints

Rules
- Server, gateways and brokers are the real programs; endpoints are `crowd.py`, where it is said what is simulated.
- A job counts from the call at the server's socket to the last signed receipt in the region's database, each proved
  here once more. Processor time is the server process's alone, its broker's stands in `work`.
- Messages are the envelopes that the server's outbox and inbox sent and took, acknowledgements too.
"""

from __future__ import annotations

import asyncio
import math
import os
import resource
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from crowds import Crowds
from harness import Goals, Memory, every, note, run
from region import Region, RegionError
from seeded import GROUP, Seat, seat
from staged import cpu_seconds
from tiercast_protocol.content.receipt import open_receipt
from tiercast_protocol.node.control.client import connect

GOALS: Goals = {
    "messages": ("<=", 0.05),
    "cpu_ms": ("<=", 1.0),
    "server_mib": ("<=", 300),
    "all_seconds": ("<=", 60),
}
SIZES = [int(word) for word in os.environ.get("SCALE_SIZES", "100,1000,10000").split(",")]
GATEWAYS = int(os.environ.get("SCALE_GATEWAYS", "20"))
#: A small job: one file, one chunk.
FILE = 16 << 10
#: Descriptors of the process that needs most: a crowd's, or a broker's.
_SPARE = 200
#: How long a job may take before it is given up.
PATIENCE_S = 300.0


def need_descriptors(most: int) -> None:
    """Raise our soft limit, which all that we start inherits; say what to do where that is not enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < most:
        raise RegionError(f"{most} open files are needed and {hard} allowed: ulimit -Hn {most}, or SCALE_SIZES=1000")
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Field:
    """A region with its gateways, growing."""

    def __init__(self, folder: Path, region: Region) -> None:
        self.folder, self.region = folder, region
        self.gateways = [f"site-{number:02}" for number in range(GATEWAYS)]
        self.seats: list[Seat] = []

    def build(self) -> None:
        """Server, gateways, and the package."""
        self.region.add_server()
        for name in self.gateways:
            self.region.add_gateway(name)

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


async def one_job(field: Field, package: str, size: int) -> dict[str, float]:
    """One job to everybody; its figures, none of them per endpoint yet."""
    server = field.region.daemons["server"]
    async with connect(server.socket) as client:
        broker = int((await client.call("status"))["broker"]["pid"])
        counts = (await client.call("status"))["messages"]
        used = {pid: cpu_seconds(pid) for pid in (server.pid, broker)}
        memory = Memory(lambda: {"server": server.pid})
        with every(0.1, memory.sample):
            began = time.monotonic()
            made = await client.call(
                "job.create",
                type="install",
                package=package,
                targets=[],
                groups=[GROUP],
                note="",
                expires_s=3600,
                options={},
                confirm=size,
            )
            created = time.monotonic() - began
            first = await until_done(field.database, made["job"], size, began)
            seconds = time.monotonic() - began
        after = (await client.call("status"))["messages"]
        shown = await client.call("job.show", job=made["job"], most=10)
        if shown["state"] != "done":
            raise RegionError(f"the job ended {shown['state']}: {shown['counts']}")
    prove(field.database, made["job"], size)
    kinds = {key: after[key] - counts[key] for key in after}
    note(f"{size}: {seconds:.1f} s, first receipt after {first:.1f} s, messages {kinds}")
    return {
        "all_seconds": seconds,
        "created_seconds": created,
        "first_seconds": first,
        "messages": float(sum(kinds.values())),
        "cpu_seconds": cpu_seconds(server.pid) - used[server.pid],
        "broker_cpu_seconds": cpu_seconds(broker) - used[broker],
        "server_mib": memory.peak["server"] / (1 << 20),
    }


async def until_done(database: Path, job: str, size: int, began: float) -> float:
    """Wait until all receipts of a job are committed; seconds until the first was."""
    first = 0.0
    deadline = time.monotonic() + PATIENCE_S
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        while True:
            query = "SELECT state, count(*) FROM targets WHERE job = ? GROUP BY state"
            counts = dict(db.execute(query, (job,)).fetchall())
            if counts.get("done"):
                first = first or time.monotonic() - began
            if counts.get("done", 0) == size:
                return first
            if time.monotonic() > deadline:
                raise RegionError(f"after {PATIENCE_S:.0f} s the job's targets are {counts}")
            await asyncio.sleep(0.1)


def prove(database: Path, job: str, size: int) -> None:
    """Every target of the job has one receipt that its own key signed.  Raises RegionError."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        rows = db.execute(
            "SELECT t.node, t.receipt, t.signature, n.public_key FROM targets t JOIN nodes n ON n.name = t.node"
            " WHERE t.job = ? AND t.state = 'done' AND t.proved",
            (job,),
        ).fetchall()
    good = {open_receipt(receipt, signature, key).node for _, receipt, signature, key in rows}
    if len(good) != size:
        raise RegionError(f"{len(good)} of {size} receipts are proved")


def growth(found: dict[int, dict[str, float]], key: str) -> float:
    """The exponent of the power that fits a figure over the sizes best: 1 grows with them, 0 not at all."""
    points = [(math.log(size), math.log(max(figures[key], 1e-3))) for size, figures in found.items()]
    if len(points) < 2:
        return 0.0
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    over = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / over


async def jobs_of(field: Field, size: int) -> dict[str, float]:
    """The figures of one size."""
    async with Crowds(field.folder / f"crowd-{size}", field.region, field.seats) as crowds:
        began = time.monotonic()
        await crowds.connected(size)
        note(f"{size} endpoints connected after {time.monotonic() - began:.1f} s")
        found = await one_job(field, f"small={size}", size)
        effects = await crowds.effects()
        found["doubled"] = sum(effects.values()) - size
        found["crowd_cpu_seconds"] = await crowds.cpu()
    return found


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """All sizes."""
    need_descriptors(max(SIZES) // 2 + _SPARE)
    found: dict[int, dict[str, float]] = {}
    with Region(folder / "r", broker="mosquitto") as region:
        field = Field(folder, region)
        field.build()
        for size in SIZES:
            field.grow(size)
            field.package(str(size))
            found[size] = asyncio.run(jobs_of(field, size))
    most = found[max(SIZES)]
    figures = {
        "messages": most["messages"] / max(SIZES),
        "cpu_ms": most["cpu_seconds"] * 1000 / max(SIZES),
        "server_mib": most["server_mib"],
        "all_seconds": most["all_seconds"],
    }
    done = {
        "gateways": GATEWAYS,
        "file_bytes": FILE,
        "sizes": {str(size): {key: round(value, 3) for key, value in one.items()} for size, one in found.items()},
        "growth": {
            key: round(growth(found, key), 3) for key in ("messages", "cpu_seconds", "server_mib", "all_seconds")
        },
    }
    return done, figures


def main() -> int:
    """Entry point."""
    return run("scale", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
