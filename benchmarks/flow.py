"""The matrix behind docs/adr/0006: quality of service, size of frames, window and event loop, on both brokers.

Every cell is the median of rounds to eight bare subscribers that hash, write and sync (bare.py), all cells of a broker
in turn.  At quality of service 1 a frame is acknowledged when it was hashed and written, as manual acknowledgement is.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path
from typing import Any

from harness import Goals, note, random_files, run
from region import RegionError
from subscribers import Flowed, Way, flow

GOALS: Goals = {"dropped": ("<=", 0.0)}
MIB = int(os.environ.get("FLOW_MIB", "128"))
COUNT = 8
ROUNDS = int(os.environ.get("FLOW_ROUNDS", "3"))
KIB = 1 << 10
WAYS = (
    *(Way(frame=size * KIB) for size in (64, 256, 512, 896)),
    *(Way(frame=size * KIB, qos=1) for size in (64, 256, 896)),
    *(Way(window=size << 20) for size in (2, 4, 16)),
    Way(loop="asyncio"),
    Way(loop="asyncio", frame=896 * KIB),
)


def name_of(way: Way) -> str:
    """As a column's head."""
    return f"q{way.qos} {way.frame >> 10} KiB w{way.window >> 20} {way.loop}"


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Every way on both brokers."""
    random_files(folder / "tree", MIB << 20, MIB << 20)
    (source,) = (folder / "tree").iterdir()
    table: dict[str, dict[str, list[float]]] = {}
    figures: dict[str, float] = {"dropped": 0.0}
    for kind in ("mosquitto", "embedded"):
        found: dict[Way, list[Flowed]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way, rounds in found.items():
                try:
                    rounds.append(flow(kind, source, COUNT, folder / "work", way))
                except RegionError as error:
                    note(str(error))
                    figures["dropped"] += 1
        rows = table[kind] = {}
        for way, rounds in found.items():
            gib = MIB * COUNT / 1024
            row = [
                MIB * COUNT / statistics.median(one.seconds for one in rounds),
                statistics.median(one.publisher_cpu for one in rounds) / (MIB / 1024),
                statistics.median(one.broker_cpu for one in rounds) / gib,
                statistics.median(one.subscriber_cpu for one in rounds) / gib,
                max(one.broker_mib for one in rounds),
            ] if rounds else []  # fmt: skip
            rows[name_of(way)] = [round(value, 2) for value in row]
            note(f"{kind:<10} {name_of(way):<28} " + " ".join(f"{value:8.2f}" for value in row))
        figures[f"mibs_{kind}"] = rows[name_of(Way())][0] if rows[name_of(Way())] else 0.0
    columns = ["MiB/s in all", "publisher s/GiB", "broker s/GiB", "subscriber s/GiB", "broker peak MiB"]
    return {"mib": MIB, "subscribers": COUNT, "rounds": ROUNDS, "columns": columns, "table": table}, figures


def main() -> int:
    """Entry point."""
    return run("flow", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
