"""The jobs of one wave, made inside the transaction that begins it.

Rules
- A wave is a job; one that takes back what machines had before is one job for each version that they had.
- All jobs of a wave are checked before the first of them is written.
- It is the same sealed content in every wave, also where a newer revision exists by now.
- Who left the region meanwhile is left out; times that are over are left out, as of a rerun.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes, provisos
from tiercast_protocol.content.jobs.breaker import FORMERS, MOST_FORMERS
from tiercast_protocol.content.package.replacing import ANY
from tiercast_server import group_windows
from tiercast_server.database.rollout_tables import rollout_jobs, rollout_members
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.jobs import requests
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.checks import Request, check_conflict
from tiercast_server.jobs.proviso_checks import completed
from tiercast_server.jobs.requests import Kept
from tiercast_server.jobs.reruns import again
from tiercast_server.jobs.rows import Job
from tiercast_server.jobs.time_checks import Plan, check_times
from tiercast_server.jobs.transfer_checks import check_possible
from tiercast_server.nodes.nodes import Node, all_nodes
from tiercast_server.nodes.standing import versions
from tiercast_server.packages import dependencies, version_orders
from tiercast_server.packages.packages import Package, find_sealed
from tiercast_server.parts import parts
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts.rows import Rollout
from tiercast_server.rollouts.sites import options_of


@dataclass(frozen=True, slots=True)
class _Made:
    """One job to be written."""

    type: str
    package: Package
    nodes: list[Node]
    options: dict[str, str | int | bool]


async def order_wave(region: Region, connection: AsyncConnection, one: Rollout, wave: int) -> list[str]:
    """Make the jobs of a wave; their ids.

    Raises:
        UsageError: package.unknown, job.conflict, dependency.*, transfer.*, times.*, window.*; nothing was written.
    """
    wanted: dict[tuple[str, int], list[str]] = {}
    for member in await rollout_rows.members(connection, one.id):
        if member.wave == wave:
            wanted.setdefault((member.version, member.revision), []).append(member.node)
    names = [name for some in wanted.values() for name in some]
    there = {
        node.name: node for some in parts(nodes_table.c.name, names) for node in await all_nodes(connection, *some)
    }
    now = region.clock()
    made: list[_Made] = []
    for (version, revision), some in sorted(wanted.items()):
        if found := [there[name] for name in some if name in there]:
            made.append(await _checked(connection, one, now, (version, revision), found))
    needed = [need for job in made for need in await _needed(connection, one, now, job)]
    held = await versions(connection, one.package, names)
    formers = [version for version, _ in Counter(v for v in held.values() if v).most_common(MOST_FORMERS)]
    for former in sorted({*held.values()} - {""}):
        for which in parts(rollout_members.c.node, [name for name, version in held.items() if version == former]):
            kept = update(rollout_members).where(rollout_members.c.rollout == one.id, *which)
            await connection.execute(kept.values(former=former))
    said: dict[str, str | int | bool] = {} if one.undoes else options_of(one)
    if formers and not one.undoes:
        said[FORMERS] = ",".join(sorted(formers))
    for need in needed:  # ordered first, and no part of the wave: who counts is who is rolled out
        await _write(region, connection, one, wave, need, None)
    return [await _write(region, connection, one, wave, job, said) for job in made]


async def _needed(connection: AsyncConnection, one: Rollout, now: int, made: _Made) -> list[_Made]:
    """What brings what the package of a job needs; what is undone brings nothing along."""
    if one.undoes or made.type != "install":
        return []
    nodes = {node.name: node for node in made.nodes}
    asked = Request(type="install", package=made.package.reference, by=one.created_by)
    found: list[_Made] = []
    for need in await dependencies.needs(connection, asked, list(nodes)):
        package = await find_sealed(connection, f"{need.package.reference}/{need.package.revision}")
        there = [nodes[name] for name in need.nodes]
        await check_conflict(connection, "install", package.name, there)
        options, _ = again(one.options, now)
        whole = completed("install", options, package.definition, now, one.expires)
        whole = await version_orders.in_options(connection, whole)
        found.append(_Made("install", package, there, whole))
    return found


async def _checked(
    connection: AsyncConnection, one: Rollout, now: int, content: tuple[str, int], found: list[Node]
) -> _Made:
    version, revision = content
    kind = jobtypes.of("install" if version else "remove")
    reference = f"{one.package}={version or one.version}/{revision or one.package_revision}"
    package = await find_sealed(connection, reference)
    await check_conflict(connection, kind.name, one.package, found)
    options, _ = again(one.options if kind.content else {}, now)
    if one.undoes and kind.content:  # what stood before comes back, whatever it may replace
        options[provisos.REPLACE] = ANY
    size = package.stored_bytes if kind.content else 0
    if size:
        check_possible(options, size=size, now=now / 1000, left=(one.expires - now) / 1000)
    check_times(Plan(kind.name, options, now / 1000, one.expires / 1000, size))
    span = (now / 1000, one.expires / 1000)
    await group_windows.check_targets(connection, kind.name, options, [node.name for node in found], span)
    whole = completed(kind.name, options, package.definition, now, one.expires)
    return _Made(kind.name, package, found, await version_orders.in_options(connection, whole))


async def _write(
    region: Region,
    connection: AsyncConnection,
    one: Rollout,
    wave: int,
    made: _Made,
    said: dict[str, str | int | bool] | None,
) -> str:
    """Write one job; `said` are the words of the rollout, None for one that is no part of it."""
    now = region.clock()
    note = f"{one.id}, wave {wave + 1} of {len(one.texts)}{f': {one.note}' if one.note else ''}"
    if said is None:
        note = f"needed by {one.package}: {note}"
    args = {
        "type": made.type,
        "package": f"{made.package.name}={made.package.version}",
        "targets": [node.name for node in made.nodes],
        "note": note,
        "expires_s": max(1, (one.expires - now) // 1000),
        "options": made.options,
    }
    kept = Kept(args, folder=f"rollouts/{one.id}")
    id_, number = await requests.identity(connection, kept)
    job = Job(
        id=id_,
        number=number,
        type=made.type,
        revision=0,
        state="open",
        cancelling=False,
        package=made.package.name,
        version=made.package.version,
        package_revision=made.package.revision,
        root=made.package.root,
        note=note,
        created_by=one.created_by,
        options=made.options | (said if said is not None and made.type == "install" else {}),
        created=now,
        expires=one.expires,
        closed=None,
    )
    await job_rows.insert_job(connection, job, made.nodes)
    await requests.keep(connection, (id_, number), kept, one.created_by, now, draft=False)
    await job_rows.order(region, connection, job, "same", ())
    if said is not None:
        await connection.execute(insert(rollout_jobs).values(rollout=one.id, job=id_, number=number, wave=wave))
    return id_
