"""One hop over a long link: 100 Mbit/s, 100 ms round trip, and then the same with a cut every 5 s.

The link is `scripts/faultproxy.py`. A cut resets both connections, and what was on the way is lost. `share` is what
the package had of the link's speed, from the order to the last byte; `resent` is what went over it again due to cuts.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

from faultproxy import FaultyLink
from harness import Goals, note, pairs, random_files, run
from region import Region, RegionError

GOALS: Goals = {"share": (">=", 0.90), "share_cuts": (">=", 0.80), "resent": ("<=", 0.02)}
SIZE = 256 << 20
RATE = 100e6 / 8
DELAY = 0.05
CUT_EVERY = 5.0


def once(region: Region, link: FaultyLink, tree: Path, number: int, *, cuts: bool) -> dict[str, float]:
    """One transfer of a package that nobody has seen before."""
    random_files(tree, SIZE, SIZE // 8)
    name = f"far{number}{'c' * cuts}"
    package = region.cli("package", "build", str(tree), "--name", name, "--version", "1")["package"]
    before = link.tell(every=[CUT_EVERY, "reset", 0.0] if cuts else None)
    began, last, seen = time.monotonic(), 0.0, before["down"]["bytes"]
    job = region.cli("job", "preload", name, "--on", "far")["job"]
    while True:
        time.sleep(0.02)
        now = time.monotonic()
        carried = link.tell()["down"]["bytes"]
        if carried - seen > 16 << 10:
            last, seen = now + DELAY, carried
        if now - last > 1.5 and carried - before["down"]["bytes"] >= package["stored_bytes"]:
            state = region.cli("job", "show", job)["job"]["state"]
            if state == "done":
                break
            if now - began > 300:
                raise RegionError(f"the job {job} is {state}")
    after = link.tell(every=None)
    down = after["down"]["bytes"] - before["down"]["bytes"]
    region.cli("package", "remove", f"{name}=1", check=False)
    figures = {
        "share": package["stored_bytes"] / RATE / (last - began),
        "seconds": last - began,
        "bytes": down / package["stored_bytes"],
        "cuts": after.get("cuts", 0) - before.get("cuts", 0),
    }
    note(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    return figures


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Pairs in turn, each without and with cuts."""
    with Region(folder / "r", broker="mosquitto") as region:
        region.add_server()
        link = region.link_to("server")
        region.add_gateway("far", via=link)
        link.tell(both={"delay": DELAY, "rate": RATE})
        plain, cut = [], []
        for number in range(pairs()):
            plain.append(once(region, link, folder / "tree", number, cuts=False))
            cut.append(once(region, link, folder / "tree", number, cuts=True))
    resent = [b["bytes"] - a["bytes"] for a, b in zip(plain, cut, strict=True)]
    done = {
        "package_bytes": SIZE, "rate": "100Mbit/s", "round_trip_ms": 100, "cut_every_s": CUT_EVERY, "pairs": pairs(),
        "share_each": [round(one["share"], 3) for one in plain],
        "share_cuts_each": [round(one["share"], 3) for one in cut],
        "resent_each": [round(one, 4) for one in resent], "bytes_each": [round(one["bytes"], 4) for one in plain],
        "cuts": sum(one["cuts"] for one in cut),
    }  # fmt: skip
    return done, {
        "share": statistics.median(one["share"] for one in plain),
        "share_cuts": statistics.median(one["share"] for one in cut),
        "resent": statistics.median(resent),
    }


def main() -> int:
    """Entry point."""
    return run("rtt", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
