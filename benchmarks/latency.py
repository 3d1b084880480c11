"""How soon orders act: an idle tree of server, repeater, gateway and endpoint, every link at 100 and at 1 Mbit/s.

`first_byte_ms`: from the order at the server's socket to the first bytes on the endpoint's bulk connection, which
carries nothing but chunks. `suspend_ms`: from `job suspend` at the server until no link's bulk connection moves any
more. `window_ms`: from the minute at which a black-out of the first link begins until that link is silent. All as the
kernel counts bytes; what is said is the worse median of both rates.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness import Goals, note, pairs, random_files, run, spread
from linkbytes import connections, sockets_of
from region import Region, RegionError
from tiercast_protocol.node.control.client import ControlClient, connect

GOALS: Goals = {"first_byte_ms": ("<=", 100), "suspend_ms": ("<=", 500), "window_ms": ("<=", 1000)}
CHAIN = ("server", "repeater", "gateway", "endpoint")
#: With what lasts longer than a minute at the low rate: the black-out must find it moving.
RATES = {"100Mbit/s": 64 << 20, "1Mbit/s": 16 << 20}
#: What may still come over a connection that is called silent: pings and reports.
SILENT = 256


class Watch:
    """Bytes that each link's bulk connection has brought down."""

    def __init__(self, region: Region) -> None:
        self._pids = {name: region.daemons[name].pid for name in CHAIN[1:]}
        self._ports = {child: region.daemons[parent].port for parent, child in pairwise(CHAIN)}
        self._bulk: dict[str, int] = {}

    def learn(self) -> None:
        """After a first transfer: the connection that brought the most is the bulk one."""
        for name in self._pids:
            found = self._of(name)
            self._bulk[name] = max(found, key=lambda inode: found[inode])

    def _of(self, name: str) -> dict[int, int]:
        own = sockets_of(self._pids[name])
        return {
            one.inode: one.received
            for one in connections()
            if one.inode in own and one.remote_port == self._ports[name]
        }

    def bytes(self, name: str) -> int:
        """Down the link to `name`, so far."""
        return self._of(name).get(self._bulk[name], 0)

    async def until_moving(self, name: str) -> float:
        """The moment at which something comes down to `name`."""
        before = self.bytes(name)
        while self.bytes(name) <= before:  # noqa: ASYNC110 - the kernel's counters wake nobody
            await asyncio.sleep(0.002)
        return time.monotonic()

    async def must_move(self, name: str, seconds: float) -> None:
        """Let `seconds` pass; something must have come down to `name` in the last half second of them."""
        await asyncio.sleep(max(0.0, seconds - 0.5))
        before = self.bytes(name)
        await asyncio.sleep(min(seconds, 0.5))
        if self.bytes(name) - before <= SILENT:
            raise RegionError(f"nothing moved down to {name} that could fall silent")

    async def last_move(self, names: tuple[str, ...], seconds: float) -> float:
        """The last moment in the next `seconds` at which bytes came over one of the links."""
        seen = {name: self.bytes(name) for name in names}
        last, ends = time.monotonic(), time.monotonic() + seconds
        while time.monotonic() < ends:
            for name in names:
                now = self.bytes(name)
                if now - seen[name] > SILENT:
                    last, seen[name] = time.monotonic(), now
            await asyncio.sleep(0.005)
        return last


async def _order(client: ControlClient, package: str) -> str:
    made = await client.call(
        "job.create",
        type="install",
        package=package,
        targets=["endpoint"],
        groups=[],
        note="",
        expires_s=3600,
        options={},
    )
    return str(made["job"])


async def _ended(client: ControlClient, job: str) -> None:
    async for _ in client.stream("job.watch", job=job):
        pass


async def one(region: Region, watch: Watch, package: str, *, window: bool) -> dict[str, float]:
    """First byte, suspension and, when asked, a black-out, of one transfer."""
    found: dict[str, float] = {}
    async with connect(region.daemons["server"].socket) as client:
        async with asyncio.TaskGroup() as tasks:
            moving = tasks.create_task(watch.until_moving("endpoint"))
            began = time.monotonic()
            job = await _order(client, package)
        found["first_byte_ms"] = 1000 * (moving.result() - began)
        await watch.must_move("repeater", 0.5)
        began = time.monotonic()
        await client.call("job.suspend", job=job)
        found["suspend_ms"] = 1000 * max(0.0, await watch.last_move(CHAIN[1:], 2.0) - began)
        await client.call("job.resume", job=job)
        if window:
            now = dt.datetime.now(dt.UTC)
            shuts = (now + dt.timedelta(seconds=63)).replace(second=0, microsecond=0)
            opens = shuts + dt.timedelta(minutes=1)
            text = f"daily 00:00-24:00 utc; not daily {shuts:%H:%M}-{opens:%H:%M} utc"
            await client.call("link.set", child="repeater", options={"window": text}, clear=[])
            await watch.must_move("repeater", (shuts - dt.datetime.now(dt.UTC)).total_seconds())
            began = time.monotonic()
            found["window_ms"] = 1000 * max(0.0, await watch.last_move(("repeater",), 3.0) - began)
            await client.call("link.set", child="repeater", options={}, clear=["window"])
        await client.call("job.cancel", job=job)
        await _ended(client, job)
    return found


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Both rates; every round a new package."""
    figures: dict[str, dict[str, list[float]]] = {}
    with Region(folder / "r", broker="mosquitto") as region:
        region.add_server()
        region.add_gateway("repeater")
        region.add_gateway("gateway", "repeater")
        region.add_endpoint("endpoint", "gateway")
        watch, number = Watch(region), 0
        for rate, size in RATES.items():
            for parent, child in pairwise(CHAIN):
                at = () if parent == "server" else ("--node", parent)
                region.cli("link", "set", child, "--rate", rate, *at)
            for turn in range(pairs() + (not figures)):
                number += 1
                tree = folder / f"tree{number}"
                random_files(tree, size, size)
                region.cli("package", "build", str(tree), "--name", f"late{number}", "--version", "1")
                if number == 1:
                    region.cli("job", "install", "late1", "--on", "endpoint", "--watch")
                    watch.learn()
                    continue
                found = asyncio.run(one(region, watch, f"late{number}", window=rate == "1Mbit/s" and turn == 0))
                note(f"{rate}: " + ", ".join(f"{key} {value:.0f}" for key, value in found.items()))
                for key, value in found.items():
                    figures.setdefault(rate, {}).setdefault(key, []).append(value)
    shown = {rate: {key: spread(values) for key, values in found.items()} for rate, found in figures.items()}
    done = {"tiers": len(CHAIN), "rounds": pairs(), "ms": shown}
    return done, {
        key: max(statistics.median(found[key]) for found in figures.values() if key in found) for key in GOALS
    }


def main() -> int:
    """Entry point."""
    return run("latency", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
