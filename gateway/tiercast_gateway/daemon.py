"""The gateway as a daemon: everything put together, from the state folder to `ready`.

Rules
- In this order: identity, lock, settings, sub-tree (database, depot, broker), parent, control socket.  Ended in
  reverse by a signal; killed, it starts again from what is on its disk.
- It is ready when its own broker serves and its socket answers, whether or not the parent is there: a
  gateway that is cut off is still a gateway.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from tiercast_gateway.above import ParentAbove
from tiercast_gateway.config import GatewaySettings, check_own_broker
from tiercast_gateway.depot.marks import Marks
from tiercast_gateway.subtree import SubTree
from tiercast_gateway.subtree_config import SubTreeConfig
from tiercast_gateway.subtree_opening import open_subtree
from tiercast_gateway.verbs import add_common_verbs, add_parent_verbs
from tiercast_protocol.content.trust.proving import Prover
from tiercast_protocol.node import config, joined, lifecycle, logs, standing
from tiercast_protocol.node.arrivals import Arrivals
from tiercast_protocol.node.control.server import ControlServer
from tiercast_protocol.node.control.verbs import Verbs
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.owner import Owner
from tiercast_protocol.node.places import place
from tiercast_protocol.node.roaming import Roaming, Subject
from tiercast_protocol.node.upstream import Upstream

log = structlog.get_logger(__name__)


async def serve(stack: AsyncExitStack, folder: Path) -> None:
    """Run the gateway whose state is in `folder` until it is told to stop.

    Raises:
        StateError: the folder is in use, damaged, or of a newer version.
        UsageError: it has not joined a region, or its settings can't work (`ConfigError`).
    """
    here = place("gateway", folder)
    me = joined.load(here.folder, role="gateway")  # first: where none has joined, nothing is made
    stack.enter_context(lifecycle.StateLock(here.folder))
    settings = config.load(here.config, GatewaySettings) if here.config.exists() else GatewaySettings()
    logs.configure(settings.log.level, settings.log.format)
    check_own_broker(settings.broker, me.url)
    kept = await asyncio.to_thread(standing.load, here.folder, me)
    home, present = kept.standing.home.parent, kept.standing.present
    above = ParentAbove(present.name)
    subtree = await stack.enter_async_context(
        open_subtree(subtree_config(me, settings, here.folder), above, fetcher=above)
    )
    upstream = Upstream(
        me=me.name,
        region=me.region,
        parent=present.name,
        url=present.url,
        login=me.login,
        store=subtree.depot,
        post=subtree.post,
        on_chunk=subtree.chunk_arrived,
        on_absent=subtree.chunk_absent,
        role="gateway",
        free=lambda: subtree.depot.usage().disk_free,
        tls=settings.tls.context(present.url),
        clean=present.name != home.name,
    )
    upstream.quota = settings.depot.quota or 0
    above.join(upstream)
    subtree.books.arrivals = Arrivals(subtree.books.ledger, upstream)
    owner = Owner(settings.transfer.checked(here.config), here.folder, upstream)
    subtree.steering.follow(upstream.set_job)
    upstream.on_path = subtree.downlink.path_changed
    moves = subtree.moves
    subject = Subject(url=lambda: subtree.broker.children_url, below=moves.all_below, retell=moves.retell)
    roaming = Roaming(
        me,
        here.folder,
        kept,
        settings.parents.policy(),
        upstream=upstream,
        post=subtree.post,
        subject=subject,
        tls=settings.tls,
    )
    verbs = Verbs()
    add_common_verbs(verbs, subtree)
    add_parent_verbs(verbs, subtree, roaming)
    owner.register(verbs)
    await stack.enter_async_context(ControlServer(here.socket, verbs))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(lifecycle.until_signal())
        tasks.create_task(upstream.run())
        tasks.create_task(owner.run())
        tasks.create_task(roaming.run())
        tasks.create_task(_say_ready(subtree))


async def _say_ready(subtree: SubTree) -> None:
    await subtree.downlink.ready.wait()
    lifecycle.ready(
        node=subtree.name, region=subtree.region, children_url=subtree.broker.children_url, broker=subtree.broker.kind
    )


def subtree_config(me: Enrolled, settings: GatewaySettings, folder: Path) -> SubTreeConfig:
    """What the sub-tree needs to know, from what was enrolled and what was set."""
    return SubTreeConfig(
        me=me.name,
        region=me.region,
        role="gateway",
        folder=folder,
        region_key=me.region_key,
        key=me.key,
        generation=me.generation,
        prover=Prover(me.region, me.name, me.key, me.credential, me.signature),
        broker=settings.broker,
        quota=settings.depot.quota or None,
        reserve=settings.depot.reserve,
        retention=settings.depot.retention or None,
        audit=settings.depot.audit or None,
        guests=settings.guests.places,
        guests_per_minute=settings.guests.per_minute,
        power=settings.power,
        marks=Marks(settings.depot.high, settings.depot.low).checked(settings.depot.quota or None),
    )
