"""A job to a crowd, with broker, gateway and server killed (-9) in each of its phases; and a crowd that returns.

Rules
- A phase is told by the region's database, the kill comes at once, and what was killed starts again; a broker by its
  gateway.
- Lost is a target without a proved receipt in the end, doubled an effect more than one per endpoint and job.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from crowds import Crowds
from field import PATIENCE_S, Field, counts_of, create, orders_at, prove, until_done
from harness import note
from region import RegionError
from tiercast_protocol.node.control.client import connect

VICTIMS = ("broker", "gateway", "server")
#: Phase: the part of the targets that must have begun, and that must have ended, when the kill comes.
PHASES = {"ordering": (0.0, 0.0), "fetching": (0.02, 0.0), "receipts": (0.02, 0.1)}
_STEP_S = 0.005


async def kills(
    field: Field, crowds: Crowds, size: int, phases: Mapping[str, tuple[float, float]] = PHASES
) -> dict[str, float]:
    """Every victim in every phase, each with a job of its own."""
    lost = doubled = 0
    slowest = 0.0
    for victim in VICTIMS:
        for phase, parts in phases.items():
            version = f"{victim}.{phase}"
            await asyncio.to_thread(field.package, version)
            began = time.monotonic()
            job = await create(field, version, size)
            await _reached(field.database, job, size, parts)
            at = dict(counts_of(field.database, job))
            await _kill(field, victim)
            await until_done(field.database, job, size, began)
            slowest = max(slowest, time.monotonic() - began)
            lost += size - prove(field.database, job)
            doubled += (await crowds.effects())[job] - size
            note(f"{victim} killed at {phase} ({at}): done after {time.monotonic() - began:.1f} s")
    return {"lost": float(lost), "doubled": float(doubled), "slowest_seconds": slowest}


async def returned(field: Field, crowds: Crowds, size: int) -> dict[str, float]:
    """All leave, a job is ordered, and all come back at one moment."""
    await asyncio.to_thread(field.package, "returned")
    await crowds.tell("leave")
    await crowds.connected(0)
    job = await create(field, "returned", size)
    await _ordered(field, job, size)
    began = time.monotonic()
    await crowds.tell("come")
    await crowds.connected(size)
    connected = time.monotonic() - began
    await until_done(field.database, job, size, began)
    seconds = time.monotonic() - began
    lost, doubled = size - prove(field.database, job), (await crowds.effects())[job] - size
    note(f"{size} came back at one moment: connected after {connected:.1f} s, done after {seconds:.1f} s")
    return {"connected_seconds": connected, "seconds": seconds, "lost": float(lost), "doubled": float(doubled)}


async def _ordered(field: Field, job: str, size: int) -> None:
    """Wait until the orders of all targets lie at their gateways.  Raises RegionError."""
    deadline = time.monotonic() + PATIENCE_S
    while sum(orders_at(field.region.daemons[name].folder / "node.db", job) for name in field.gateways) < size:
        if time.monotonic() > deadline:
            raise RegionError(f"after {PATIENCE_S:.0f} s the gateways do not have all orders of {job}")
        await asyncio.sleep(0.05)


async def _reached(database: Path, job: str, size: int, parts: tuple[float, float]) -> None:
    """Wait for the phase."""
    begun, ended = (int(part * size) for part in parts)
    while True:
        counts = counts_of(database, job)
        done = counts.get("done", 0)
        if size - counts.get("ordered", 0) - counts.get("waiting", 0) >= begun and done >= ended:
            return
        await asyncio.sleep(_STEP_S)


async def _kill(field: Field, victim: str) -> None:
    region, gateway = field.region, field.gateways[0]
    if victim == "broker":
        async with connect(region.daemons[gateway].socket) as client:
            os.kill(int((await client.call("status"))["broker"]["pid"]), signal.SIGKILL)
        return
    name = "server" if victim == "server" else gateway
    region.kill(name)
    await asyncio.to_thread(region.restart, name)
