"""The verbs that a control socket has at every tier with children, and their answers over the tree.

Rules
- One handler per verb serves both ways: this tier's own socket, and a `Query` that came down from the server.
- `node` names another node: "" or our own name is here, any other is asked over the tree and its answer given.
- Whoever changes something needs the role operator; over the tree the server vouches for its caller.
- Arguments and results are plain maps; a missing or mistyped argument is a `UsageError` that names it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from tiercast_gateway import snapshot
from tiercast_gateway.depot.media import MediaVerbs
from tiercast_gateway.depot.verbs import DepotVerbs
from tiercast_gateway.facts.inventory_verbs import InventoryVerbs
from tiercast_gateway.facts.owners import Owners
from tiercast_gateway.ledgers import Ledgers
from tiercast_gateway.orders import job_list
from tiercast_gateway.orders.rollout_verbs import RolloutVerbs
from tiercast_gateway.steering.verbs import SteeringVerbs
from tiercast_gateway.why.reasons import decoded
from tiercast_gateway.why.verbs import WhyVerbs
from tiercast_protocol.content.jobs.chosen import read
from tiercast_protocol.content.jobs.jobnames import named
from tiercast_protocol.content.jobs.reason import told, words
from tiercast_protocol.content.jobs.receipt import RELAY_STATES
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire.messages import StatusRecord

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.node.control.peers import Role
    from tiercast_protocol.node.roaming import Roaming

Handler = Callable[[Call], Awaitable[Any]]


#: Children whose reasons stand in the row of their gateway.
_SHOWN = 3


def add_common_verbs(verbs: Verbs, tree: SubTree, *, jobs: bool = True) -> None:
    """Register the common verbs on `verbs`, and answer them over the tree.

    Args:
        verbs: the table of this daemon's control socket.
        tree: the sub-tree that they speak of.
        jobs: also `job.list` and `job.show` as a gateway knows them; the server has its own.
    """
    common, steering = _Common(tree), SteeringVerbs(tree)
    table: list[tuple[str, Role, Handler]] = [
        ("status", "viewer", common.status),
        *DepotVerbs(tree).table,
        ("outbox.list", "viewer", common.outbox_list),
    ]
    table += steering.table()
    table += Ledgers(tree).table
    if jobs:
        table += steering.own_table()
        table += [("job.list", "viewer", common.job_list), ("job.show", "viewer", common.job_show)]
        whys = WhyVerbs(tree)
        tree.whys.reader = whys.below
        verbs.add("job.why", "viewer", _routed(tree, whys.at_socket))
        tree.queries.add("job.why", partial(_answer, "job.why", whys.why))
        table += RolloutVerbs(tree.breakers).table()
        table.append(("owner.said", "viewer", Owners(tree.db, tree.name, tree.routes.via).said))
        table += tree.drift.table()
        table += tree.wakes.table()
        inventories = InventoryVerbs(tree.db)
        table += inventories.table()
        verbs.add("inventory.show", "viewer", inventories.show)
    if jobs:
        for name, role, handler in MediaVerbs(tree).table:
            verbs.add(name, role, handler)
    for name, role, handler in table:
        verbs.add(name, role, _routed(tree, handler))
        tree.queries.add(name, partial(_answer, name, handler))


def add_parent_verbs(verbs: Verbs, tree: SubTree, roaming: Roaming) -> None:
    """Register what a node with a parent says of it, and lets its owner choose."""

    async def parents(call: Call) -> dict[str, Any]:
        """Home, present parent and candidates, and why it is where it is."""
        del call
        return roaming.shown()

    async def move_to(call: Call) -> dict[str, Any]:
        """Go below another of its candidates."""
        roaming.choose(call.text("parent"))
        return roaming.shown()

    async def set_address(call: Call) -> dict[str, Any]:
        """A parent's new address, from a human: it counts when the parent there proves itself."""
        return await roaming.point(call.text("address"), call.text("name", ""))

    verbs.add("parents.set", "operator", set_address)
    verbs.add("parents", "viewer", _routed(tree, parents))
    verbs.add("parents.move", "operator", move_to)
    tree.queries.add("parents", partial(_answer, "parents", parents))


def _routed(tree: SubTree, handler: Handler) -> Handler:
    async def here_or_there(call: Call) -> Any:
        node = call.text("node", "")
        if node in {"", tree.name}:
            return await handler(call)
        args = {key: value for key, value in call.args.items() if key != "node"}
        return await tree.queries.ask(node, call.verb, args)

    here_or_there.__doc__ = handler.__doc__
    return here_or_there


async def _answer(verb: str, handler: Handler, args: dict[str, Any]) -> Any:
    nobody = Peer(pid=0, uid=0, gid=0)
    return await handler(Call(verb=verb, args=args, peer=nobody, role="operator", user="region", cause=""))


class _Common:
    def __init__(self, tree: SubTree) -> None:
        self._tree = tree

    async def status(self, call: Call) -> dict[str, Any]:
        """This node, its broker, its depot and, unless `children` is false, its children."""
        return snapshot.snapshot(self._tree, with_children=call.flag("children", default=True))

    async def outbox_list(self, call: Call) -> list[dict[str, Any]]:
        """What no neighbour has acknowledged yet."""
        pending = await self._tree.post.pending(call.number("limit", 100))
        return [{"peer": p.peer, "kind": p.kind, "to": p.to, "cause": p.cause, "created": p.created} for p in pending]

    async def job_list(self, call: Call) -> list[dict[str, Any]]:
        """The newest jobs that passed here."""
        wanted, limit = job_list.wanted_of(call, self._tree.name), max(1, call.number("limit", 50))
        return await self._tree.db.read(lambda c: job_list.find(c, wanted, limit))

    async def job_show(self, call: Call) -> dict[str, Any]:
        """One job as it is known here: its targets below."""
        orders = await self._tree.orders.list(10_000)
        job = named(call.text("job"), (order["job"] for order in orders)) or call.text("job")
        found = [order for order in orders if order["job"] == job]
        if not found:
            raise UsageError(
                code="job.unknown",
                what=f"The job {job} did not pass {self._tree.name}",
                todo="See the jobs with: tiercast job list",
            )
        newest = max(found, key=lambda order: int(order["revision"]))
        only, chosen = call.texts("on", []), call.flag("chosen", default=False)
        records = [
            _shown(record)
            for record in await self._tree.statuses.records(job)
            if (not only or record.target in only) and (record.owner or not chosen)
        ]
        return newest | {"records": records, "joined": await self._tree.sites.shown(job)}


def _shown(record: StatusRecord) -> dict[str, Any]:
    plain = msgspec.structs.asdict(record)
    del plain["receipt"], plain["signature"]
    said = read(plain.pop("owner"))
    plain |= {"owner": said.shown()} if said is not None else {}
    plain["detail"] = told(record.code, record.detail)
    if record.state in RELAY_STATES:
        below = list(decoded(record.detail, node=record.target).items())
        more = f"; {len(below) - _SHOWN:,} more" if len(below) > _SHOWN else ""
        plain["detail"] = "; ".join(f"{child}: {words(reason)}" for child, reason in below[:_SHOWN]) + more
    return plain
