"""A part of a job: some of its targets, named one by one, by group, or by what they are below.

Rules
- Only targets of the job are meant; a name that is none is an error, and so is a part of which nobody is open.
- Below a gateway is whoever has its home there, at any depth; a gateway is below itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.content.jobs.target import union
from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import targets
from tiercast_server.jobs.rows import Job
from tiercast_server.nodes import nodes
from tiercast_server.targeting import Targeting

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Part:
    """Which of a job's targets; empty is all of them, and false."""

    nodes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    below: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything was said."""
        return bool(self.nodes or self.groups or self.below)

    def text(self) -> str:
        """As people read it."""
        words = [*self.nodes, *(f"group {one}" for one in self.groups), *(f"below {one}" for one in self.below)]
        return ", ".join(words[:_SHOWN])


async def chosen(connection: AsyncConnection, job: Job, part: Part, targeting: Targeting) -> list[str]:
    """The open targets of `job` that are of `part`, by name.

    Raises:
        UsageError: node.unknown, group.unknown, target.unknown, part.ended.
    """
    query = select(targets.c.node, targets.c.state).where(targets.c.job == job.id)
    states = {row.node: row.state for row in await connection.execute(query)}
    named = {node.name for node in await nodes.resolve(connection, part.nodes, ())}
    if strangers := sorted(named - states.keys()):
        raise UsageError(
            code="target.unknown",
            what=f"No targets of {job.id}: {', '.join(strangers[:_SHOWN])}.",
            todo=f"`tiercast job show {job.id}` shows its targets. Nothing was done.",
        )
    meant = union((), part.groups, "")
    named |= {node.name for node in (await targeting.pick(connection, meant, jobtypes.of(job.type).role)).nodes}
    if part.below:
        for name in part.below:
            await nodes.get(connection, name)
        parents = {node.name: node.parent for node in await nodes.all_nodes(connection)}
        named |= below(part.below, parents, states)
    mine = named & states.keys()
    found = sorted(name for name in mine if not STATES[states[name]])
    if not found:
        ended = f"all {len(mine)} of it have ended" if mine else "none of its targets is of it"
        raise UsageError(
            code="part.ended",
            what=f"Nothing of {job.id} is open at {part.text()}: {ended}.",
            todo=f"`tiercast job show {job.id}` shows its targets. Nothing was done.",
        )
    return found


def below(tops: Iterable[str], parents: dict[str, str], names: Iterable[str]) -> set[str]:
    """Those of `names` that are one of `tops`, or below one."""
    wanted = set(tops)
    found: set[str] = set()
    for name in names:
        way = [name]
        while way[-1] not in wanted and (parent := parents.get(way[-1], "")) and parent not in way:
            way.append(parent)
        if way[-1] in wanted:
            found.add(name)
    return found
