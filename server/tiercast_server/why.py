"""Why a job, or one target of it, has not ended: read from the region's database (docs/jobs.md, "Why").

Rules
- Answered out of rows and of what gateways said of their own accord: nobody is asked, so it is as quick with ten
  thousand targets as with ten.  `node` in the call asks that node itself instead, what it knows now.
- The order of reasons is decided in `tiercast_gateway.why.why`, the same for a gateway's own answer.
- Where a machine is counts, not where it belongs: reasons are those of its present parents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_gateway.why import reasons, why
from tiercast_gateway.why.way import not_below
from tiercast_gateway.why.why import Said, Target
from tiercast_protocol.content.jobs.reason import Reason, because, read, shown, words
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.content.jobs.waiting import KINDS
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import whyabove
from tiercast_protocol.node.control.verbs import Call
from tiercast_server.below import Below
from tiercast_server.database.tables import handovers, hops, nodes, placings, targets
from tiercast_server.depot_verbs import asked
from tiercast_server.desired import why as assignment_why
from tiercast_server.jobs import likewise
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.life import GRACE_MS
from tiercast_server.jobs.rows import OPEN_STATES, Job
from tiercast_server.plans import why as plan_why
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts import why as rollout_why

#: What this server says of its own children: its reason by child, of one job.
Own = Callable[[str], Mapping[str, Reason]]
_NOTHING: Mapping[str, Reason] = {}
#: Where these columns stand in a row of `_select`.
_PARENT, _PRESENT = 8, 9


class JobWhy:
    """Answers `job.why`.

    Args:
        region: whose jobs they are.
        below: the tree; asked where a call names a node.
        own: what this server says of its children.
    """

    def __init__(self, region: Region, below: Below, own: Own) -> None:
        self._region, self._below, self._own = region, below, own

    async def why(self, call: Call) -> dict[str, Any]:
        """Why a job has not ended: grouped, or of one target as a chain."""
        found: dict[str, Any] | None = await asked(self._region, self._below, call)
        if found is not None:
            return found
        return await self._of(call.text("job"), call.text("target", ""))

    async def below(self, asker: str, job: str, target: str) -> dict[str, Any]:
        """What a node is told of itself, or of what is below it.

        Raises:
            UsageError: target.unknown, and as `job` and `target`.
        """
        if target != asker:
            async with self._region.db.read() as connection:
                home = select(nodes.c.parent, placings.c.parent.label("present"))
                home = home.outerjoin(placings, placings.c.node == nodes.c.name).where(nodes.c.name == target)
                row = (await connection.execute(home)).first()
                parents = await gateways(connection)
            if row is None or asker not in why.above(target, parents | {target: row.present or row.parent}):
                raise not_below(asker, target)
        return whyabove.told(await self._of(job, target))

    async def _of(self, job: str, target: str) -> dict[str, Any]:
        if rollout_rows.looks_like(job):
            return await rollout_why.answer(self, self._region, job, target)
        if plan_why.looks_like(job):
            return await plan_why.answer(self, self._region, job, target)
        if await assignment_why.is_one(self._region, job):
            return await assignment_why.answer(self, self._region, job, target)
        return await (self.target(job, target) if target else self.job(job))

    async def job(self, name: str, below: str = "") -> dict[str, Any]:
        """The reasons of all open targets, counted by code; of those `below` a node, where one is named.

        Raises:
            UsageError: job.unknown.
        """
        async with self._region.db.read() as connection:
            job = await job_rows.get(connection, name)
            counts = await _counts(connection, job.id)
            said = await self._said(connection, job)
            if sum(count for (state, _), count in counts.items() if state in OPEN_STATES) > likewise.FEW:
                rows = await likewise.alike(connection, job.id, {name for told in said.values() for name in told})
            else:
                rows = [(*row, 1) for row in await connection.execute(_open(job.id))]
            parents = await gateways(connection)
            first = await self._first(connection, job)
        chains = list(_firsts(rows, parents, said, first, below))
        return {
            **_head(job),
            "targets": sum(counts.values()),
            "waiting": sum(many for *_, many in chains),
            "reasons": why.counted(chains),
            "ended": [] if below else why.ended(counts),
        }

    async def target(self, name: str, node: str) -> dict[str, Any]:
        """The whole chain of one target; of a gateway on the way, or of this server: its own, and all reasons below it.

        Raises:
            UsageError: job.unknown or target.unknown.
        """
        async with self._region.db.read() as connection:
            job = await job_rows.get(connection, name)
            row = (await connection.execute(_one(job.id, node))).one_or_none()
            said = await self._said(connection, job)
            parents = await gateways(connection)
            first = await self._first(connection, job)
        if row is None:
            here = node == self._region.server
            if not here and node not in parents:
                raise UsageError(
                    code="target.unknown",
                    what=f"{node!r} is no target of {job.id}, nor a gateway on the way to one.",
                    todo=f"`tiercast job show {job.id}` shows its targets.",
                )
            at = Target(node, "fetching")
            told = why.chain(at, parents, said)
            below = await self.job(job.id, "" if here else node)
            return {**below, "ended": [], "target": node, "chain": [shown(reason) for reason in told[:-1]]}
        parents[node] = row.present or row.parent
        target = _target(row)
        told = why.chain(target, parents, said, _stands(first, row.state))
        return {
            **_head(job),
            "target": node,
            "target_state": row.state,
            "code": row.code,
            "done": row.done,
            "total": row.total,
            "way": why.above(node, parents),
            "chain": [shown(reason) for reason in told],
            "result": why.result(target),
        }

    async def _said(self, connection: AsyncConnection, job: Job) -> Said:
        query = select(hops.c.node, hops.c.why).where(hops.c.job == job.id, hops.c.why != "")
        said: dict[str, Mapping[str, Reason]] = {
            row.node: reasons.decoded(row.why, node=row.node) for row in await connection.execute(query)
        }
        return {**said, self._region.server: self._own(job.id)}

    async def _first(self, connection: AsyncConnection, job: Job) -> Reason | None:
        """What holds for every target of the job that says nothing itself."""
        me = self._region.server
        if job.cancelling:
            return because("cancel.way", node=me)
        if self._region.clock() >= job.expires:
            return because("receipts", node=me, since=job.expires, until=job.expires + GRACE_MS)
        query = select(func.count()).select_from(handovers).where(handovers.c.cause == job.id)
        if (await connection.execute(query)).scalar_one():
            return because("order.handing", node=me)
        return None


async def gateways(connection: AsyncConnection) -> dict[str, str]:
    """The present parent of every gateway."""
    query = (
        select(nodes.c.name, nodes.c.parent, placings.c.parent.label("present"))
        .outerjoin(placings, placings.c.node == nodes.c.name)
        .where(nodes.c.role == "gateway", nodes.c.state != "removed")
    )
    return {row.name: row.present or row.parent for row in await connection.execute(query)}


def explain(rows: list[dict[str, Any]], parents: Mapping[str, str], told: list[dict[str, Any]]) -> None:
    """Write code and words into those rows of targets that wait; takes what hops said out of the rows of hops."""
    said = {hop["node"]: reasons.decoded(hop.pop("why", ""), node=hop["node"]) for hop in told}
    ways: dict[str, why.Way] = {}
    for row in rows:
        if STATES.get(row["state"], False):
            continue
        if not row["code"]:
            parent = parents.get(row["node"], "")
            if parent not in ways:
                ways[parent] = why.way_of(parent, parents, said)
            direct = said.get(parent, _NOTHING).get(row["node"])
            found = why.first_of(Target(row["node"], row["state"]), direct, ways[parent])
            if found.node:  # more than its state
                row["code"], row["detail"] = found.code, words(found)
        elif row["code"] in KINDS:
            row["detail"] = words(read(row["code"], row["detail"], node=row["node"], peer=row["node"]))


def _firsts(
    rows: Iterable[Sequence[Any]], parents: Mapping[str, str], said: Said, first: Reason | None, below: str
) -> Iterator[tuple[str, Reason, int, int]]:
    """The first link of every chain, with since when, and how many of them that is."""
    ways = {parent: why.way_of(parent, parents, said) for parent in {row[_PRESENT] or row[_PARENT] for row in rows}}
    inside = {parent for parent in ways if not below or below == parent or below in why.above(parent, parents)}
    known = dict(parents)
    for node, state, code, detail, since, at, *_, home, present, many in rows:
        parent = present or home
        if parent not in inside:
            continue
        target = Target(node, state, code, detail, since or at)
        direct = said.get(parent, _NOTHING).get(node)
        if code or (first is not None and _stands(first, state)):
            known[node] = parent
            told = why.chain(target, known, said, _stands(first, state))[0]
        else:
            told = why.first_of(target, direct, ways[parent])
        yield node, told, told.since or target.since, many


def _stands(first: Reason | None, state: str) -> Reason | None:
    """What holds for the job holds for a target in this state."""
    return first if first is None or first.code != "order.handing" or state == "ordered" else None


def _select() -> Select[*tuple[Any, ...]]:
    c = targets.c
    return (
        select(
            *(c.node, c.state, c.code, c.detail, c.since, c.at, c.done, c.total),
            func.coalesce(nodes.c.parent, c.parent).label("parent"),
            placings.c.parent.label("present"),
        )
        .outerjoin(nodes, nodes.c.name == c.node)
        .outerjoin(placings, placings.c.node == c.node)
    )


def _open(job: str) -> Select[*tuple[Any, ...]]:
    return _select().where(targets.c.job == job, targets.c.state.in_(OPEN_STATES)).order_by(targets.c.node)


def _one(job: str, node: str) -> Select[*tuple[Any, ...]]:
    return _select().where(targets.c.job == job, targets.c.node == node)


async def _counts(connection: AsyncConnection, job: str) -> dict[tuple[str, str], int]:
    query = (
        select(targets.c.state, targets.c.code, func.count().label("n"))
        .where(targets.c.job == job)
        .group_by(targets.c.state, targets.c.code)
    )
    return {(row.state, row.code): row.n for row in await connection.execute(query)}


def _target(row: Row[Any]) -> Target:
    return Target(row.node, row.state, row.code, row.detail, row.since or row.at)


def _head(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "type": job.type,
        "package": job.package,
        "version": job.version,
        "state": job.state,
        "cancelling": job.cancelling,
        "expires": job.expires,
    }
