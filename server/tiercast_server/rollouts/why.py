"""Why a rollout, or one target of it, has not come to its end (docs/jobs.md, "Why").

Rules
- Whose wave has begun waits for what its job waits for; who is in a later one waits for the gate, the breaker or a
  person, and the answer has the form of a job's.
"""

from __future__ import annotations

from typing import Any, Protocol

from tiercast_gateway.why import why
from tiercast_protocol.content.jobs.reason import Reason, shown
from tiercast_protocol.errors import UsageError
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts.rows import Rollout
from tiercast_server.rollouts.view import waits


class OfJobs(Protocol):
    """Answers for jobs."""

    async def job(self, name: str, below: str = "") -> dict[str, Any]:
        """Of a whole job."""
        ...

    async def target(self, name: str, node: str) -> dict[str, Any]:
        """Of one target."""
        ...


async def answer(jobs: OfJobs, region: Region, text: str, node: str) -> dict[str, Any]:
    """Why the rollout has not ended: grouped, or of one target as a chain.

    Raises:
        UsageError: rollout.unknown or target.unknown.
    """
    async with region.db.read() as connection:
        one = await rollout_rows.get(connection, text)
        members = await rollout_rows.members(connection, one.id)
        made = await rollout_rows.jobs_of(connection, one.id)
        by_wave = await rollout_rows.states(connection, one.id)
        ended = await rollout_rows.results(connection, one.id)
    counts = rollout_rows.counted(by_wave, one.begun)
    if node:
        wave = next((member.wave for member in members if member.node == node), None)
        if wave is None:
            raise _no_target(one, node)
        if wave < one.begun:
            return await _of_its_job(jobs, [job for job, of in made.items() if of == wave], one, node)
        return _head(one) | _alone(one, node, waits(one, counts, wave, region.server))
    groups: list[dict[str, Any]] = []
    chains = [
        (member.node, reason, reason.since or one.created)
        for member in members
        if member.wave >= one.begun
        for reason in [waits(one, counts, member.wave, region.server)]
        if reason is not None
    ]
    groups += why.grouped(chains)
    waiting = len(chains)
    for job in made:
        found = await jobs.job(job)
        waiting += found["waiting"]
        groups += found["reasons"]
    groups.sort(key=lambda group: -group["count"])
    return {
        **_head(one),
        "targets": len(members),
        "waiting": waiting,
        "reasons": groups,
        "ended": why.ended(ended),
    }


async def _of_its_job(jobs: OfJobs, names: list[str], one: Rollout, node: str) -> dict[str, Any]:
    for name in names:
        try:
            return await jobs.target(name, node)
        except UsageError as error:
            if error.code not in {"target.unknown", "job.unknown"}:
                raise
    raise _no_target(one, node)


def _alone(one: Rollout, node: str, reason: Reason | None) -> dict[str, Any]:
    chain = [] if reason is None else [shown(reason.at(peer=node))]
    means = f"the rollout is {one.state}: this wave never began"
    result = {"state": "cancelled", "code": "", "detail": "", "means": means, "todo": ""}
    return {
        "target": node,
        "target_state": "not begun",
        "code": "" if reason is None else reason.code,
        "done": 0,
        "total": 0,
        "way": [],
        "chain": chain,
        "result": {} if chain else result,
    }


def _head(one: Rollout) -> dict[str, Any]:
    return {
        "job": one.id,
        "type": "undo" if one.undoes else "rollout",
        "package": one.package,
        "version": one.version,
        "state": one.state,
        "expires": one.expires,
    }


def _no_target(one: Rollout, node: str) -> UsageError:
    return UsageError(
        code="target.unknown",
        what=f"{node!r} is no target of {one.id}, or left the region before its wave.",
        todo=f"`tiercast rollout show {one.id} --json` shows its waves.",
    )
