"""Peak memory of every process: 4 GiB and 100,000 small files with both kinds of broker, and 64 children.

Rules
- A peak is the largest RssAnon of one process of its kind, seen every 50 ms, from packaging to the last receipt.
- Large and small trees go through one gateway to two endpoints, in one region, one after the other: what the first
  leaves behind counts in the second.  The 64 children are real agents below one gateway, in a region of their own,
  with the default broker.
- Everything is installed, not only carried.  Other children of a daemon than its broker are counted as `worker`.
- No package gets a second version, so no patch is made or applied; `scripts/bench delta` prints those peaks.
- MEMORY_PARTS=large,small,many and MEMORY_BROKERS=embedded,mosquitto narrow the work, to look at some of it.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from harness import Goals, Memory, children, command_line, every, note, random_files, run
from region import Region, RegionError

GOALS: Goals = {
    "server": ("<=", 200),
    "gateway": ("<=", 150),
    "broker": ("<=", 100),
    "endpoint": ("<=", 100),
    "packager": ("<=", 200),
    "gateway_64": ("<=", 200),
}
MIB = 1 << 20
LARGE, LARGE_FILE = 4 << 30, 64 << 20
SMALL_FILES, SMALL_FOLDER, SMALL_BYTES = 100_000, 200, (100, 5_900)
MANY, MANY_BYTES = 64, 64 << 20
PARTS = tuple(os.environ.get("MEMORY_PARTS", "large,small,many").split(","))
BROKERS = tuple(os.environ.get("MEMORY_BROKERS", "embedded,mosquitto").split(","))


def small_files(folder: Path) -> int:
    """Incompressible files of some kilobytes; bytes of all."""
    chance = random.Random(11)
    block = random.Random(12).randbytes(1 << 20)
    total = 0
    for number in range(SMALL_FILES):
        place = folder / f"part{number // SMALL_FOLDER:03}"
        if number % SMALL_FOLDER == 0:
            place.mkdir(parents=True)
        size = chance.randint(*SMALL_BYTES)
        at = chance.randrange(len(block) - size)
        (place / f"small{number:06}.dat").write_bytes(number.to_bytes(4, "big") + block[at : at + size - 4])
        total += size
    return total


class Watch:
    """Peaks of all processes of one region, in MiB by kind."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self._packager: list[int] = []
        self._guard = threading.Lock()
        self._memory = Memory(self._who)
        #: Seconds of each step.
        self.took: dict[str, float] = {}

    def _who(self) -> dict[str, int]:
        pids = {daemon.name: daemon.pid for daemon in self.region.daemons.values()}
        for owner in ("server", "gateway"):
            for child in children(pids[owner]):
                line = command_line(child)
                broker = "tiercast_mqtt" in line or "mosquitto" in line
                pids[f"{'broker' if broker else 'worker'} {owner} {child}"] = child
        with self._guard:
            pids.update(("packager", pid) for pid in self._packager)
        return pids

    def carry(self, tree: Path, name: str, endpoints: list[str]) -> None:
        """Package a tree and install it."""
        note(f"{self.region.broker}: packaging {name} ...")
        began = time.monotonic()
        server = str(self.region.daemons["server"].socket)
        command = [self.region.python, "-m", "tiercast_cli", "--socket", server, "package", "build", str(tree)]
        with every(0.05, self._memory.sample):
            build = subprocess.Popen(
                [*command, "--name", name, "--version", "1"], env=self.region.environment(), stdout=sys.stderr
            )
            with self._guard:
                self._packager.append(build.pid)
            failed = build.wait() != 0
            with self._guard:
                self._packager.clear()
            if failed:
                raise RegionError(f"{name} was not built")
            self.took[f"build {name}"] = round(time.monotonic() - began, 1)
            note(f"{self.region.broker}: installing {name} at {len(endpoints)} endpoints ...")
            began = time.monotonic()
            targets = [word for endpoint in endpoints for word in ("--on", endpoint)]
            job = self.region.cli("job", "install", name, *targets, "--watch")
            if job["job"]["state"] != "done":
                raise RegionError(f"the job ended badly: {job}")
            self.took[f"install {name}"] = round(time.monotonic() - began, 1)
        note(f"{self.region.broker}: {name} took {self.took}, peaks {self.peaks()}")

    def peaks(self) -> dict[str, float]:
        """The largest of each kind so far."""
        found: dict[str, float] = {}
        for name, peak in self._memory.peak.items():
            kind = name.split()[0].rstrip("0123456789")
            found[kind] = max(found.get(kind, 0.0), round(peak / MIB, 1))
        return found


def carried(folder: Path, broker: str, count: int, trees: dict[str, Path]) -> tuple[dict[str, float], dict[str, float]]:
    """Peaks, and seconds of each step, of trees that go to `count` endpoints below one gateway."""
    names = [f"endpoint{number}" for number in range(1, count + 1)]
    place = folder / f"{broker[:3]}{count}"
    with Region(place, broker=broker) as region:
        region.add_server()
        region.add_gateway("gateway")
        note(f"{broker}: {count} endpoints join and start ...")
        region.add_endpoints(names, "gateway")
        watch = Watch(region)
        for name, tree in trees.items():
            watch.carry(tree, name, names)
    shutil.rmtree(place)
    return watch.peaks(), watch.took


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Both brokers; the larger peak of each kind of process counts."""
    done: dict[str, Any] = {"gateways": 1, "mib": {}, "seconds": {}}
    trees: dict[str, Path] = {}
    if "large" in PARTS:
        trees["large"] = folder / "large"
        random_files(trees["large"], LARGE, LARGE_FILE)
        done |= {"large_bytes": LARGE, "large_files": LARGE // LARGE_FILE}
    if "small" in PARTS:
        trees["small"] = folder / "small"
        done |= {"small_bytes": small_files(trees["small"]), "small_files": SMALL_FILES}
    if trees:
        done["endpoints"] = 2
    figures: dict[str, float] = {}
    for broker in BROKERS if trees else ():
        peaks, took = carried(folder, broker, 2, trees)
        done["mib"][broker], done["seconds"][broker] = peaks, took
        figures |= {kind: max(figures.get(kind, 0.0), value) for kind, value in peaks.items()}
    for tree in trees.values():
        shutil.rmtree(tree)
    if "many" in PARTS:
        tree = folder / "many"
        random_files(tree, MANY_BYTES, MANY_BYTES // 4)
        done |= {"children": MANY, "children_bytes": MANY_BYTES}
        broker = BROKERS[0]
        peaks, took = carried(folder, broker, MANY, {"many": tree})
        done["mib"][f"{broker}_{MANY}"], done["seconds"][f"{broker}_{MANY}"] = peaks, took
        figures["gateway_64"] = peaks.pop("gateway")
        figures |= {kind: max(figures.get(kind, 0.0), value) for kind, value in peaks.items()}
    missing = float("nan")  # of a part that was left out; it reaches no goal
    return done, {key: figures.get(key, missing) for key in (*GOALS, *(set(figures) - set(GOALS)))}


def main() -> int:
    """Entry point."""
    return run("memory", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
