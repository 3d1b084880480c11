"""One gateway that holds a package, and many agents that get it: seconds from the order to the last "staged".

Rules
- Staged is the agent's own word (its log): every chunk verified, on the disk, synced, indexed.
- What follows (the tree is assembled, switched) is no transfer: an agent is stopped at that word, so that it does not
  take the machine from those that still receive; then the job is cancelled, and the agent gives its chunks up.
- Agents and brokers run before the clock starts, as a rival's server does.
- Processor seconds are those of /proc, user and system, of the process and its threads.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import children
from region import Region, RegionError
from tiercast_protocol.node.control.client import connect

TICK = os.sysconf("SC_CLK_TCK")
_EVENT = re.compile(rb'"event": ?"job state"|"event": ?"job ended"')


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process and all its threads; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


@dataclass(slots=True)
class Round:
    """One distribution: seconds, and processor seconds by kind of process."""

    seconds: float
    cpu: dict[str, float]
    chunk_bytes: int


@dataclass(slots=True)
class Tail:
    """Reads what a log grew by."""

    path: Path
    at: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> list[dict[str, Any]]:
        """New lines that speak of a job's state."""
        if self.path.stat().st_size == self.at:
            return []
        with self.path.open("rb") as file:
            file.seek(self.at)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self.at += len(data)
        return [json.loads(line) for line in data.splitlines() if _EVENT.search(line)]


class Site:
    """A region of one server, one gateway and `count` endpoints; `package` lies at the gateway."""

    def __init__(self, region: Region, count: int, *, below: str = "gateway") -> None:
        self.region = region
        self.names = [f"e{number:02}" for number in range(count)]
        self._tails: dict[str, Tail] = {}
        self._below = below

    def build(self, tree: Path) -> None:
        """Start everything and bring the package into the gateway's depot."""
        self.region.add_server()
        if self._below != "server":
            self.region.add_gateway(self._below)
        self.region.add_endpoints(self.names, self._below)
        self.region.cli("package", "build", str(tree), "--name", "bulk", "--version", "1")
        if self._below != "server":
            self._ended(self.region.cli("job", "preload", "bulk", "--on", self._below, "--watch"))
        self._tails = {name: Tail(self.region.daemons[name].log) for name in self.names}

    def _ended(self, job: dict[str, Any]) -> None:
        if job["job"]["state"] != "done":
            raise RegionError(f"the job ended badly: {job}")

    def processes(self) -> dict[str, list[int]]:
        """Process ids by kind."""
        parent = self.region.daemons[self._below].pid
        brokers = [pid for pid in children(parent) if "broker" in _name(pid)]
        return {"gateway": [parent], "broker": brokers, "endpoint": [self.region.daemons[n].pid for n in self.names]}

    def distribute(self, *, limit: float = 120.0) -> Round:
        """One round."""
        for tail in self._tails.values():
            tail.read()
        processes = self.processes()
        before = {pid: cpu_seconds(pid) for pids in processes.values() for pid in pids}
        came = sum(self._chunk_bytes(name) for name in self.names)
        began = time.monotonic()
        job = asyncio.run(self._order())
        waiting = set(self.names)
        while waiting:
            for name in sorted(waiting):
                states = [line.get("state") for line in self._tails[name].read()]
                if "staged" in states:
                    os.kill(self.region.daemons[name].pid, signal.SIGSTOP)
                    waiting.discard(name)
                elif {"failed", "done"} & set(states):
                    raise RegionError(f"{name} ended without being staged: {states}")
            if time.monotonic() > began + limit:
                raise RegionError(f"not staged within {limit:.0f} s: {sorted(waiting)}")
            time.sleep(0.004)
        seconds = time.monotonic() - began
        cpu = {kind: sum(cpu_seconds(p) - before[p] for p in pids) for kind, pids in processes.items()}
        self.region.cli("job", "cancel", job)
        for name in self.names:
            os.kill(self.region.daemons[name].pid, signal.SIGCONT)
        ended = self.region.cli("job", "watch", job, check=False)
        installed = [t["node"] for t in ended["job"]["targets"] if t["state"] == "done"]
        if installed:
            on = [word for name in installed for word in ("--on", name)]
            self._ended(self.region.cli("job", "remove", "bulk", *on, "--watch"))
        came = sum(self._chunk_bytes(name) for name in self.names) - came
        return Round(seconds, cpu, came)

    def _chunk_bytes(self, name: str) -> int:
        return int(self.region.cli("status", at=name)["status"]["traffic"]["chunk_bytes"])

    async def _order(self) -> str:
        async with connect(self.region.daemons["server"].socket) as client:
            made = await client.call(
                "job.create", type="install", package="bulk", targets=self.names, groups=[], note="",
                expires_s=86_400, options={},
            )  # fmt: skip
            return str(made["job"])


def _name(pid: int) -> str:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
    return "broker" if "mosquitto" in line or "tiercast_mqtt" in line else ""
