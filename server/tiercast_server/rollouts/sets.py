"""Jobs in two phases at the server: counted with every word of their targets, and moved on.

Rules
- What their machine (`set_life`) commands is ordered in the transaction that counted: a kill leaves both or neither.
- What all targets were ordered stands in the job's options, so whoever is ordered it later is ordered as much.
- Who was never ordered anything, for he has no key yet, is closed by an undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.package import phases
from tiercast_server.database.tables import targets
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.life import CloseTargets, Counted
from tiercast_server.jobs.rows import Job
from tiercast_server.region import Region
from tiercast_server.rollouts.set_life import OrderStep, SetLife, Tallied, Tally, tally

_NAMES = 10_000


def life(job: Job) -> SetLife:
    """The machine of a job in two phases."""
    said = {word: int(job.options.get(word, 0)) for word in (phases.AT_LEAST, phases.UNDO_IF)}
    return SetLife(job.id, phases.step_of(job.options), said[phases.AT_LEAST], said[phases.UNDO_IF])


async def counted(connection: AsyncConnection, job: str, names: Sequence[str] = ()) -> Tally:
    """The tally of all targets, or of those in `names`."""
    return tally(await _by_code(connection, job, names))


async def _by_code(connection: AsyncConnection, job: str, names: Sequence[str] = ()) -> dict[tuple[str, str], int]:
    c = targets.c
    found: dict[tuple[str, str], int] = {}
    for at in range(0, len(names), _NAMES) or (0,):
        query = select(c.state, c.code, func.count().label("n")).where(c.job == job).group_by(c.state, c.code)
        if names:
            query = query.where(c.node.in_(names[at : at + _NAMES]))
        for row in await connection.execute(query):
            found[row.state, row.code] = found.get((row.state, row.code), 0) + row.n
    return found


async def look(region: Region, connection: AsyncConnection, job: Job) -> bool:
    """Targets of `job` said something: order what follows from that; whether anything does."""
    if job.state != "open" or job.cancelling or not phases.step_of(job.options):
        return False
    machine = life(job)
    commands = machine.handle(Tallied(await counted(connection, job.id)))
    for command in commands:
        await order(region, connection, job, command)
    return bool(commands)


async def order(region: Region, connection: AsyncConnection, job: Job, command: OrderStep) -> None:
    """Carry out what the machine commands."""
    if not command.nodes:
        await job_rows.set_options(connection, job.id, job.options | {phases.STEP: command.step})
    if command.step == phases.UNDO:
        never = CloseTargets("cancelled", "job.cancelled", "undone before it was ordered", True, command.nodes)
        await job_rows.close_targets(connection, job, never, region.clock())
        await job_rows.advance(region, connection, job, Counted(await job_rows.counts(connection, job.id)))
    await job_rows.order(region, connection, job, "same", command.nodes, step=command.step)


async def phases_of(connection: AsyncConnection, job: Job) -> dict[str, int]:
    """How many targets of a job in two phases are in which phase; {} for others."""
    if not phases.step_of(job.options):
        return {}
    found: dict[str, int] = {}
    for (state, code), n in (await _by_code(connection, job.id)).items():
        phase = phases.phase_of(state, code)
        found[phase] = found.get(phase, 0) + n
    return dict(sorted(found.items()))


def show_phases(job: Job, rows: Sequence[dict[str, Any]]) -> None:
    """Put its phase into each row of a job in two phases."""
    if phases.step_of(job.options):
        for row in rows:
            row["phase"] = phases.phase_of(row["state"], row["code"])
