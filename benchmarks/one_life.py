"""The agent's own installer over a state folder, for the bench `install`: one life, in a process of its own.

    python benchmarks/one_life.py FOLDER JOB [halves]

Rules
- Jobs, steps, journal, store of chunks and install root are the agent's; only the way to a parent is left out, for all
  chunks are held.
- Order and package come from `FOLDER/<job>.order`; the last line says what the kernel's clocks saw: seconds and
  processor seconds from the order to the receipt, and milliseconds of each step.
- With `halves` it is the network half, and another process installs (root_life.py): the processor seconds are of both.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.endpoint.lab import agent_over

from tiercast_endpoint.jobs.install import Step


@dataclass(frozen=True, slots=True)
class Half:
    """A root half: where it listens, and which process it is."""

    socket: Path
    pid: int


@contextmanager
def root_half(folder: Path) -> Iterator[Half]:
    """A root half, a process of its own, while the block runs."""
    path = folder / "root.sock"
    command = [sys.executable, str(Path(__file__).with_name("root_life.py")), str(folder), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise RuntimeError("the root half did not start")
            yield Half(path, process.pid)
        finally:
            process.terminate()


def busy_s(half: Half | None) -> float:
    """Processor seconds of this process, and of the other half, so far."""
    if half is None:
        return time.process_time()
    fields = Path(f"/proc/{half.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main(folder: Path, job: str, half: Half | None) -> None:
    """Carry the order out."""
    region, order = pickle.loads((folder / f"{job}.order").read_bytes())  # noqa: S301 - the bench wrote it
    recorded: dict[str, float] = {}
    steps: dict[str, float] = {}

    async def watch(moment: str, step: Step) -> None:
        if moment == "recorded":
            recorded[step.value] = time.monotonic()
        elif moment == "performed":
            steps[step.value] = (time.monotonic() - recorded[step.value]) * 1000

    async with agent_over(folder, region, watch=watch, root_half=half.socket if half else None) as agent:
        began, busy = time.monotonic(), busy_s(half)
        await agent.order(order)
        last = await agent.ended(job, limit_s=1800)
        seconds, cpu = time.monotonic() - began, busy_s(half) - busy
    print(json.dumps({"state": last.state, "code": last.code, "seconds": seconds, "cpu_s": cpu, "steps": steps}))


if __name__ == "__main__":
    with root_half(Path(sys.argv[1])) if "halves" in sys.argv[3:] else nullcontext() as other:
        asyncio.run(main(Path(sys.argv[1]), sys.argv[2], other))
