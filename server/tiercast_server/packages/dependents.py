"""Who needs a package that is to be removed (docs/packages.md, "Dependencies").

Rules
- What stands on a machine is what it said last, by its inventory or a receipt; what that needs stands in the sealed
  definition of that very version.  A version that the library forgot is not asked.
- A dependent that is itself to be removed there by an open job counts no more.
- The removal is refused with who needs it and where, unless it is forced.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.facts.versions import read_requirement
from tiercast_protocol.content.package.definition import parse_definition
from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import jobs, packages, targets
from tiercast_server.jobs.rows import OPEN_STATES
from tiercast_server.nodes import standing
from tiercast_server.parts import parts

_SHOWN = 5


async def check_needed(connection: AsyncConnection, package: str, nodes: Collection[str]) -> None:
    """Refuse to remove what other packages on these nodes need.

    Raises:
        UsageError: dependency.needed.
    """
    dependents = await _dependents(connection, package)
    if not dependents:
        return
    leaving = await _leaving(connection, {name for name, _ in dependents}, nodes)
    found: list[tuple[str, str]] = []
    holders = [node for node, version in (await standing.versions(connection, package, nodes)).items() if version]
    for name in sorted({name for name, _ in dependents}):
        for node, version in (await standing.versions(connection, name, holders)).items():
            if (needs := dependents.get((name, version))) and (node, name) not in leaving:
                found.append((node, f"{name} {version} needs {needs}"))
    if found:
        shown = "; ".join(f"on {node} {what}" for node, what in sorted(found)[:_SHOWN])
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UsageError(
            code="dependency.needed",
            what=f"{package} is needed: {shown}{more}.",
            todo="Remove what needs it first, or order it with --force. Nothing was done.",
        )


async def _dependents(connection: AsyncConnection, package: str) -> Mapping[tuple[str, str], str]:
    """Name and version of packages in the library that need it, and what they say."""
    query = select(packages.c.name, packages.c.version, packages.c.definition).where(
        packages.c.definition.contains(package, autoescape=True),
        packages.c.definition.contains("requires", autoescape=True),
        packages.c.root != b"",
    )
    found: dict[tuple[str, str], str] = {}
    for name, version, definition in await connection.execute(query.order_by(packages.c.revision)):
        found.pop((name, version), None)  # the highest revision speaks for its version
        for text in parse_definition(definition).requires:
            if read_requirement(text).package == package:
                found[name, version] = text
    return found


async def _leaving(connection: AsyncConnection, names: Collection[str], nodes: Collection[str]) -> set[tuple[str, str]]:
    """(node, package) of open jobs that remove any of these packages."""
    query = (
        select(targets.c.node, jobs.c.package)
        .join(jobs, jobs.c.id == targets.c.job)
        .where(
            jobs.c.state == "open",
            jobs.c.type == "remove",
            jobs.c.package.in_(sorted(names)),
            targets.c.state.in_(OPEN_STATES),
        )
    )
    found: set[tuple[str, str]] = set()
    for some in parts(targets.c.node, list(nodes)):
        found.update((row[0], row[1]) for row in await connection.execute(query.where(*some)))
    return found
