"""The processes that simulated endpoints live in (`crowd.py`), seen from the bench.

Rules
- Endpoints of one gateway live in one process, several gateways' in each; all end with the block.
- A command is one line, its answer the process's state.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from region import Region, RegionError
from seeded import Seat, write_spec

PROCESSES = 4
CONNECT_S = 300.0


class Crowds:
    """All endpoints."""

    def __init__(self, folder: Path, region: Region, seats: Sequence[Seat]) -> None:
        self._folder, self._region, self._seats = folder, region, seats
        self._processes: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Self:
        self._folder.mkdir()
        parents = sorted({one.parent for one in self._seats})
        parts = [parents[at::PROCESSES] for at in range(min(PROCESSES, len(parents)))]
        for number, part in enumerate(parts):
            spec = self._folder / f"{number}.json"
            write_spec(spec, self._region, part[0], [one for one in self._seats if one.parent in part])
            with (self._folder / f"{number}.log").open("wb") as log:
                self._processes.append(
                    await asyncio.create_subprocess_exec(
                        sys.executable,
                        str(Path(__file__).with_name("crowd.py")),
                        str(spec),
                        stdin=asyncio.subprocess.PIPE,
                        stdout=asyncio.subprocess.PIPE,
                        stderr=log,
                        env={**os.environ, **self._region.env},
                        limit=1 << 20,
                    )
                )
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.kill()
        for process in self._processes:
            await process.wait()

    async def tell(self, command: str) -> list[dict[str, Any]]:
        """Tell all; the state of each."""

        async def ask(number: int, process: asyncio.subprocess.Process) -> dict[str, Any]:
            assert process.stdin is not None  # noqa: S101 - opened above
            assert process.stdout is not None  # noqa: S101 - opened above
            try:
                process.stdin.write(json.dumps(command).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
            except OSError:
                line = b""
            if not line:
                raise RegionError(f"a crowd ended:\n{(self._folder / f'{number}.log').read_text()[-2000:]}")
            state: dict[str, Any] = json.loads(line)
            return state

        return list(await asyncio.gather(*(ask(number, one) for number, one in enumerate(self._processes))))

    async def connected(self, count: int) -> None:
        """Wait until so many are connected.  Raises RegionError."""
        deadline = time.monotonic() + CONNECT_S
        while (have := sum(one["connected"] for one in await self.tell("state"))) != count:
            if time.monotonic() > deadline:
                raise RegionError(f"{have} of {count} endpoints are connected after {CONNECT_S:.0f} s")
            await asyncio.sleep(0.2)

    async def effects(self) -> Counter[str]:
        """How often each job took effect."""
        found: Counter[str] = Counter()
        for one in await self.tell("state"):
            found.update(one["effects"])
        return found

    async def cpu(self) -> float:
        """Processor seconds of all of them."""
        return float(sum(one["cpu"] for one in await self.tell("state")))
