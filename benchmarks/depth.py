"""What a tier costs in time: server, repeater, gateway, endpoint; 128 MiB over links paced to 20 MB/s.

The moment when a link has carried all its bytes is read from the kernel's counters, 25 times a second.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness import Goals, Series, every, random_files, run
from region import Region, RegionError

GOALS: Goals = {"last_after_first": ("<=", 5.0)}
SIZE = 128 << 20
RATE = "20MB/s"
#: What control messages after the last chunk may add.
SLACK = 64 << 10


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """One chain."""
    tree = folder / "tree"
    random_files(tree, SIZE, SIZE // 4)
    chain = ("server", "repeater", "gateway", "endpoint")
    with Region(folder / "r") as region:
        region.add_server()
        region.add_gateway("repeater")
        region.add_gateway("gateway", "repeater")
        region.add_endpoint("endpoint", "gateway")
        for parent, child in pairwise(chain):
            region.cli("link", "set", child, "--rate", RATE, *(() if parent == "server" else ("--node", parent)))
        region.cli("package", "build", str(tree), "--name", "deep", "--version", "1")
        series = Series(region.meter())
        with every(0.04, series.sample):
            job = region.cli("job", "install", "deep", "--on", "endpoint", "--watch")
        if job["job"]["state"] != "done":
            raise RegionError(f"the job ended badly: {job}")
        series.sample()
    final = series.points[-1][1]
    moments = [series.reached(f"{a} -> {b}", final[f"{a} -> {b}"] - SLACK) for a, b in pairwise(chain)]
    done = {
        "bytes": SIZE, "rate": RATE, "tiers": len(chain), "seconds_by_link": [round(m, 3) for m in moments],
        "bytes_by_link": final,
    }  # fmt: skip
    return done, {"last_after_first": 100 * (moments[-1] - moments[0]) / moments[0]}


def main() -> int:
    """Entry point."""
    return run("depth", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
