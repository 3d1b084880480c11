"""When the last bulk byte of a job comes after its window shut: links of 1 and of 100 Mbit/s, made by the kernel.

Rules
- A server and two gateways with an endpoint each, on machines of their own (`scripts/netns.py`, needs root); one job
  to both, whose windows (for its content and for its installation) shut at the full minute while it flows.
- Bytes are those of the link's interface behind its queue. Less than `QUIET` from one look to the next is no bulk:
  status, acknowledgements and pings go on.
- Nothing may be installed afterwards, and nothing may begin to be.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from contextlib import ExitStack
from pathlib import Path

from harness import note, random_files
from netns import Network, available
from region import Region, RegionError
from tiercast_protocol.node.control.client import ControlClient, connect

LINKS = {"slow": "1mbit", "fast": "100mbit"}
SIZE = 128 << 20
#: Seconds: before the full minute the job is ordered; so long after it bytes are looked at; between two looks.
BEFORE, AFTER, EVERY = 7.0, 5.0, 0.04
QUIET = 2048


def measure(folder: Path) -> dict[str, float]:
    """Milliseconds from the close to the last bulk byte, by link."""
    if reason := available():
        raise RegionError(f"the window can't be measured: {reason}")
    with ExitStack() as stack:
        net = stack.enter_context(Network())
        for name in ("server", *LINKS):
            net.machine(name)
        region = stack.enter_context(Region(folder / "w", broker="mosquitto"))
        region.places["server"] = (net.space("server"), net.address("server"))
        region.add_server()
        for name, rate in LINKS.items():
            net.link("server", name, rate)
            for daemon in (name, f"{name}-pc"):
                region.places[daemon] = (net.space(name), net.address(name))
            region.add_gateway(name)
            region.add_endpoint(f"{name}-pc", name)
        tree = folder / "flow"
        random_files(tree, SIZE, SIZE)
        region.cli("package", "build", str(tree), "--name", "flow", "--version", "1")
        return asyncio.run(_measured(region, net))


async def _measured(region: Region, net: Network) -> dict[str, float]:
    async with connect(region.daemons["server"].socket) as client:
        shuts = await _almost()
        opens = shuts + dt.timedelta(minutes=2)
        text = f"daily 00:00-24:00 utc; not daily {shuts:%H:%M}-{opens:%H:%M} utc"
        made = await client.call(
            "job.create",
            type="install",
            package="flow",
            targets=[f"{name}-pc" for name in LINKS],
            groups=[],
            note="",
            expires_s=3600,
            options={"window": text, "install_window": text},
        )
        last = await _watch(net, shuts.timestamp())
        await _nothing_begun(client, str(made["job"]))
        await client.call("job.cancel", job=made["job"])
    return last


async def _almost() -> dt.datetime:
    """Wait until a full minute is `BEFORE` seconds away; that minute."""
    now = time.time()
    shuts = (now + BEFORE) // 60 * 60 + 60
    await asyncio.sleep(shuts - BEFORE - now)
    return dt.datetime.fromtimestamp(shuts, dt.UTC)


async def _watch(net: Network, shuts: float) -> dict[str, float]:
    seen = {name: await asyncio.to_thread(net.carried, "server", at) for at, name in enumerate(LINKS, 1)}
    last: dict[str, float] = {}
    while (now := time.time()) < shuts + AFTER:
        for at, name in enumerate(LINKS, 1):
            carried = await asyncio.to_thread(net.carried, "server", at)
            if carried - seen[name] > QUIET:
                last[name] = time.time()
            seen[name] = carried
        await asyncio.sleep(max(0.0, EVERY - (time.time() - now)))
    for name, moment in last.items():
        if moment < shuts - 1:
            raise RegionError(f"nothing flowed over {name} that could have stopped at the close")
        note(f"{LINKS[name]}: the last bulk byte {1000 * (moment - shuts):.0f} ms after the window shut")
    if len(last) != len(LINKS):
        raise RegionError("nothing flowed")
    return {name: 1000 * max(0.0, moment - shuts) for name, moment in last.items()}


async def _nothing_begun(client: ControlClient, job: str) -> None:
    shown = await client.call("job.show", job=job)
    begun = [row for row in shown["targets"] if row["state"] in {"installing", "done", "failed"}]
    if begun:
        raise RegionError(f"begun after the window shut: {begun}")
