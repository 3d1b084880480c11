"""What a job's package needs beside it, looked up in the region: the library, what stands where, what is on its way.

Rules (docs/jobs.md, "Conditions")
- Only what the closure reaches is read of the library, name by name.
- An open job that installs a version that satisfies counts as if it stood there: nothing is ordered twice.
- What is missing becomes a job of its own, ordered first, in the same transaction, on the same terms.  What an offer
  needs is ordered after it, names it, and waits for the owner of the machine as the offer does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.facts.versions import PLAIN, Requirement, read_requirement
from tiercast_protocol.content.package.definition import parse_definition
from tiercast_server.database.tables import jobs, packages, targets
from tiercast_server.jobs.checks import Request
from tiercast_server.jobs.proviso_checks import INSTALLING
from tiercast_server.jobs.requests import Kept
from tiercast_server.jobs.rows import OPEN_STATES
from tiercast_server.nodes import standing
from tiercast_server.packages.closure import Candidate, Need, resolve
from tiercast_server.packages.packages import Package, find_sealed
from tiercast_server.packages.version_orders import orders_of
from tiercast_server.parts import parts

#: Packages that one closure may reach.
_MOST = 500


async def needs(connection: AsyncConnection, request: Request, nodes: Sequence[str]) -> list[Need]:
    """What is missing on `nodes` for what `request` is to install, in the order of installation.

    Raises:
        UsageError: package.*, reference.invalid, dependency.*.
    """
    if request.type not in INSTALLING:
        return []
    package = await find_sealed(connection, request.package)
    if not parse_definition(package.definition).requires:
        return []
    start, library = await library_for(connection, package)
    held: dict[str, dict[str, frozenset[str]]] = {node: {} for node in nodes}
    for name in library:
        for node, version in (await standing.versions(connection, name, nodes)).items():
            if version:
                held[node][name] = frozenset({version})
    for node, name, version in await _on_their_way(connection, library, held):
        held[node][name] = held[node].get(name, frozenset()) | {version}
    return resolve(start, library, held)


def request_for(need: Need, request: Request, package: str) -> Request:
    """The request of a job that brings `need`, as `request` for `package` asked for it; on the same terms."""
    note = f"needed by {package}"
    kept: dict[str, Any] = {
        "type": "install",
        "package": need.package.reference,
        "targets": list(need.nodes),
        "note": note,
        "expires_s": request.expires_s,
        "options": request.options,
    }
    return replace(
        request,
        type="install",
        package=f"{need.package.reference}/{need.package.revision}",
        targets=need.nodes,
        groups=(),
        target="",
        follow=False,
        confirm=0,
        note=note,
        kept=Kept(kept, request.kept.folder),
    )


def shown(found: Sequence[Need]) -> list[dict[str, Any]]:
    """As `job.create` answers it, and as a dry run shows it: {package, targets, nodes, bytes}."""
    return [
        {
            "package": one.package.reference,
            "targets": len(one.nodes),
            "nodes": list(one.nodes),
            "bytes": one.package.size,
        }
        for one in found
    ]


def _candidate(package: Package, orders: Mapping[str, str]) -> Candidate:
    definition = parse_definition(package.definition)

    def read(texts: tuple[str, ...]) -> tuple[Requirement, ...]:
        needs = map(read_requirement, texts)
        return tuple(one.ordered(orders.get(one.package, PLAIN)) for one in needs)

    return Candidate(
        package.name,
        package.version,
        package.revision,
        requires=read(definition.requires),
        conflicts=read(definition.conflicts),
        size=package.stored_bytes,
        order=orders.get(package.name, PLAIN),
    )


async def library_for(connection: AsyncConnection, package: Package) -> tuple[Candidate, dict[str, list[Candidate]]]:
    """What is ordered, and every sealed package of each name that its needs reach."""
    reached: dict[str, list[Package]] = {package.name: [package]}
    queue = _named(package)
    while queue and len(reached) < _MOST:
        name = queue.pop()
        if name in reached:
            continue
        query = select(packages.c.id).where(packages.c.name == name, packages.c.root != b"")
        ids = list((await connection.execute(query)).scalars())
        reached[name] = await _rows(connection, ids)
        queue += [needed for one in reached[name] for needed in _named(one)]
    orders = await orders_of(connection, sorted(reached))
    found = {name: [_candidate(one, orders) for one in rows] for name, rows in reached.items()}
    return found[package.name][0], found


def _named(package: Package) -> list[str]:
    """The packages that it needs."""
    return [read_requirement(text).package for text in parse_definition(package.definition).requires]


async def _rows(connection: AsyncConnection, ids: Collection[int]) -> list[Package]:
    query = select(packages).where(packages.c.id.in_(list(ids)))
    return [Package(**row) for row in (await connection.execute(query)).mappings()]


async def _on_their_way(
    connection: AsyncConnection, names: Collection[str], nodes: Collection[str]
) -> list[tuple[str, str, str]]:
    """(node, package, version) of open jobs that install any of these packages on any of these nodes."""
    query = (
        select(targets.c.node, jobs.c.package, jobs.c.version)
        .join(jobs, jobs.c.id == targets.c.job)
        .where(
            jobs.c.state == "open",
            jobs.c.type == "install",
            jobs.c.package.in_(list(names)),
            targets.c.state.in_(OPEN_STATES),
        )
    )
    split = parts(targets.c.node, nodes)
    return [(row[0], row[1], row[2]) for some in split for row in await connection.execute(query.where(*some))]
