"""What of a package definition only the library can judge, all of it at once (`tiercast package check`).

Rules
- Nothing is written, and the package need not be there: it is looked at as if it were registered now.
- A mistake is what an order of it would be refused for on a machine where nothing stands; a warning is what may be
  meant so.
- Each is told by the definition's key; the lines are the packager's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.facts.versions import Requirement, read_requirement
from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import packages
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.packages import dependencies
from tiercast_server.packages.closure import resolve
from tiercast_server.packages.packages import Package
from tiercast_server.packages.version_orders import orders_of

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell; `warning`: it is no mistake."""

    key: str
    problem: str
    expected: str
    warning: bool = False

    def shown(self) -> dict[str, Any]:
        """As the verb answers it."""
        return {"key": self.key, "problem": self.problem, "expected": self.expected, "warning": self.warning}


async def check(connection: AsyncConnection, definition: Definition) -> list[Finding]:
    """Everything that the library says against `definition`."""
    found: list[Finding] = []
    known = sorted((await connection.execute(select(packages.c.name).distinct())).scalars())
    for text in definition.requires:
        found += await _needed(connection, read_requirement(text), known)
    for key, names in (
        ("conflicts", [read_requirement(text).package for text in definition.conflicts]),
        ("before", definition.before),
    ):
        found += [
            Finding(key, f"names {name}, and no package is called so", "a package of the library", warning=True)
            for name in names
            if name not in known
        ]
    if not any(one.key == "requires" for one in found):
        found += await _closure(connection, definition)
    return found + await _there(connection, definition)


async def _needed(connection: AsyncConnection, needs: Requirement, known: Sequence[str]) -> list[Finding]:
    query = select(packages.c.version).where(packages.c.name == needs.package, packages.c.root != b"")
    versions = sorted(set((await connection.execute(query)).scalars()))
    if not versions:
        near = suggestion(needs.package, known).strip()
        what = f"names {needs.package}, and no package is called so{f'. {near}' if near else ''}"
        return [Finding("requires", what, "a package of the library")]
    order = (await orders_of(connection, [needs.package]))[needs.package]
    needs = needs.ordered(order)
    if any(needs.met_by(version) for version in versions):
        return []
    there = ", ".join(versions[-_SHOWN:])
    return [Finding("requires", f"no version satisfies {needs}; there are: {there}", "a version of the library")]


async def _closure(connection: AsyncConnection, definition: Definition) -> list[Finding]:
    """Circles, and needs that no versions satisfy together."""
    package = Package(
        *(0, definition.name, definition.version, definition.revision, b"", ""),
        *(0, 0, 0, 0),
        canonical(definition),
        "",
        0,
    )
    start, library = await dependencies.library_for(connection, package)
    try:
        needs = resolve(start, library, {"a machine with nothing": {}})
    except UsageError as error:
        return [Finding("requires", error.what.rstrip("."), "versions that can stand together")]
    return [
        Finding("before", f"names {one.package.name}, which it needs by way of others", "what is installed after it")
        for one in needs
        if one.package.name in definition.before
    ]


async def _there(connection: AsyncConnection, definition: Definition) -> list[Finding]:
    query = select(packages.c.definition).where(
        packages.c.name == definition.name,
        packages.c.version == definition.version,
        packages.c.revision == definition.revision,
        packages.c.root != b"",
    )
    held = (await connection.execute(query)).scalar_one_or_none()
    if held is None or held == canonical(definition):
        return []
    what = f"{definition.name}={definition.version}/{definition.revision} is registered, and says something else"
    return [Finding("revision", what, "a revision or version that is free", warning=True)]
