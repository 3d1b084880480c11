"""The undo of a rollout: a rollout of its own, that takes the waves back in reverse order.

Rules
- It is done with ordinary jobs: who had another version of the package before gets that one again, who had none has it
  removed.  What the installation's own programs changed beside the package is not taken back.
- What stood there before was written down as the wave began.  Who has another version by now than the rollout gave him
  is left as he is; so is who had this version before.
- A former version that the library no longer has is an error before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import UsageError
from tiercast_server.database.rollout_tables import rollout_jobs, rollout_members
from tiercast_server.database.tables import nodes, targets
from tiercast_server.desired.guard import check_assigned
from tiercast_server.jobs.checks import MAX_EXPIRY_S
from tiercast_server.nodes.nodes import all_nodes
from tiercast_server.nodes.standing import versions
from tiercast_server.packages.packages import find_sealed
from tiercast_server.parts import parts
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts.life import FINAL, Rules
from tiercast_server.rollouts.rollouts import Rollouts, name_of
from tiercast_server.rollouts.rows import Member, Rollout
from tiercast_server.targeting import Targeting

#: Who may have got it: whoever says so, and who was interrupted and can't say.
_MAY_HAVE = ("done", "interrupted")


@dataclass(slots=True)
class _Taken:
    """What is to be taken back: by wave the former version of each node, and how many are left as they are."""

    waves: dict[int, dict[str, str]] = field(default_factory=dict)
    same: int = 0
    moved_on: int = 0


async def undo(
    region: Region, rollouts: Rollouts, text: str, by: str, expires_s: int, *, go_on: int = 0, dry_run: bool = False
) -> dict[str, Any]:
    """Take a rollout back that has ended: {rollout, undoes, waves, same, moved_on, jobs}.

    Raises:
        UsageError: rollout.unknown, rollout.open, rollout.undo, rollout.nobody, rollout.conflict, package.gone,
            expiry.invalid, job.assigned, and what is said of jobs that can't be.
    """
    if not 0 < expires_s <= MAX_EXPIRY_S:
        what = f"An undo can't expire {expires_s} seconds from now."
        raise UsageError(code="expiry.invalid", what=what, todo=f"Choose 1 to {MAX_EXPIRY_S} seconds.")
    async with region.db.write() as connection:
        one = await rollout_rows.get(connection, text)
        await _check(connection, one)
        taken = await _taken(connection, one)
        numbers = sorted(taken.waves, reverse=True)
        await rollout_rows.check_apart(
            connection, one.package, {name for wave in taken.waves.values() for name in wave}
        )
        revisions = await _revisions(connection, one, taken)
        await _check_assigned(region, connection, one, taken)
        waves = [
            {"wave": n + 1, "text": f"wave {number + 1} of {one.id}", "targets": len(taken.waves[number])}
            | {"formers": _counted(taken.waves[number])}
            for n, number in enumerate(numbers)
        ]
        shown: dict[str, Any] = {"undoes": one.id, "same": taken.same, "moved_on": taken.moved_on, "waves": waves}
        if dry_run:
            return shown
        number = await rollout_rows.next_number(connection)
        now = region.clock()
        new = Rollout(
            id=name_of(region.name, number),
            number=number,
            undoes=one.id,
            state="running",
            said="",
            rules=Rules(go_on=go_on),
            texts=tuple(str(wave["text"]) for wave in waves),
            begun=0,
            reached=0,
            word=False,
            package=one.package,
            version=one.version,
            package_revision=one.package_revision,
            target="",
            options={},
            note=f"undo of {one.id}",
            created_by=by,
            created=now,
            expires=now + expires_s * 1000,
            ended=None,
        )
        members = [
            Member(name, n, former, revisions[former])
            for n, wave in enumerate(numbers)
            for name, former in sorted(taken.waves[wave].items())
        ]
        done = await rollouts.begin(connection, new, members)
    rollouts.told(new.id, done)
    return {"rollout": new.id, "jobs": done.made, **shown}


async def _check(connection: AsyncConnection, one: Rollout) -> None:
    if one.undoes:
        raise UsageError(
            code="rollout.undo",
            what=f"{one.id} is itself an undo of {one.undoes}.",
            todo=f"Start {one.package}={one.version} again instead: tiercast rollout start. Nothing was done.",
        )
    busy = [other.id for other in await rollout_rows.still_open(connection) if one.id in {other.id, other.undoes}]
    if one.state not in FINAL or busy:
        first = busy[0] if busy else one.id
        raise UsageError(
            code="rollout.open",
            what=f"The rollout {first} has not ended.",
            todo=f"`tiercast rollout cancel {first}` first, and wait until it has. Nothing was done.",
        )


async def _taken(connection: AsyncConnection, one: Rollout) -> _Taken:
    c = rollout_members.c
    query = (
        select(c.node, c.wave, c.former, targets.c.state)
        .join(rollout_jobs, (rollout_jobs.c.rollout == c.rollout) & (rollout_jobs.c.wave == c.wave))
        .join(targets, (targets.c.job == rollout_jobs.c.job) & (targets.c.node == c.node))
        .where(c.rollout == one.id, targets.c.state.in_(_MAY_HAVE))
    )
    rows = (await connection.execute(query)).all()
    held = await versions(connection, one.package, [row.node for row in rows])
    taken = _Taken()
    for row in rows:
        if row.former == one.version:
            taken.same += 1
        elif row.state == "done" and held[row.node] != one.version:
            taken.moved_on += 1
        else:
            taken.waves.setdefault(row.wave, {})[row.node] = row.former
    if not taken.waves:
        raise UsageError(
            code="rollout.nobody",
            what=f"Nobody has {one.package}={one.version} of {one.id}: {taken.same} had it before, {taken.moved_on}"
            " have something else by now.",
            todo="Nothing was done.",
        )
    return taken


async def _revisions(connection: AsyncConnection, one: Rollout, taken: _Taken) -> dict[str, int]:
    """By former version the revision that is given again."""
    found = {"": 0}
    for former in sorted({former for wave in taken.waves.values() for former in wave.values()} - {""}):
        try:
            found[former] = (await find_sealed(connection, f"{one.package}={former}")).revision
        except UsageError as error:
            count = sum(had == former for wave in taken.waves.values() for had in wave.values())
            raise UsageError(
                code="package.gone",
                what=f"{count} targets had {one.package}={former} before, which the library no longer has.",
                todo="Build it again first: tiercast package build. Nothing was done.",
            ) from error
    return found


async def _check_assigned(region: Region, connection: AsyncConnection, one: Rollout, taken: _Taken) -> None:
    """Refuse what an assignment would put right again."""
    of_formers: dict[str, list[str]] = {}
    for wave in taken.waves.values():
        for name, former in wave.items():
            of_formers.setdefault(former, []).append(name)
    for former, names in sorted(of_formers.items()):
        found = [node for some in parts(nodes.c.name, names) for node in await all_nodes(connection, *some)]
        type_ = "install" if former else "remove"
        await check_assigned(connection, Targeting(region), type_, one.package, former, found)


def _counted(wave: dict[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for former in wave.values():
        found[former] = found.get(former, 0) + 1
    return found
