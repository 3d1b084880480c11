"""What is shown of rollouts: the list, and one with its waves and who failed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.breaker import BAD, WHOLE
from tiercast_protocol.content.jobs.reason import Reason, because, shown
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_server.database.rollout_tables import rollout_jobs
from tiercast_server.database.tables import targets
from tiercast_server.jobs import skipped
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts import sites as rollout_sites
from tiercast_server.rollouts.life import FINAL, Counts
from tiercast_server.rollouts.rows import Rollout

#: Who failed, by name: at most so many are shown.
MOST_FAILED = 100


async def list_(region: Region, limit: int) -> list[dict[str, Any]]:
    """The newest rollouts, newest first."""
    async with region.db.read() as connection:
        found = await rollout_rows.newest(connection, limit)
        return [_head(one) | {"waves": len(one.texts), "begun": one.begun} for one in found]


async def show(region: Region, text: str) -> dict[str, Any]:
    """One rollout: its rules, its waves with what came of them, why the next one waits, and who failed.

    Raises:
        UsageError: rollout.unknown.
    """
    async with region.db.read() as connection:
        one = await rollout_rows.get(connection, text)
        by_wave = await rollout_rows.states(connection, one.id)
        sizes: dict[int, int] = {}
        for member in await rollout_rows.members(connection, one.id):
            sizes[member.wave] = sizes.get(member.wave, 0) + 1
        jobs = await rollout_rows.jobs_of(connection, one.id)
        failed = await _failed(connection, one.id)
        held = [] if one.state in FINAL else await rollout_sites.held(connection, one.id)
        told = dict(by_wave)
        await skipped.of_waves(connection, one.options, one.id, told)
    counts = rollout_rows.counted(by_wave, one.begun)
    waves = [
        {
            "wave": wave + 1,
            "text": text_,
            "targets": sizes.get(wave, 0),
            "state": _state(counts[wave]) if wave < one.begun else "not begun",
            "counts": told.get(wave, {}),
            "jobs": [job for job, of in jobs.items() if of == wave],
        }
        for wave, text_ in enumerate(one.texts)
    ]
    rules = one.rules
    gate = waits(one, counts, one.begun, region.server) if one.begun < len(one.texts) else None
    return {
        **_head(one),
        "waves": waves,
        "begun": one.begun,
        "target": one.target,
        "rules": {
            "go_on": f"{rules.go_on * 100 / WHOLE:g}%",
            "soak_s": rules.soak_ms // 1000,
            "by_hand": rules.by_hand,
            "stop_at": str(rules.stop),
            "stop_at_site": str(rules.site),
        },
        "options": one.options,
        "gate": shown(gate) if gate is not None else {},
        "failed": failed,
        "held": held,
    }


def waits(one: Rollout, counts: tuple[Counts, ...], wave: int, server: str) -> Reason | None:
    """Why the wave with this number, counted from 0, has not begun; None where it never will, for somebody ended it."""
    said: dict[str, Any] = {"node": server, "rollout": one.id, "wave": wave + 1}
    if one.state in {"stopping", "stopped"}:
        bad, total = sum(each.bad for each in counts), sum(each.total for each in counts)
        limit = str(one.rules.stop) or "0"
        return because("breaker.open", since=one.ended or 0, have=f"{bad} of {total}", limit=limit, **said)
    if one.state == "paused":
        return because("rollout.paused", error=one.said, **said)
    if one.state != "running":
        return None
    hand = "a person's word" if one.rules.by_hand else ""
    if one.reached:
        until = 0 if one.rules.by_hand else one.reached + one.rules.soak_ms
        return because("gate.shut", since=one.reached, until=until, hand=hand, **said)
    before = counts[-1] if counts else Counts(0)
    needs = f"{one.rules.go_on * 100 / WHOLE:g}%"
    return because("gate.shut", have=f"{before.done} of {before.total}", needs=needs, hand=hand, **said)


def _state(counts: Counts) -> str:
    return "running" if counts.open else "ended"


def _head(one: Rollout) -> dict[str, Any]:
    return {
        "rollout": one.id,
        "undoes": one.undoes,
        "package": one.package,
        "version": one.version,
        "state": one.state,
        "said": one.said,
        "note": one.note,
        "by": one.created_by,
        "created": one.created,
        "expires": one.expires,
        "ended": one.ended,
    }


async def _failed(connection: AsyncConnection, id_: str) -> list[dict[str, Any]]:
    c = targets.c
    bad = [state for state in STATES if state in BAD]
    query = (
        select(c.node, rollout_jobs.c.wave, c.job, c.state, c.code, c.detail, c.at)
        .join(rollout_jobs, rollout_jobs.c.job == c.job)
        .where(rollout_jobs.c.rollout == id_, c.state.in_(bad))
        .order_by(rollout_jobs.c.wave, c.node)
        .limit(MOST_FAILED)
    )
    return [
        {
            "node": row.node,
            "wave": row.wave + 1,
            "job": row.job,
            "state": row.state,
            "code": row.code,
            "detail": row.detail,
            "at": row.at,
        }
        for row in await connection.execute(query)
    ]
