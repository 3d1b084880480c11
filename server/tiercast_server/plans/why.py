"""Why a plan, or one machine of it, has not come to its end (docs/jobs.md, "Why").

Rules
- A step that has begun waits for what its job waits for; one that has not waits for the steps before it, or for
  somebody who resumes the plan.  The answer has the form of a job's.
- A machine is asked for through the first step that is still at work there; else through the one that it comes to next.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from tiercast_gateway.why import why
from tiercast_protocol.content.jobs.reason import Reason, because, shown
from tiercast_protocol.errors import UsageError
from tiercast_server.jobs import rows as job_rows
from tiercast_server.plans import rows as plan_rows
from tiercast_server.plans.rows import PlanRow, StepRow
from tiercast_server.plans.targets import left
from tiercast_server.region import Region
from tiercast_server.rollouts.why import OfJobs

_ID = re.compile(r"p\d{1,18}(-[0-9a-f]{4})?\Z")
_OPEN = frozenset({"waiting", "running"})


def looks_like(text: str) -> bool:
    """Whether this is the id of a plan: p3-1a2b, or p3."""
    return bool(_ID.match(text))


def waits(plan: PlanRow, row: StepRow, server: str) -> Reason | None:
    """Why the step has not begun, or begins on no further machine; None where it has ended, or begins nowhere else."""
    life, name = plan.life(), row.step.name
    if plan.state != "running" or row.state not in _OPEN or (row.state == "running" and not life.by_machine(name)):
        return None
    if plan.suspended:
        return because("plan.suspended", node=server, since=row.since, plan=plan.id)
    before = life.waits_for(name)
    if not before:
        return None
    where = "on the same machine" if life.by_machine(name) else ""
    return because("plan.step", node=server, since=row.since, steps=", ".join(before), plan=plan.id, where=where)


async def answer(jobs: OfJobs, region: Region, text: str, node: str) -> dict[str, Any]:
    """Why the plan has not ended: grouped, or of one machine as a chain.

    Raises:
        UsageError: plan.unknown or target.unknown.
    """
    async with region.db.read() as connection:
        plan = await plan_rows.get(connection, text)
        ends = await plan_rows.ends(connection, plan)
        counts = {row.job: await job_rows.counts(connection, row.job) for row in plan.steps if row.job}
    if node:
        return await _of_machine(jobs, plan, region.server, node)
    life, groups, chains = plan.life(), list[dict[str, Any]](), list[tuple[str, Reason, int]]()
    waiting, coming = 0, 0
    for row in plan.steps:
        if row.job and row.state == "running":
            found = await jobs.job(row.job)
            waiting += found["waiting"]
            groups += found["reasons"]
        if (reason := waits(plan, row, region.server)) is not None:
            more = left(life, row.step.name, ends) if life.by_machine(row.step.name) else 1
            coming += more
            chains += [(f"step {row.step.name}", reason, row.since)] * more
    groups += why.grouped(chains)
    groups.sort(key=lambda group: -group["count"])
    return {
        **_head(plan),
        "targets": sum(sum(of.values()) for of in counts.values()) + coming,
        "waiting": waiting + coming,
        "reasons": groups,
        "ended": why.ended(Counter((row.state, row.code) for row in plan.steps if row.state == "failed")),
    }


async def _of_machine(jobs: OfJobs, plan: PlanRow, server: str, node: str) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for row in plan.steps:
        if not row.job:
            continue
        try:
            last = await jobs.target(row.job, node)
        except UsageError as error:
            if error.code not in {"target.unknown", "job.unknown"}:
                raise
            continue
        if last["chain"]:
            return last
    for row in plan.steps:
        if (reason := waits(plan, row, server)) is not None:
            return {
                **_head(plan), "target": node, "target_state": f"before step {row.step.name}", "code": reason.code,
                "done": 0, "total": 0, "way": [], "chain": [shown(reason.at(peer=node))], "result": {},
            }  # fmt: skip
    if not last:
        raise UsageError(
            code="target.unknown",
            what=f"{node!r} is no target of a step of {plan.id} that has begun.",
            todo=f"`tiercast plan show {plan.id}` shows its steps and their jobs.",
        )
    return last


def _head(plan: PlanRow) -> dict[str, Any]:
    return {
        "job": plan.id, "type": "plan", "package": "", "version": "", "about": plan.name, "state": plan.shown_state,
        "expires": 0,
    }  # fmt: skip
