"""The server as a daemon: everything put together, from the state folder to `ready`.

Rules
- In this order: lock (`claim`), settings, key, database, the region's parts, sub-tree (broker, depot), control socket.
  Ended in reverse by a signal; killed, it starts again from what is on its disk.
- What the region had decided and not yet told its tree is told first of all (`handover`).
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from tiercast_gateway import snapshot
from tiercast_gateway.subtree import SubTree
from tiercast_gateway.subtree_config import SubTreeConfig
from tiercast_gateway.subtree_opening import open_subtree
from tiercast_gateway.why.reasons import encoded, lasting
from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.proving import Prover
from tiercast_protocol.node import config, lifecycle, logs
from tiercast_protocol.node.control.server import ControlServer
from tiercast_protocol.node.control.verbs import Verbs
from tiercast_protocol.node.places import Place
from tiercast_server.above import RegionAbove
from tiercast_server.below import Below
from tiercast_server.changes import Changes
from tiercast_server.config import JobSettings, ServerSettings
from tiercast_server.database.engine import Database
from tiercast_server.depot_verbs import DepotVerbs
from tiercast_server.desired.assignments import Assignments
from tiercast_server.founding import KEY_FILE, database_of
from tiercast_server.groups import Groups
from tiercast_server.handover import Handover
from tiercast_server.inventories.inventories import Inventories
from tiercast_server.inventories.questions import Questions
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.jobs.verbs import JobVerbs
from tiercast_server.jobs.view import JobView
from tiercast_server.nodes.enrolment import Enrolment
from tiercast_server.nodes.moves import Moves
from tiercast_server.nodes.placings import Settling
from tiercast_server.nodes.power_verbs import PowerVerbs
from tiercast_server.nodes.presence import Presence
from tiercast_server.nodes.ways import Ways
from tiercast_server.packages.library import Library
from tiercast_server.packages.patches import Patches
from tiercast_server.packages.values import Values
from tiercast_server.packages.verbs import PackageVerbs
from tiercast_server.plans.plans import Plans
from tiercast_server.region import Region, open_region
from tiercast_server.rollouts.rollouts import Rollouts
from tiercast_server.rollouts.sites import Sites
from tiercast_server.rooms import Rooms
from tiercast_server.site_intake import SiteIntake
from tiercast_server.status_intake import StatusIntake
from tiercast_server.steering_verbs import SteeringVerbs
from tiercast_server.targeting import Targeting
from tiercast_server.verbs import Desk, add_verbs
from tiercast_server.why import JobWhy


@dataclass(frozen=True, slots=True)
class Parts:
    """The region's parts that stand above the sub-tree."""

    below: Below
    changes: Changes
    handover: Handover
    jobs: Jobs
    enrolment: Enrolment
    intake: StatusIntake
    moves: Moves
    targeting: Targeting
    groups: Groups
    inventories: Inventories
    rollouts: Rollouts
    assignments: Assignments
    sites: Sites
    joins: SiteIntake

    @classmethod
    def of(cls, region: Region, settings: JobSettings | None = None) -> Parts:
        """Made before the sub-tree, which needs them above it."""
        below, changes = Below(), Changes()
        handover = Handover(region.db, below)
        targeting = Targeting(region)
        asked = settings or JobSettings()
        jobs = Jobs(region, changes, handover.wake, targeting, asked.confirm_above, tested_only=asked.tested_only)
        settling = Settling(region, below.children_url)
        enrolment = Enrolment(region, jobs, changes, handover.wake, settling)
        moves = Moves(region, enrolment, settling, changes, handover.wake)
        inventories, groups = Inventories(region, targeting, jobs), Groups(region, targeting, jobs)
        intake, rollouts = StatusIntake(region, changes, handover.wake), Rollouts(region, jobs, changes)
        return cls(
            *(below, changes, handover, jobs, enrolment, intake, moves, targeting, groups, inventories),
            rollouts,
            Assignments(region, jobs, changes, rollouts),
            Sites(region, changes),
            SiteIntake(region, intake, changes),
        )


async def serve(stack: AsyncExitStack, here: Place) -> None:
    """Run the server whose state is in `here`, which is claimed (`claim`), until it is told to stop.

    Raises:
        StateError: the folder is damaged, or of a newer version.
        ConfigError: its settings can't work.
    """
    settings = config.load(here.config, ServerSettings)
    logs.configure(settings.log.level, settings.log.format)
    key = PrivateKey.load(here.folder / KEY_FILE)
    db = await stack.enter_async_context(Database.open(database_of(settings, here)))
    region = await open_region(db, key)
    parts = Parts.of(region, settings.jobs)
    above = RegionAbove(
        parts.below,
        parts.enrolment,
        parts.intake,
        parts.moves,
        parts.inventories,
        parts.sites,
        parts.joins,
        parts.assignments,
    )
    subtree = await stack.enter_async_context(open_subtree(_subtree_config(region, settings, here), above))
    verbs = Verbs()
    desk = _desk(region, settings, parts, subtree)
    subtree.whys.reader = desk.why.below
    subtree.wakes.on_failed = parts.intake.unwoken
    add_verbs(verbs, desk)
    await stack.enter_async_context(ControlServer(here.socket, verbs))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(lifecycle.until_signal())
        tasks.create_task(parts.handover.run())
        tasks.create_task(parts.jobs.run())
        tasks.create_task(desk.patches.run())
        tasks.create_task(desk.plans.follow())
        tasks.create_task(parts.rollouts.run(desk.patches.ordered))
        tasks.create_task(parts.assignments.run(desk.patches.ordered))
        tasks.create_task(_say_ready(subtree, here))


async def _say_ready(subtree: SubTree, here: Place) -> None:
    await subtree.downlink.ready.wait()
    lifecycle.ready(
        node=subtree.name,
        region=subtree.region,
        children_url=subtree.broker.children_url,
        broker=subtree.broker.kind,
        socket=str(here.socket),
    )


def _subtree_config(region: Region, settings: ServerSettings, here: Place) -> SubTreeConfig:
    return SubTreeConfig(
        me=region.server,
        region=region.name,
        role="server",
        folder=here.folder,
        region_key=region.key.public,
        prover=Prover(region.name, region.server, region.key),
        broker=settings.broker,
        quota=settings.library.quota or None,
        reserve=settings.library.reserve,
        audit=settings.library.audit or None,
        guests=settings.guests.places,
        guests_per_minute=settings.guests.per_minute,
        power=settings.power,
    )


def _desk(region: Region, settings: ServerSettings, parts: Parts, subtree: SubTree) -> Desk:
    store = subtree.depot.store
    library = Library(region, store)
    patches = Patches(
        region,
        library,
        store,
        subtree.take_offers,
        withdraw=subtree.offers.forget,
        by_itself=settings.patches.make,
    )
    subtree.upkeep.needed_by(library.kept)

    def own_hops(job: dict[str, Any]) -> list[dict[str, Any]]:
        if job["state"] != "open" or job["type"] not in jobtypes.with_content():
            return []
        hop = {"node": region.server, "state": "held", "done": 0, "total": 0, "rate": parts.below.sending_rate()}
        return [hop | {"why": encoded(lasting(subtree.steering.reasons.now(job["job"])))}]

    view = JobView(region, parts.changes, own_hops)
    jobs = JobVerbs(
        parts.jobs,
        view,
        patches,
        Rooms(region, parts.below, parts.targeting),
        Ways(region, parts.below, lambda: snapshot.links(parts.below.subtree), parts.targeting),
        Values(region, parts.below),
    )
    return Desk(
        region=region,
        enrolment=parts.enrolment,
        moves=parts.moves,
        groups=parts.groups,
        inventories=parts.inventories,
        questions=Questions(region, parts.targeting),
        presence=Presence(region, parts.below),
        power=PowerVerbs(region, parts.below),
        packages=PackageVerbs(region, library, patches, parts.below),
        jobs=jobs,
        depots=DepotVerbs(region, parts.below, library),
        patches=patches,
        steering=SteeringVerbs(region, parts.below, parts.jobs),
        rollouts=parts.rollouts,
        assignments=parts.assignments,
        why=JobWhy(region, parts.below, subtree.steering.reasons.now),
        plans=Plans(parts.jobs, parts.changes, jobs),
    )
