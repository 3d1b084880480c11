"""Ordinary jobs that contradict an assignment are refused: else the two would undo each other for ever.

Rules
- A job contradicts an assignment that is not paused when, done, it would leave one of its machines in another state
  than the assignment wants.  Who orders is told of the assignment, and how to change it.
- Membership is asked for the job's targets alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.assigned import Rule
from tiercast_protocol.errors import UsageError
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.nodes.nodes import Node
from tiercast_server.packages.version_orders import orders_of
from tiercast_server.targeting import Targeting

_SHOWN = 5


async def check_assigned(
    connection: AsyncConnection, targeting: Targeting, type_: str, package: str, version: str, found: Sequence[Node]
) -> None:
    """Refuse a job that would undo what an assignment has done.

    Args:
        connection: in the transaction that makes the job.
        targeting: looks up whom the assignments are for.
        type_: of the job.
        package: what it is about.
        version: that it installs or removes; "" of a removal is any.
        found: its targets.

    Raises:
        UsageError: job.assigned, naming the first such assignment.
    """
    if type_ not in {"install", jobtypes.OFFER, "remove"} or not package:
        return
    names = [node.name for node in found]
    order = (await orders_of(connection, [package]))[package]
    for kept in await assignment_rows.all_(connection, package):
        if kept.definition.paused or not _undoes(kept.rule.ordered(order), type_, version):
            continue
        try:
            picked = await targeting.pick(connection, kept.definition.meant, "endpoint", names)
        except UsageError:  # it can't be acted on itself
            continue
        if not picked.nodes:
            continue
        some = ", ".join(node.name for node in picked.nodes[:_SHOWN])
        more = f" and {len(picked.nodes) - _SHOWN} more" if len(picked.nodes) > _SHOWN else ""
        raise UsageError(
            code="job.assigned",
            what=f"The assignment {kept.name} of {kept.created_by} says that {some}{more} {kept.rule}; it would put"
            " this right again.",
            todo=f"Apply another assignment, or `tiercast assignment pause {kept.name}` first. Nothing was done.",
        )


def _undoes(rule: Rule, type_: str, version: str) -> bool:
    if type_ != "remove":
        return not rule.met_by(version)
    return not rule.lacks and (not version or rule.met_by(version))
