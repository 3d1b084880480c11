"""Which targets would refuse a package, as far as the region knows what stands there (`--dry-run`).

Rules
- The rule is the job's, else the package's; what counts in the end is what stands on the machine at that moment.
- Who has this very version is not named: it may be the same package, which replaces nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import provisos
from tiercast_protocol.content.package.replacing import refusal
from tiercast_server.nodes.standing import versions
from tiercast_server.packages.packages import Package


async def refused(
    connection: AsyncConnection, package: Package, options: Mapping[str, object], nodes: Collection[str]
) -> list[dict[str, Any]]:
    """{node, version, why} of those that would refuse it."""
    said = provisos.read(options)
    if not said.replace:
        return []
    coming = (package.version, package.revision)
    found: list[dict[str, Any]] = []
    for node, version in sorted((await versions(connection, package.name, nodes)).items()):
        standing = (version, 0) if version and version != package.version else None
        if why := refusal(said.replace, said.order, coming, standing):
            found.append({"node": node, "version": version, "why": why})
    return found
