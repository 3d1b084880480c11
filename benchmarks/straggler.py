"""Eight endpoints paced to 20 MB/s. In turn one falls to 1 % of that, one is stopped (SIGSTOP), and one is killed.

`others` is the time of the other five beside a run of those five alone; `demoted_ms` runs from the fault until the
server has taken the slow and the stopped child out of the lane of the others, by its log; `broker_growth_mib` is what
the broker's anonymous memory grew by. Then the three are healed, and everybody ends with the package.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness import Goals, Memory, every, note, pairs, random_files, run, spread
from region import Region
from tiercast_protocol.node.control.client import connect

GOALS: Goals = {"others": ("<=", 1.05), "broker_growth_mib": ("<=", 32), "demoted_ms": ("<=", 300)}
SIZE = 256 << 20
RATE = 20_000_000
OTHERS = [f"pc-{number}" for number in range(1, 6)]
SLOW, STOPPED, KILLED = "slow", "stopped", "killed"
MIB = 1 << 20


async def _until_done(
    socket: Path, package: str, targets: list[str], wanted: list[str], when: Sequence[Callable[[], None]]
) -> float:
    async with connect(socket) as client:
        began = time.monotonic()
        job = await client.call(
            "job.create",
            type="install",
            package=package,
            targets=targets,
            groups=[],
            note="",
            expires_s=3600,
            options={},
        )
        loop = asyncio.get_running_loop()
        for number, act in enumerate(when, 1):
            loop.call_later(SIZE / RATE * 0.2 * number, act)
        while True:
            shown = await client.call("job.show", job=job["job"])
            states = {one["node"]: one["state"] for one in shown["targets"]}
            if all(states[name] == "done" for name in wanted):
                return time.monotonic() - began
            await asyncio.sleep(0.05)


class Field:
    """The region with its one bad link."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.tree = folder / "tree"
        self.region = region = stack.enter_context(Region(folder / "r", broker="mosquitto"))
        region.add_server()
        region.add_endpoints([*OTHERS, STOPPED, KILLED])
        self.link = region.link_to("server")
        region.add_endpoint(SLOW, via=self.link)
        for name in (*OTHERS, SLOW, STOPPED, KILLED):
            region.cli("link", "set", name, "--rate", f"{RATE}B/s")
        self.faulty_at: dict[str, float] = {}

    def package(self, name: str) -> None:
        """A new one."""
        random_files(self.tree, SIZE, SIZE // 8)
        self.region.cli("package", "build", str(self.tree), "--name", name, "--version", "1")

    def seconds(
        self, package: str, targets: list[str], wanted: list[str], when: Sequence[Callable[[], None]] = ()
    ) -> float:
        """Until `wanted` have installed it."""
        return asyncio.run(_until_done(self.region.daemons["server"].socket, package, targets, wanted, when))

    def troubles(self) -> list[Callable[[], None]]:
        """What goes wrong, in its order."""

        def at(name: str, act: Callable[[], object]) -> Callable[[], None]:
            def do() -> None:
                self.faulty_at[name] = time.time()
                act()

            return do

        return [
            at(SLOW, lambda: self.link.tell(down={"rate": RATE / 100})),
            at(STOPPED, lambda: self.region.kill(STOPPED, signal.SIGSTOP)),
            at(KILLED, lambda: self.region.kill(KILLED, signal.SIGKILL)),
        ]

    def heal(self) -> None:
        """All as before."""
        self.link.tell(heal=True)
        self.region.kill(STOPPED, signal.SIGCONT)
        self.region.restart(KILLED)

    def demoted(self) -> dict[str, float]:
        """Milliseconds from the fault to each one's demotion, or parking."""
        found: dict[str, float] = {}
        for line in self.region.daemons["server"].log.read_text().splitlines():
            if '"lane.changed"' not in line:
                continue
            said = json.loads(line)
            after = dt.datetime.fromisoformat(said["at"]).timestamp() - self.faulty_at.get(said["child"], float("inf"))
            if after > 0 and said["state"] in {"demoted", "parked"}:
                found.setdefault(said["child"], after * 1000)
        return found


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Pairs: the five alone, then all eight with trouble."""
    ratios, growth, demoted, seconds = [], [], [], []
    with ExitStack() as stack:
        field = Field(folder, stack)
        broker = int(field.region.cli("node", "status")["status"]["broker"]["pid"])
        for number in range(pairs()):
            field.package(f"alone{number}")
            alone = field.seconds(f"alone{number}", OTHERS, OTHERS)
            field.package(f"all{number}")
            memory = Memory(lambda: {"broker": broker})
            memory.sample()
            before = memory.peak["broker"]
            with every(0.05, memory.sample):
                others = field.seconds(f"all{number}", [*OTHERS, SLOW, STOPPED, KILLED], OTHERS, field.troubles())
                field.heal()
                field.seconds(f"all{number}", [SLOW, STOPPED, KILLED], [SLOW, STOPPED, KILLED])
            ratios.append(others / alone)
            growth.append((memory.peak["broker"] - before) / MIB)
            demoted.append(field.demoted())
            seconds.append([round(alone, 2), round(others, 2)])
            note(f"alone {alone:.2f} s, with stragglers {others:.2f} s, broker +{growth[-1]:.1f} MiB, {demoted[-1]}")
    slowest = [max(one.values()) for one in demoted if one]
    done = {
        "bytes": SIZE, "rate": RATE, "endpoints": 8, "pairs": pairs(), "seconds": seconds, "others": spread(ratios),
        "demoted_ms": [{name: round(value) for name, value in one.items()} for one in demoted],
    }  # fmt: skip
    return done, {
        "others": statistics.median(ratios),
        "broker_growth_mib": max(growth),
        "demoted_ms": statistics.median(slowest) if slowest else float("inf"),
    }


def main() -> int:
    """Entry point."""
    return run("straggler", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
