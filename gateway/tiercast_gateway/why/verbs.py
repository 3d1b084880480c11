"""`job.why` at a gateway: what it knows itself of a job below it (docs/jobs.md, "Why").

Rules
- Answered out of this node's database and of what it sees now, so it answers cut off too.  Asked at its own socket it
  adds what those above know of the target, or of this node, where they can be reached (`above`).
- Asked about a gateway on the way, itself too, it counts what all below that one wait for.
- A target's own word is the record that came from it; before the first one, its order is: unsent for want of a route,
  unacknowledged by the child on the way, or on its way further down.
- Gateways below say of their children what they said in their own records.
- Why chunks don't come to this node is a reason of this node; why its parent does not send them is known there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

from tiercast_gateway.why import reasons, why
from tiercast_gateway.why.way import not_below
from tiercast_gateway.why.why import Said, Target
from tiercast_protocol.content.jobs.jobnames import named, number_of
from tiercast_protocol.content.jobs.order import CANCEL
from tiercast_protocol.content.jobs.reason import Reason, because, shown
from tiercast_protocol.content.jobs.receipt import RELAY_STATES
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import whyabove

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.node.control.verbs import Call
    from tiercast_protocol.wire.messages import StatusRecord

_OUTBOX = 100_000


@dataclass(frozen=True, slots=True)
class Ordered:
    """One target of a job's newest order for it: through which child ("" for none), and what it is."""

    via: str
    revision: int
    type: str
    expires: int


class WhyVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, tree: SubTree) -> None:
        self._tree = tree

    async def at_socket(self, call: Call) -> dict[str, Any]:
        """Why a job has not ended below here, and what those above know of it: grouped, or of one target as a chain."""
        job, target = call.text("job"), call.text("target", "")
        try:
            found = await self.why(call)
        except UsageError:
            asked = target or self._tree.name
            above = await self._tree.whys.above.ask(job, asked)
            if not above:
                raise
            head = {"node": self._tree.name, "job": job, "type": "", "package": "", "version": "", "state": "open"}
            return {**head, "target": asked, "chain": [], "result": {}, "above": above}
        above = await self._tree.whys.above.ask(job, target or self._tree.name)
        found["above"] = whyabove.more(found.get("chain", ()), above)
        return found

    async def below(self, asker: str, job: str, target: str) -> dict[str, Any]:
        """What a child is told of itself, or of what is below it."""
        if target != asker and not self._tree.routes.below(target, asker):
            raise not_below(asker, target)
        return whyabove.told(await self._why(job, target))

    async def why(self, call: Call) -> dict[str, Any]:
        """Why a job has not ended below here: grouped, or of one target as a chain."""
        return await self._why(call.text("job"), call.text("target", ""))

    async def _why(self, job: str, only: str) -> dict[str, Any]:
        tree = self._tree
        job = await tree.db.read(lambda c: _called(c, job))
        ordered = await tree.db.read(lambda c: _ordered(c, job))
        if not ordered:
            raise UsageError(
                code="job.unknown",
                what=f"The job {job} did not pass {tree.name}",
                todo="See the jobs with: tiercast job list",
            )
        records = {record.target: record for record in await tree.statuses.records(job)}
        said = {
            name: reasons.decoded(record.detail, node=name)
            for name, record in records.items()
            if record.state in RELAY_STATES
        }
        said[tree.name] = tree.steering.reasons.now(job)
        unheard = await self._unheard(job)
        held = tree.breakers.stopped().get(job)
        parents = _parents(tree.name, ordered, said)
        targets = [self._target(name, row, records.get(name)) for name, row in sorted(ordered.items())]
        chains = {
            target.node: why.chain(
                target,
                parents,
                said,
                self._first(target, ordered[target.node], unheard, held or tree.pruning.reason(job, target.node)),
            )
            for target in targets
        }
        one = next(iter(ordered.values()))
        about = await tree.db.read(lambda c: _about(c, job))
        head = {
            "node": tree.name,
            "job": job,
            **about,
            "expires": one.expires,
        }
        if only:
            return head | self._one(only, targets, chains, said, parents)
        waiting = [(name, told[0], told[0].since) for name, told in chains.items() if told]
        counts: dict[tuple[str, str], int] = {}
        for target in targets:
            key = (target.state, target.code)
            counts[key] = counts.get(key, 0) + 1
        return head | {
            "state": "open" if waiting else "closed",
            "targets": len(targets),
            "waiting": len(waiting),
            "reasons": why.grouped(waiting),
            "ended": why.ended(counts),
        }

    def _one(
        self,
        name: str,
        targets: list[Target],
        chains: Mapping[str, list[Reason]],
        said: Said,
        parents: Mapping[str, str],
    ) -> dict[str, Any]:
        found = next((target for target in targets if target.node == name), None)
        if found is None and name not in said and name not in parents:
            raise UsageError(
                code="target.unknown",
                what=f"{name!r} is no target below {self._tree.name}",
                todo="See its targets with: tiercast job show",
            )
        if found is None:
            told = why.chain(Target(name, "fetching"), parents, said)[:-1]
            inside = [target.node for target in targets if name in (self._tree.name, *why.above(target.node, parents))]
            waiting = [(node, chains[node][0], chains[node][0].since) for node in inside if chains[node]]
            return {
                "target": name,
                "state": "open" if waiting else "closed",
                "chain": [shown(reason) for reason in told],
                "result": {},
                "targets": len(inside),
                "waiting": len(waiting),
                "reasons": why.grouped(waiting),
                "ended": [],
            }
        return {
            "target": name,
            "state": "closed" if found.final else "open",
            "target_state": found.state,
            "code": found.code,
            "chain": [shown(reason) for reason in chains[name]],
            "result": why.result(found),
        }

    def _target(self, name: str, row: Ordered, record: StatusRecord | None) -> Target:
        if record is None or record.revision < row.revision:
            return Target(name, "ordered")
        return Target(name, record.state, record.code, record.detail, record.at)

    def _first(self, target: Target, row: Ordered, unheard: Mapping[str, int], held: Reason | None) -> Reason | None:
        """What is known here of an order that its target has not answered, or that this node itself carries out."""
        me, above = self._tree.name, self._tree.above
        if target.node == me:
            return None if above.connected else because("parent.lost", node=me, peer=above.parent)
        if target.state != "ordered":
            return None
        if not row.via and held is not None:
            return held
        if not row.via:
            return because("route.unknown", node=me, peer=target.node)
        if row.via in unheard:
            return because("order.unheard", node=me, peer=row.via, since=unheard[row.via])
        return because(why.CANCEL, node=me, peer=target.node) if row.type == CANCEL else None

    async def _unheard(self, job: str) -> dict[str, int]:
        """By child: since when an order of the job lies here for it."""
        found: dict[str, int] = {}
        for pending in await self._tree.post.pending(_OUTBOX):
            if pending.kind == "order.v1" and pending.cause == job:
                found.setdefault(pending.peer, pending.created)
        return found


def _called(connection: Connection, asked: str) -> str:
    """The job that passed here and is called so; else `asked`."""
    number = number_of(asked)
    if number is None:
        return asked
    rows = connection.execute("SELECT DISTINCT job FROM orders WHERE job = ? OR job LIKE ?", (asked, f"j{number}-%"))
    return named(asked, [str(row[0]) for row in rows.fetchall()]) or asked


def _ordered(c: Connection, job: str) -> dict[str, Ordered]:
    rows = c.execute(
        "SELECT t.node, t.via, t.revision, o.type, o.expires FROM order_targets t"
        " JOIN orders o USING (job, revision) WHERE t.job = ? ORDER BY t.revision",
        (job,),
    )
    return {node: Ordered(*rest) for node, *rest in rows}


def _about(c: Connection, job: str) -> dict[str, str]:
    """What the job does: by its first order, unless that is a cancel that came alone."""
    query = "SELECT type, package, version FROM orders WHERE job = ? ORDER BY type = ?, revision"
    return dict(zip(("type", "package", "version"), c.execute(query, (job, CANCEL)).fetchone(), strict=True))


def _parents(me: str, ordered: Mapping[str, Ordered], said: Said) -> dict[str, str]:
    """Who is above whom, as far as it can be told from here: the child on the way, unless a gateway names its own."""
    parents = {child: gateway for gateway, children in said.items() if gateway != me for child in children}
    for node, row in ordered.items():
        if row.via and node != me:
            if row.via != node:
                parents.setdefault(node, row.via)
            parents[row.via] = me
    parents.pop(me, None)
    return parents
