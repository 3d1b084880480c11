"""Why a machine is not as an assignment wants it (docs/jobs.md, "Why").

Rules
- While a job about the package is open there, it is that job's reasons; else what the assignment waits for.  A state
  that is not `holds` never is without a reason.
- What has the form of a job's or rollout's id never names an assignment here.
"""

from __future__ import annotations

import re
from typing import Any

from tiercast_gateway.why import why
from tiercast_protocol.content.jobs.reason import Reason, because, shown
from tiercast_protocol.errors import UsageError
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.life import MOST, Machine, Try
from tiercast_server.desired.look import Sight, look
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts import why as rollout_why
from tiercast_server.rollouts.why import OfJobs
from tiercast_server.targeting import Targeting

_ID = re.compile(r"[jrp]?\d+(-[0-9a-f]{4})?\Z")
_MOST_NAMES = 5


async def is_one(region: Region, name: str) -> bool:
    """Whether an assignment is meant by this word."""
    if _ID.match(name):
        return False
    async with region.db.read() as connection:
        return await assignment_rows.find(connection, name) is not None


async def answer(jobs: OfJobs, region: Region, name: str, node: str) -> dict[str, Any]:
    """Why its machines are not as it wants them: grouped, or of one machine as a chain.

    Raises:
        UsageError: assignment.unknown or target.unknown.
    """
    async with region.db.read() as connection:
        await assignment_rows.get(connection, name)
        sights = await look(region, Targeting(region), connection)
    sight = sights[name]
    head = _head(sight)
    if node:
        machine = sight.machines.get(node)
        if machine is None:
            raise UsageError(
                code="target.unknown",
                what=f"The assignment {name} is not for {node!r}{f': {sight.wrong}' if sight.wrong else ''}.",
                todo=f"`tiercast assignment show {name}` shows for whom it is.",
            )
        job = machine.busy or sight.life.tries.get(node, Try()).job
        if job and not machine.holds and (found := await _of_job(jobs, region, job, node)):
            return {**found, "assignment": name, "says": str(sight.rule)}
        return head | _alone(sights, sight, node, machine)
    chains = [
        (other, reason, reason.since)
        for other, machine in sight.machines.items()
        for reason in [_reason(sights, sight, other, machine)]
        if reason is not None
    ]
    ended = {("done", ""): len(sight.machines) - len(chains)}
    return {
        **head,
        "targets": len(sight.machines),
        "waiting": len(chains),
        "reasons": why.grouped(chains),
        "ended": why.ended(ended) if ended["done", ""] else [],
    }


async def _of_job(jobs: OfJobs, region: Region, job: str, node: str) -> dict[str, Any]:
    """What a job or rollout says of the node; nothing where that is none of its targets."""
    try:
        if rollout_rows.looks_like(job):
            return await rollout_why.answer(jobs, region, job, node)
        return await jobs.target(job, node)
    except UsageError as error:
        if error.code != "target.unknown":
            raise
        return {}  # it came later than the rollout began


def _reason(sights: dict[str, Sight], sight: Sight, node: str, machine: Machine) -> Reason | None:
    """What a machine waits for; None where it is as it is to be."""
    held = sight.life.tries.get(node, Try())
    name, package = sight.name, sight.rule.package
    found: Reason
    match sight.life.state_of(node, machine):
        case "holds":
            return None
        case "waiting" | "held":
            found = because("assignment.job", job=machine.busy or held.job, package=package)
        case "unknown":
            found = because("assignment.unknown")
        case _ if sight.kept.definition.paused:
            found = because("assignment.paused", assignment=name)
        case _ if sight.stopped:
            found = because("assignment.stopped", assignment=name, rollout=sight.kept.rollout, error=sight.stopped)
        case "contradicted":
            found = because("assignment.contradicted", package=package, others=_others(sights, sight, node))
        case "failed":
            error, failures = held.detail or held.code, held.failures
            if failures >= MOST:
                found = because("assignment.failed", assignment=name, failures=failures, error=error)
            else:
                found = because("assignment.again", assignment=name, failures=failures, error=error, until=held.again)
        case _:
            found = because("assignment.turn")
    return found.at(node="", peer=node)


def _others(sights: dict[str, Sight], sight: Sight, node: str) -> str:
    package = sight.rule.package
    names = [
        f"{one.name} says {one.rule}" for one in sights.values() if one.rule.package == package and node in one.machines
    ]
    return ", ".join(names[:_MOST_NAMES])


def _alone(sights: dict[str, Sight], sight: Sight, node: str, machine: Machine) -> dict[str, Any]:
    reason = _reason(sights, sight, node, machine)
    stands = f"{sight.rule.package} {machine.version}" if machine.version else f"{sight.rule.package} is not there"
    result = {"state": "done", "code": "", "detail": f"{stands}, as it is to be.", "means": "", "todo": ""}
    return {
        "target": node,
        "target_state": sight.life.state_of(node, machine),
        "code": "" if reason is None else reason.code,
        "done": 0,
        "total": 0,
        "way": [],
        "chain": [] if reason is None else [shown(reason)],
        "result": result if reason is None else {},
    }


def _head(sight: Sight) -> dict[str, Any]:
    return {
        "job": sight.name,
        "assignment": sight.name,
        "says": f"{sight.rule}, {'paused' if sight.kept.definition.paused else 'active'}",
        "type": "assignment",
        "package": sight.rule.package,
        "version": "",
        "state": "paused" if sight.kept.definition.paused else "active",
        "expires": 0,
    }
