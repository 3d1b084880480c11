"""One life of an agent that ends by SIGKILL: started by `test_actions.py` as a process of its own.

Arguments: folder, number of the instant, what to count ("moments" of the machine or "changes" of the file system).
The instant 0 never comes; then the number of instants is printed at the end.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.endpoint.lab import agent_over

from tiercast_endpoint.jobs.install import Step

#: Audit events that change a file system; `open` only counts when it writes.
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.chmod", "os.truncate", "os.link"}


def counter(fatal: int) -> tuple[Callable[[], None], list[int]]:
    seen = [0]

    def count() -> None:
        seen[0] += 1
        if seen[0] == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    return count, seen


async def main(folder: Path, fatal: int, kind: str) -> None:
    count, seen = counter(fatal)

    async def watch(_moment: str, _step: Step) -> None:
        if kind == "moments":
            count()

    def hook(event: str, args: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes or event == "subprocess.Popen":
            count()

    region, chunks, order = pickle.loads((folder / "order.pickle").read_bytes())  # noqa: S301 - our own
    async with agent_over(folder / "agent", region, watch=watch, chunks=chunks) as agent:
        if kind == "changes":
            sys.addaudithook(hook)
        await agent.order(order)
        await agent.ended(order.job)
        sys.stdout.write(f"{seen[0]}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
