"""What an agent costs that does nothing and is connected: memory, wake-ups and processor time; beside salt-minion.

Rules
- The agent has two halves, has joined a gateway, installed a package and removed it; then nothing is asked of it.
- Memory is PSS, as the kernel shares out pages among all that map them; `network_rss_mib` counts shared pages whole.
- A wake-up is a context switch, voluntary or not, of any thread; processor time is the scheduler's own, in nanoseconds.
- Both agents are watched over the same minutes, on the same machine, each with what it is connected to beside it.
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activation import Activation, socket_of
from harness import Goals, asked, every, note, random_files, run
from minion import Salt, family
from region import Region, RegionError

GOALS: Goals = {
    "network_pss_mib": ("<=", 45),
    "vs_salt": ("<=", 0.55),
    "root_half_pss_mib": ("<=", 0),
    "wakeups_per_s": ("<=", 2),
    "cpu_percent": ("<=", 0.1),
}
#: Seconds in which what was begun ends: reports, synchronisations, threads.
SETTLE = 20
_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)
_MEMORY = re.compile(r"^(Pss|Rss):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Looked:
    """Of some processes together: MiB, and what they did since they began."""

    pss: float
    rss: float
    switches: int
    cpu_s: float


def look(pids: Sequence[int]) -> Looked:
    """Look at them now."""
    memory = {"Pss": 0, "Rss": 0}
    switches, nanoseconds = 0, 0
    for pid in pids:
        with suppress(OSError):
            for key, size in _MEMORY.findall(Path(f"/proc/{pid}/smaps_rollup").read_text()):
                memory[key] += int(size)
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with suppress(OSError):
                switches += sum(map(int, _SWITCHES.findall((task / "status").read_text())))
                nanoseconds += int((task / "schedstat").read_text().split()[0])
    return Looked(memory["Pss"] / 1024, memory["Rss"] / 1024, switches, nanoseconds / 1e9)


@contextmanager
def halved(region: Region, folder: Path) -> Iterator[Activation]:
    """The agent below its gateway, split in two; the root half is begun by its socket."""
    region.add_server()
    region.add_gateway("gateway")
    agent, half = region.add_endpoint("pc", "gateway"), folder / "half"
    path = socket_of(folder)
    words = ("--agent", str(agent.folder), "--user", pwd.getpwuid(os.geteuid()).pw_name, "--socket", str(path))
    region.tool("tiercast_endpoint", "root", "init", "--state", str(half), *words)
    command = [region.python, "-m", "tiercast_endpoint", "root", "run", "--state", str(half)]
    region.kill("pc", signal.SIGTERM)
    region.restart("pc")
    with Activation(path, command, region.environment()) as half_of:
        yield half_of


def work_once(region: Region, folder: Path, half: Activation) -> float:
    """Install a package and remove it; the most MiB that the root half had meanwhile."""
    random_files(folder / "tree", 32 << 20, 4 << 20)
    region.cli("package", "build", str(folder / "tree"), "--name", "app", "--version", "1")
    most = 0.0

    def sample() -> None:
        nonlocal most
        most = max(most, look(half.pids).pss)

    with every(0.1, sample):
        for verb in ("install", "remove"):
            done = region.cli("job", verb, "app", "--on", "pc", "--watch")
            note(f"{verb}: {done['job']['state']}")
            if done["job"]["state"] != "done":
                raise RegionError(f"the job ended badly: {done}")
    return most


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Both agents, idle."""
    seconds = float(asked("seconds"))
    with Region(folder / "r") as region, Salt(folder) as salt, halved(region, folder) as half:
        busy = work_once(region, folder, half)
        note(f"watching both for {seconds:.0f} s ...")
        time.sleep(SETTLE)
        pid = region.daemons["pc"].pid
        ours, theirs = [pid, *family(pid)], salt.pids
        first, first_theirs, began = look(ours), look(theirs), time.monotonic()
        time.sleep(seconds)
        last, last_theirs, took = look(ours), look(theirs), time.monotonic() - began
        rest, starts = look(half.pids).pss, len(half.codes)
        version = salt.version()
    figures = {
        "network_pss_mib": last.pss,
        "vs_salt": last.pss / last_theirs.pss,
        "wakeups_per_s": (last.switches - first.switches) / took,
        "cpu_percent": (last.cpu_s - first.cpu_s) / took * 100,
        "root_half_pss_mib": rest,
        "root_half_busy_mib": busy,
        "network_rss_mib": last.rss,
        "salt_pss_mib": last_theirs.pss,
        "salt_rss_mib": last_theirs.rss,
        "salt_wakeups_per_s": (last_theirs.switches - first_theirs.switches) / took,
        "salt_cpu_percent": (last_theirs.cpu_s - first_theirs.cpu_s) / took * 100,
    }
    _table(figures, version)
    done = {"seconds": round(took), "processes": len(ours), "root_half_starts": starts, "salt": version}
    return {**done, "salt_processes": len(theirs)}, figures


def _table(figures: dict[str, float], version: str) -> None:
    rows = (
        ("memory, PSS", "pss_mib", "MiB"),
        ("memory, RSS", "rss_mib", "MiB"),
        ("wake-ups", "wakeups_per_s", "/s"),
        ("processor", "cpu_percent", "% of a core"),
    )
    note(f"{'idle, connected':<16}{'tiercast':>12}{version:>28}")
    for label, key, unit in rows:
        mine = figures.get(f"network_{key}", figures.get(key, 0.0))
        note(f"{label:<16}{mine:>12.2f}{figures[f'salt_{key}']:>28.2f} {unit}")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=600, help="how long both are watched (600)")


def main() -> int:
    """Entry point."""
    return run("agent", GOALS, work, _options)


if __name__ == "__main__":
    sys.exit(main())
