"""Orders as the command line gives them, without the start of an interpreter in the time measured.

Rules
- Time runs from before the order is sent to the server's control socket until its last receipt is there.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from region import Region, RegionError
from tiercast_protocol.node.control.client import connect


async def _order(socket: Path, kind: str, package: str, nodes: list[str], options: dict[str, Any]) -> float:
    async with connect(socket) as client:
        began = time.monotonic()
        made = await client.call(
            "job.create", type=kind, package=package, targets=nodes, groups=[], note="", expires_s=3600, options=options
        )
        last: dict[str, Any] = {}
        async for snapshot in client.stream("job.watch", job=made["job"]):
            last = snapshot
        took = time.monotonic() - began
    if last.get("counts") != {"done": len(nodes)}:
        raise RegionError(f"the job ended badly: {last}")
    return took


def order(region: Region, kind: str, package: str, nodes: list[str], **options: Any) -> float:
    """Give an order and wait for its end; seconds. Raises RegionError when it did not end well everywhere."""
    return asyncio.run(_order(region.daemons["server"].socket, kind, package, nodes, options))
