"""The agent's own installer over a state folder, for the bench `install`: one life, in a process of its own.

    python benchmarks/one_life.py FOLDER JOB

Rules
- Jobs, steps, journal, store of chunks and install root are the agent's; only the way to a parent is left out, for all
  chunks are held.
- Order and package come from `FOLDER/<job>.order`; the last line says what the kernel's clocks saw: seconds and
  processor seconds from the order to the receipt, and milliseconds of each step.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import time
from pathlib import Path

from tests.endpoint.lab import agent_over

from tiercast_endpoint.jobs.install import Step


async def main(folder: Path, job: str) -> None:
    """Carry the order out."""
    region, order = pickle.loads((folder / f"{job}.order").read_bytes())  # noqa: S301 - the bench wrote it
    recorded: dict[str, float] = {}
    steps: dict[str, float] = {}

    async def watch(moment: str, step: Step) -> None:
        if moment == "recorded":
            recorded[step.value] = time.monotonic()
        elif moment == "performed":
            steps[step.value] = (time.monotonic() - recorded[step.value]) * 1000

    async with agent_over(folder, region, watch=watch) as agent:
        began, busy = time.monotonic(), time.process_time()
        await agent.order(order)
        last = await agent.ended(job, limit_s=1800)
        seconds, cpu = time.monotonic() - began, time.process_time() - busy
    print(json.dumps({"state": last.state, "code": last.code, "seconds": seconds, "cpu_s": cpu, "steps": steps}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
