"""Peak memory of every process while a 2 GiB package travels: one gateway, two endpoints, both kinds of broker."""

from __future__ import annotations

import subprocess
import sys
import threading
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
}
SIZE = 2 << 30
FILE = 64 << 20
MIB = 1 << 20


def one(folder: Path, tree: Path, broker: str) -> dict[str, float]:
    """Peaks in MiB with one kind of broker."""
    peaks: dict[str, float] = {}
    with Region(folder / broker[:3], broker=broker) as region:
        region.add_server()
        region.add_gateway("gateway")
        for name in ("endpoint1", "endpoint2"):
            region.add_endpoint(name, "gateway")
        packager: list[int] = []
        guard = threading.Lock()

        def who() -> dict[str, int]:
            pids = {d.name: d.pid for d in region.daemons.values()}
            for owner in ("server", "gateway"):
                for child in children(pids[owner]):
                    if "tiercast_mqtt" in command_line(child) or "mosquitto" in command_line(child):
                        pids[f"broker of {owner}"] = child
            with guard:
                pids.update(("packager", pid) for pid in packager)
            return pids

        memory = Memory(who)
        with every(0.05, memory.sample):
            note(f"packaging {SIZE >> 20} MiB ...")
            server = str(region.daemons["server"].socket)
            command = [region.python, "-m", "tiercast_cli", "--socket", server, "package", "build", str(tree)]
            build = subprocess.Popen(
                [*command, "--name", "big", "--version", "1"], env=region.environment(), stdout=sys.stderr
            )
            with guard:
                packager.append(build.pid)
            if build.wait() != 0:
                raise RegionError("the package was not built")
            with guard:
                packager.clear()
            note(f"installing it with the broker {broker} ...")
            job = region.cli("job", "install", "big", "--on", "endpoint1", "--on", "endpoint2", "--watch")
            if job["job"]["state"] != "done":
                raise RegionError(f"the job ended badly: {job}")
        for name, peak in memory.peak.items():
            key = "broker" if name.startswith("broker") else name.rstrip("12")
            peaks[key] = max(peaks.get(key, 0.0), peak / MIB)
    return peaks


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Both brokers; the larger peak of each kind of process counts."""
    tree = folder / "tree"
    random_files(tree, SIZE, FILE)
    found = {broker: one(folder, tree, broker) for broker in ("embedded", "mosquitto")}
    figures = {key: max(peaks.get(key, 0.0) for peaks in found.values()) for key in GOALS}
    by_broker = {broker: {key: round(value, 1) for key, value in peaks.items()} for broker, peaks in found.items()}
    return {"package_bytes": SIZE, "gateways": 1, "endpoints": 2, "mib_by_broker": by_broker}, figures


def main() -> int:
    """Entry point."""
    return run("memory", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
