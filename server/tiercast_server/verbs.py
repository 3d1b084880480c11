"""The server's verbs: one table of name, role and handler.

Rules
- Viewers list, show, watch and complete; operators work with jobs, packages, groups and depots; what changes
  who belongs to the region, its cabinets or its links is for admins.
- Every changing verb leaves one audit line: who, by the kernel's word, did what, and how it ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from tiercast_protocol.errors import TiercastError, UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_server.depot_verbs import DepotVerbs
from tiercast_server.desired.assignments import Assignments
from tiercast_server.desired.verbs import add_assignment_verbs
from tiercast_server.groups import Groups
from tiercast_server.inventories.inventories import Inventories, failed_facts
from tiercast_server.inventories.owners import Owners
from tiercast_server.inventories.questions import Questions
from tiercast_server.jobs.draft_verbs import add_draft_verbs
from tiercast_server.jobs.history import History
from tiercast_server.jobs.verbs import JobVerbs
from tiercast_server.nodes.enrolment import Enrolment
from tiercast_server.nodes.move_verbs import add_move_verbs
from tiercast_server.nodes.moves import Moves
from tiercast_server.nodes.names import names
from tiercast_server.nodes.node_waits import waits
from tiercast_server.nodes.power_verbs import PowerVerbs
from tiercast_server.nodes.presence import Presence
from tiercast_server.packages.cabinet_verbs import add_cabinet_verbs
from tiercast_server.packages.patches import Patches
from tiercast_server.packages.verbs import PackageVerbs
from tiercast_server.plans.plans import Plans
from tiercast_server.plans.verbs import add_plan_verbs
from tiercast_server.region import Region
from tiercast_server.rollouts.rollouts import Rollouts
from tiercast_server.rollouts.set_verbs import Sets, add_set_verbs
from tiercast_server.rollouts.verbs import add_rollout_verbs
from tiercast_server.steering_verbs import SteeringVerbs
from tiercast_server.why import JobWhy

_log = structlog.get_logger("audit")
_DAY_S = 86_400
_MAX_SHOWN = 200

Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that verbs reach."""

    region: Region
    enrolment: Enrolment
    moves: Moves
    groups: Groups
    inventories: Inventories
    questions: Questions
    presence: Presence
    power: PowerVerbs
    packages: PackageVerbs
    jobs: JobVerbs
    depots: DepotVerbs
    patches: Patches
    steering: SteeringVerbs
    why: JobWhy
    plans: Plans
    rollouts: Rollouts
    assignments: Assignments


def audited(handler: Handler) -> Handler:
    """`handler`, with one line in the log for each call."""

    async def handle(call: Call) -> Any:
        said = {key: value for key, value in call.args.items() if not isinstance(value, bytes)}
        line = _log.bind(verb=call.verb, user=call.user, uid=call.peer.uid, args=repr(said)[:_MAX_SHOWN])
        try:
            result = await handler(call)
        except TiercastError as error:
            line.info("audit", ended=error.code if isinstance(error, UsageError) else type(error).__name__)
            raise
        line.info("audit", ended="done")
        return result

    return handle


def add_verbs(verbs: Verbs, desk: Desk) -> None:
    """Put the server's verbs into `verbs`."""
    packages, jobs, depots = desk.packages, desk.jobs, desk.depots
    verbs.add("status", "viewer", depots.status)
    verbs.add("names", "viewer", _with_region(desk.region, names))

    verbs.add("node.list", "viewer", _node_list(desk))
    verbs.add("node.show", "viewer", _node_show(desk))
    verbs.add("node.invite", "admin", audited(_node_invite(desk)))
    verbs.add("node.remove", "admin", audited(_node_remove(desk)))
    add_move_verbs(verbs, desk, audited)
    add_power_verbs(verbs, desk.power)

    _add_groups(verbs, desk.groups)
    _add_inventories(verbs, desk.inventories, desk.questions)
    add_cabinet_verbs(verbs, desk.region, audited)

    _add_packages(verbs, packages, desk.patches)

    verbs.add("job.list", "viewer", jobs.list_)
    verbs.add("job.show", "viewer", jobs.show)
    verbs.add("job.watch", "viewer", jobs.watch)
    verbs.add("job.why", "viewer", desk.why.why)
    _add_looks(verbs, desk.region)
    verbs.add("job.receipt", "viewer", jobs.receipt)
    verbs.add("job.create", "operator", audited(jobs.create))
    verbs.add("job.cancel", "operator", audited(jobs.cancel))
    verbs.add("job.rerun", "operator", audited(jobs.rerun))
    verbs.add("job.delete", "operator", audited(jobs.delete))
    add_draft_verbs(verbs, desk.region, jobs, audited)
    add_set_verbs(verbs, Sets(desk.region, jobs.jobs), audited)
    add_plan_verbs(verbs, desk.plans, audited)
    add_rollout_verbs(verbs, desk, audited)
    add_assignment_verbs(verbs, desk.assignments, audited)

    verbs.add("depot.show", "viewer", depots.show)
    verbs.add("depot.pin", "operator", audited(depots.pin))
    verbs.add("depot.unpin", "operator", audited(depots.unpin))
    verbs.add("depot.keep", "operator", audited(depots.keep))
    verbs.add("depot.members", "viewer", depots.members)
    verbs.add("depot.who", "viewer", depots.who(desk.presence))
    verbs.add("chunks.give", "operator", depots.give)
    verbs.add("depot.audit", "operator", audited(depots.audit))
    verbs.add("depot.evict", "operator", audited(depots.evict))
    verbs.add("ledger.show", "viewer", depots.ledger)
    verbs.add("ledger.check", "viewer", depots.ledger)
    verbs.add("outbox.list", "viewer", depots.outbox)
    _add_steering(verbs, desk.steering)


def _add_packages(verbs: Verbs, packages: PackageVerbs, patches: Patches) -> None:
    verbs.add("package.list", "viewer", packages.list_)
    verbs.add("package.show", "viewer", packages.show)
    verbs.add("package.check", "viewer", packages.check)
    verbs.add("package.diff", "viewer", packages.diff)
    verbs.add("package.values", "viewer", packages.values)
    verbs.add("package.standing", "viewer", packages.standing)
    verbs.add("package.tested", "operator", audited(packages.tested))
    verbs.add("package.move", "operator", audited(packages.move))
    verbs.add("package.missing", "operator", packages.missing)
    # not audited: one per few chunks; what becomes of them is, at `package.register`
    verbs.add("package.store", "operator", packages.store)
    verbs.add("package.entry", "operator", audited(packages.entry))
    verbs.add("package.register", "operator", audited(packages.register))
    verbs.add("package.delete", "operator", audited(packages.delete))
    verbs.add("package.patches", "viewer", patches.list_)
    verbs.add("package.patch", "operator", audited(patches.make))


def _add_looks(verbs: Verbs, region: Region) -> None:
    history = History(region)
    verbs.add("job.history", "viewer", history.job)
    verbs.add("node.history", "viewer", history.node)
    verbs.add("owner.said", "viewer", Owners(region).said)


def _add_steering(verbs: Verbs, steering: SteeringVerbs) -> None:
    verbs.add("link.list", "viewer", steering.links)
    verbs.add("link.show", "viewer", steering.link)
    verbs.add("hold.list", "viewer", steering.holds)
    for name in ("set", "suspend", "resume", "window.add", "window.remove"):
        verbs.add(f"link.{name}", "admin", audited(steering.link))
    verbs.add("node.suspend", "operator", audited(steering.suspend_node))
    verbs.add("node.resume", "operator", audited(steering.resume_node))
    verbs.add("job.suspend", "operator", audited(steering.suspend_job))
    verbs.add("job.resume", "operator", audited(steering.resume_job))
    verbs.add("job.set", "operator", audited(steering.set_job))


def _with_region(region: Region, function: Callable[[Region, Call], Awaitable[Any]]) -> Handler:
    async def handle(call: Call) -> Any:
        return await function(region, call)

    return handle


def _node_list(desk: Desk) -> Handler:
    async def handle(_call: Call) -> list[dict[str, Any]]:
        return await desk.presence.list_()

    return handle


def _node_show(desk: Desk) -> Handler:
    async def handle(call: Call) -> dict[str, Any]:
        found = await desk.presence.show(call.text("name"))
        async with desk.region.db.read() as connection:
            failed = await failed_facts(connection, found["name"])
            return found | {"waits": await waits(connection, found["name"]), "facts_failed": failed}

    return handle


def _node_invite(desk: Desk) -> Handler:
    async def handle(call: Call) -> dict[str, Any]:
        name, role, parent = call.text("name"), call.text("role", "endpoint"), call.text("parent", "")
        ttl, replace = call.number("ttl_s", _DAY_S), call.flag("replace", default=False)
        above = await desk.enrolment.check_invitation(name, role, parent, ttl, replace=replace)
        url = await desk.presence.address_of(above)
        return await desk.enrolment.invite(name, role, parent, ttl, url=url, replace=replace)

    return handle


def _node_remove(desk: Desk) -> Handler:
    async def handle(call: Call) -> dict[str, Any]:
        return await desk.enrolment.remove(call.text("name"))

    return handle


def add_power_verbs(verbs: Verbs, power: PowerVerbs) -> None:
    """Put those that wake machines into `verbs`."""
    verbs.add("node.wake", "operator", audited(power.wake))
    verbs.add("wake.list", "viewer", power.list_)


def _add_inventories(verbs: Verbs, inventories: Inventories, questions: Questions) -> None:
    async def list_(call: Call) -> dict[str, Any]:
        text, where = call.text("target", ""), call.text("where", "")
        if where.strip():
            text = f"({text}) and where ({where})" if text.strip() else f"where ({where})"
        return await inventories.list_(text, call.text("after", ""))

    async def show(call: Call) -> dict[str, Any]:
        return await inventories.show(call.text("node"), whole=call.flag("software", default=False))

    verbs.add("inventory.list", "viewer", list_)
    verbs.add("inventory.show", "viewer", show)
    questions.register(verbs)


def _add_groups(verbs: Verbs, groups: Groups) -> None:
    async def list_(_call: Call) -> list[dict[str, Any]]:
        return await groups.list_()

    async def show(call: Call) -> dict[str, Any]:
        return await groups.show(call.text("name"))

    async def add(call: Call) -> dict[str, Any]:
        where, self_join = call.text("where", ""), call.flag("self_join", default=False)
        return await groups.add(call.text("name"), call.texts("members", []), where=where, self_join=self_join)

    async def join(call: Call) -> dict[str, Any]:
        return await groups.join(call.text("name"), call.texts("members"))

    async def leave(call: Call) -> dict[str, Any]:
        return await groups.leave(call.text("name"), call.texts("members"))

    async def delete(call: Call) -> dict[str, Any]:
        return await groups.remove(call.text("name"))

    async def set_(call: Call) -> dict[str, Any]:
        return await groups.set_window(call.text("name"), call.text("window"))

    async def wake(call: Call) -> dict[str, Any]:
        return await groups.set_wake(call.text("name"), wake=call.flag("wake"))

    verbs.add("group.list", "viewer", list_)
    verbs.add("group.show", "viewer", show)
    for name, handler in {
        "add": add,
        "join": join,
        "leave": leave,
        "delete": delete,
        "set": set_,
        "wake": wake,
    }.items():
        verbs.add(f"group.{name}", "operator", audited(handler))
