"""Machines that could not be woken for a job: "did not wake" is their result, should the job's time pass.

Rules (docs/power.md)
- Whoever wakes a machine says that it did not wake (`wake.failed`): a gateway in its record of the job, this server for
  its own children.  The last such word on each open target is kept, with when it came; of anybody else nothing is.
- While the job is open it goes on to be a reason (`why`), and the machine is tried again.  When the job's time passes,
  a target that has said nothing newer itself ends as `expired` with `job.unwoken`, all others as `job.expired`.
- It is the region's own word, and yields to a receipt that comes late.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_gateway.why.reasons import decoded
from tiercast_protocol.content.jobs.reason import Reason, words
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_server.database.site_tables import unwoken
from tiercast_server.database.tables import targets
from tiercast_server.jobs.life import CloseTargets

#: What whoever wakes says while the job is open, and what it comes to.
REASON = "wake.failed"
CODE = "job.unwoken"
_OPEN = tuple(state for state, final in STATES.items() if not final)


async def hear(connection: AsyncConnection, job: str, gateway: str, why: str, now: int) -> None:
    """Keep what a gateway's record says in `why` of machines that did not wake."""
    if REASON in why:
        await note(connection, job, decoded(why, node=gateway), now)


async def note(connection: AsyncConnection, job: str, said: Mapping[str, Reason], now: int) -> None:
    """Keep those of the reasons, by machine, that say that it did not wake, where it is an open target."""
    failed = {node: words(reason) for node, reason in said.items() if reason.code == REASON}
    if not failed:
        return
    which = (targets.c.job == job) & targets.c.node.in_(list(failed)) & targets.c.state.in_(_OPEN)
    names = sorted((await connection.execute(select(targets.c.node).where(which))).scalars())
    if names:
        await connection.execute(delete(unwoken).where(unwoken.c.job == job, unwoken.c.node.in_(names)))
        rows = [{"job": job, "node": name, "at": now, "detail": failed[name]} for name in names]
        await connection.execute(insert(unwoken), rows)


async def concluded(connection: AsyncConnection, job: str) -> list[CloseTargets]:
    """The job's time passed: what is kept becomes the result of those that said nothing newer."""
    which = (unwoken.c.job == targets.c.job) & (unwoken.c.node == targets.c.node) & (unwoken.c.at >= targets.c.at)
    query = select(unwoken.c.node, unwoken.c.detail).join(targets, which)
    query = query.where(unwoken.c.job == job, targets.c.state.in_(_OPEN)).order_by(unwoken.c.node)
    found = (await connection.execute(query)).all()
    await connection.execute(delete(unwoken).where(unwoken.c.job == job))
    return [CloseTargets("expired", CODE, row.detail, never_ordered=False, nodes=(row.node,)) for row in found]
