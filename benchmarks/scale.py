"""One job to many: 100, 1,000 and 10,000 endpoints below 20 gateways on this machine (docs/performance.md, "scale").

    scripts/bench scale [--json] [--sizes 100,1000] [--parts jobs,kills,rows,expressions,window]

Rules
- A job counts from the call at the server's socket to the last signed receipt in the region's database. Processor time
  is the server process's alone, its broker's stands in `work`.
- Messages are the envelopes that the server's outbox and inbox sent and took, repeated ones and acknowledgements too.
- Figures per endpoint are those of the largest size; `growth` is the power of the size that fits all of them best.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import expressions
import manyrows
import windows
from crowds import PROCESSES, Crowds
from field import FILE, GATEWAYS, Field, create, need_descriptors, prove, until_done
from harness import Goals, Memory, asked, children, every, note, run
from kills import kills, returned
from region import Region, RegionError
from staged import cpu_seconds
from tiercast_protocol.node.control.client import connect

GOALS: Goals = {
    "messages": ("<=", 0.05),
    "cpu_ms": ("<=", 1.0),
    "server_mib": ("<=", 300),
    "all_seconds": ("<=", 60),
    "show_ms": ("<=", 100),
    "why_ms": ("<=", 100),
    "list_ms": ("<=", 100),
    "expression_ms": ("<=", 500),
    "window_overrun_ms": ("<=", 1000),
    "lost": ("<=", 0),
    "doubled": ("<=", 0),
}
PARTS = ("jobs", "kills", "rows", "expressions", "window")
#: The size at which daemons are killed, or the largest below it.
KILLED = 1000
_SPARE = 200
_GROWING = ("messages", "cpu_seconds", "server_mib", "all_seconds")


async def one_job(field: Field, size: int) -> dict[str, float]:
    """One job to everybody; its figures, none of them per endpoint yet."""
    server = field.region.daemons["server"]
    async with connect(server.socket) as client:
        before = await client.call("status")
        below = await _messages_of(field)
        broker = int(before["broker"]["pid"])
        gateways = [field.region.daemons[name].pid for name in field.gateways]
        kinds_of = {"": [server.pid], "broker_": [broker], "gateway_": gateways}
        kinds_of["gateway_broker_"] = [child for pid in gateways for child in children(pid)]
        used = {kind: sum(map(cpu_seconds, pids)) for kind, pids in kinds_of.items()}
        memory = Memory(lambda: {"server": server.pid})
        with every(0.1, memory.sample):
            began = time.monotonic()
            job = await create(field, str(size), size)
            created = time.monotonic() - began
            first = await until_done(field.database, job, size, began)
            seconds = time.monotonic() - began
        after = await client.call("status")
        shown = await client.call("job.show", job=job, most=10)
        passed_below = _passed(below, await _messages_of(field))
    if shown["state"] != "done" or prove(field.database, job) != size:
        raise RegionError(f"the job ended {shown['state']}: {shown['counts']}, not all of it proved")
    count, kinds = (_passed(before[key], after[key]) for key in ("messages", "received"))
    note(f"{size}: {seconds:.1f} s, created after {created:.1f} s, first receipt after {first:.1f} s, {count}, {kinds}")
    note(f"{size}: the gateways' messages: {passed_below}")
    return {
        "all_seconds": seconds,
        "created_seconds": created,
        "first_seconds": first,
        "messages": float(sum(count.values())),
        "gateway_messages": float(sum(passed_below[key] for key in ("received", "sent"))),
        **{f"{kind}cpu_seconds": sum(map(cpu_seconds, pids)) - used[kind] for kind, pids in kinds_of.items()},
        "server_mib": memory.peak["server"] / (1 << 20),
    }


async def _messages_of(field: Field) -> dict[str, int]:
    """What all gateways counted so far, with both sides of each."""
    found: Counter[str] = Counter()
    for name in field.gateways:
        async with connect(field.region.daemons[name].socket) as client:
            status = await client.call("status")
            found.update(status["messages"])
            found.update({f"received {kind}": count for kind, count in status["received"].items()})
    return found


def _passed(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What was counted meanwhile."""
    return {key: count - before.get(key, 0) for key, count in after.items() if count != before.get(key, 0)}


def growth(found: dict[int, dict[str, float]], key: str) -> float:
    """The exponent of the power that fits a figure over the sizes best: 1 grows with them, 0 not at all."""
    points = [(math.log(size), math.log(max(figures[key], 1e-3))) for size, figures in found.items()]
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    over = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / over if over else 0.0


class Jobs:
    """The parts with a crowd."""

    def __init__(self, parts: list[str], sizes: list[int]) -> None:
        self._parts, self._sizes = parts, sizes
        self._killed = max((size for size in sizes if size <= KILLED), default=0)
        self.sizes: dict[int, dict[str, float]] = {}
        self.kills: dict[str, float] = {}
        self.returned: dict[str, float] = {}

    def measure(self, folder: Path) -> None:
        """Every size, with what belongs to it."""
        need_descriptors(2 * max(self._sizes) // min(PROCESSES, GATEWAYS) + _SPARE)
        with Region(folder / "r", broker="mosquitto") as region:
            field = Field(folder, region)
            field.build()
            for size in self._sizes:
                field.grow(size)
                field.package(str(size))
                asyncio.run(self._size(field, size))

    async def _size(self, field: Field, size: int) -> None:
        async with Crowds(field.folder / f"crowd-{size}", field.region, field.seats) as crowds:
            began = time.monotonic()
            await crowds.connected(size)
            note(f"{size} endpoints connected after {time.monotonic() - began:.1f} s")
            if "jobs" in self._parts:
                used = await crowds.cpu()
                found = self.sizes[size] = await one_job(field, size)
                found["doubled"] = sum((await crowds.effects()).values()) - size
                found["crowd_cpu_seconds"] = await crowds.cpu() - used
                if size == max(self._sizes):
                    self.returned = await returned(field, crowds, size)
            if "kills" in self._parts and size == self._killed:
                self.kills = await kills(field, crowds, size)

    def figures(self) -> dict[str, float]:
        """Those that were measured."""
        found: dict[str, float] = {}
        if self.sizes:
            size = max(self._sizes)
            most = self.sizes[size]
            found = {
                "messages": most["messages"] / size,
                "cpu_ms": most["cpu_seconds"] * 1000 / size,
                "server_mib": most["server_mib"],
                "all_seconds": most["all_seconds"],
            }
        if self.kills or self.returned:
            for key in ("lost", "doubled"):
                found[key] = self.kills.get(key, 0.0) + self.returned.get(key, 0.0)
        return found

    def done(self) -> dict[str, Any]:
        """What was done."""
        sizes = {str(size): {key: round(value, 3) for key, value in one.items()} for size, one in self.sizes.items()}
        powers = {key: round(growth(self.sizes, key), 3) for key in _GROWING} if self.sizes else {}
        return {"sizes": sizes, "growth": powers, "kills": self.kills, "returned": self.returned}


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """All that was asked for."""
    sizes = sorted(int(word) for word in str(asked("sizes")).split(","))
    parts = [part for part in PARTS if part in str(asked("parts")).split(",")]
    done: dict[str, Any] = {"gateways": GATEWAYS, "file_bytes": FILE, "processors": os.cpu_count(), "parts": parts}
    figures: dict[str, float] = {}
    if "jobs" in parts or "kills" in parts:
        jobs = Jobs(parts, sizes)
        jobs.measure(folder)
        figures |= jobs.figures()
        done |= jobs.done()
    if "rows" in parts:
        rows = manyrows.measure(folder)
        figures |= {key: max(one[key] for one in rows.values()) for key in ("show_ms", "why_ms", "list_ms")}
        done["rows"] = {name: {key: round(value, 1) for key, value in one.items()} for name, one in rows.items()}
    if "expressions" in parts:
        done["expressions"], found = asyncio.run(expressions.measure(folder))
        figures["expression_ms"] = found["expression_ms"]
    if "window" in parts:
        overruns = windows.measure(folder)
        figures["window_overrun_ms"] = max(overruns.values())
        done["window_ms"] = {name: round(value) for name, value in overruns.items()}
    return done, figures


def options(parser: argparse.ArgumentParser) -> None:
    """What else may be said."""
    parser.add_argument("--sizes", default="100,1000,10000", help="endpoints, with commas between (100,1000,10000)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")


def main() -> int:
    """Entry point."""
    return run("scale", GOALS, work, options)


if __name__ == "__main__":
    sys.exit(main())
