"""One node and all below it: broker, links, outbox, depot, streams, routes, orders, statuses, enrolment.

Rules
- Gateway and server are both this; they differ in what stands above (`Above`) and in nothing else here.
- Every call that a message or the region makes is idempotent and returns when its effect is committed.
- Any part may be killed at any moment: orders, statuses, routes and users come back from the database,
  presence and wants from the children.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog

from tiercast_gateway.above import Above
from tiercast_gateway.children.children import Children
from tiercast_gateway.children.enrolment import Enrolment
from tiercast_gateway.children.guests import Guests
from tiercast_gateway.children.lastseen import LastSeen
from tiercast_gateway.children.lodging import Lodging
from tiercast_gateway.children.moving import Moves
from tiercast_gateway.children.placings import Placings
from tiercast_gateway.children.routes import Routes
from tiercast_gateway.children.sitegroups import SiteGroups
from tiercast_gateway.depot.depot import Depot
from tiercast_gateway.depot.heads import Heads
from tiercast_gateway.depot.kinds import Kinds
from tiercast_gateway.depot.offers import Offers, waiting_children
from tiercast_gateway.depot.patches import Patches
from tiercast_gateway.depot.upkeep import Upkeep
from tiercast_gateway.downlink import Downlink
from tiercast_gateway.facts.drift import Drift
from tiercast_gateway.facts.inventories import Inventories
from tiercast_gateway.ledgers import LedgerRoom
from tiercast_gateway.mailroom import Mailroom
from tiercast_gateway.orders import gathering
from tiercast_gateway.orders.breakers import Breakers
from tiercast_gateway.orders.orders import Orders, OwnOrder
from tiercast_gateway.orders.progress import Progress
from tiercast_gateway.orders.pruning import Pruning
from tiercast_gateway.orders.statuses import Statuses
from tiercast_gateway.orders.work import Identity, OwnWork
from tiercast_gateway.power.wakes import Wakes
from tiercast_gateway.snapshot import snapshot
from tiercast_gateway.steering.steering import Steering
from tiercast_gateway.streams import Streams
from tiercast_gateway.subtree_config import SubTreeConfig
from tiercast_gateway.why.way import WhyWay
from tiercast_protocol.content.jobs.breaker import formers_of
from tiercast_protocol.content.jobs.order import PURGE, Order
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.brokers import Broker
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.fetch import Fetcher
from tiercast_protocol.node.leases import CHILD
from tiercast_protocol.node.ledger import Ledger
from tiercast_protocol.node.post import Post
from tiercast_protocol.node.queries import Queries
from tiercast_protocol.wire.messages import (
    Admitted,
    Dismissed,
    Message,
    OrderBundle,
    PatchOffer,
    PatchOffers,
    TokenIssued,
)
from tiercast_protocol.wire.topics import JOIN_PREFIX, Topics

log = structlog.get_logger(__name__)

Digest = bytes


class SubTree:
    """Made by `open_subtree`; its parts are public, for the server builds on them."""

    def __init__(
        self,
        config: SubTreeConfig,
        above: Above,
        *,
        broker: Broker,
        db: Database,
        store: DiskStore,
        fetcher: Fetcher | None,
        ledger: Ledger,
    ) -> None:
        self.name, self.region, self.role = config.me, config.region, config.role
        self.above, self.broker, self.db = above, broker, db
        self.started = time.time_ns() // 1_000_000
        self.topics = Topics(config.region)
        self.post = Post(db, me=config.me, transmit=self._transmit)
        self.routes = Routes(db)
        self.children = Children()
        self.seen = LastSeen(db, self.children)
        self.enrolment = Enrolment(db, broker)
        self.offers = Offers(db)
        self.placings = Placings(db)
        self.lodging = Lodging(
            db, self.enrolment, above, Guests(config.guests, config.guests_per_minute), config.prover
        )
        self.moves = Moves(self)
        self.depot = Depot(
            store,
            db,
            needed=self._needed,
            patches=lambda root: self.offers.chunks_of(root, store),
            library=config.role == "server",
            retention=config.retention,
            marks=config.marks,
        )
        self.statuses = Statuses(db, above, self.routes, self._finals, gathering.most_of(config.role))
        self.drift = Drift(config.me, db, above, key=config.key)
        self.inventories = Inventories(db, above, self.routes, news=self.drift.changed)
        self.progress = Progress(config.me, self.depot, self.statuses.own, silent=config.role == "server")
        kinds = Kinds(db)
        self.patches = Patches(
            depot=self.depot,
            offers=self.offers,
            fetcher=fetcher,
            ask_above=above.want,
            drop_above=above.unwant,
            arrived=self.chunk_arrived,
            left_out=kinds.left_out,
        )
        self.steering = Steering(self, config.region_key)
        self.breakers = Breakers(
            self, self.steering.said, region_key=config.region_key, key=config.key, generation=config.generation
        )
        self.sites = SiteGroups(self, region_key=config.region_key, key=config.key, generation=config.generation)
        self.pruning = Pruning(db, config.me)
        self.inventories.on_taken = self._facts_changed
        self.work: OwnWork | None = None
        if config.key is not None and fetcher is not None:
            self.work = OwnWork(
                identity=Identity(config.me, config.key, config.generation),
                depot=self.depot,
                fetcher=fetcher,
                bring=self.patches.bring,
                left_out=kinds.left_out,
                tell=self.statuses.own,
                done=self._own_done,
            )
        self.orders = Orders(
            me=config.me,
            region=config.region,
            region_key=config.region_key,
            db=db,
            post=self.post,
            routes=self.routes,
            do=self._do_own,
            changed=self._job_changed,
            passed=self.steering.passed_on,
            offers=self.offers.leading_to,
            holds=self.breakers.holds,
            keeps=self.pruning.keeps,
        )
        self.pruning.pass_on = self.orders.pass_on
        self.wakes = Wakes(self, config.power)
        self.downlink = Downlink(
            me=config.me,
            role=config.role,
            topics=self.topics,
            broker=broker,
            children=self.children,
            enrolment=self.enrolment,
            seen=self.seen,
            lodging=self.lodging,
            path=self.moves.path,
        )
        self.streams = Streams(
            me=config.me,
            topics=self.topics,
            depot=self.depot,
            ask_above=self.patches.want,
            drop_above=self.patches.unwant,
            say=self.downlink.say,
            lane_of=lambda child: self.children.get(child).lane,
        )
        store.leases.watch(CHILD, self.streams.machine.supply.promised)
        self.heads = Heads(self.depot, self.offers, self.patches, self.streams)
        self.downlink.connect(self.post, self.streams)
        self.books = LedgerRoom(ledger, self)
        self.whys = WhyWay(self)
        self.queries = Queries(lambda node, message, expires: self.tell(node, message, expires=expires))
        self.upkeep = Upkeep(self, fetcher, audit=config.audit)
        self._settled: asyncio.Queue[set[str]] = asyncio.Queue()
        self.enrolment.on_removed = self._users_left
        self.children.on_terms = self.steering.changed
        self.mailroom = Mailroom(self)

    async def load(self) -> None:
        """Take up where the last stop left off; by `open_subtree`, before `run`."""
        await self.routes.load()
        await self.placings.load()
        await self.enrolment.load()
        await self.lodging.load()
        await self.seen.load()
        await self.depot.load()
        await self.offers.load()
        await self.statuses.load()
        await self.steering.load()
        await self.wakes.load()
        await self.breakers.load()
        await self.drift.load()
        await self.orders.load()
        await self.sites.load()
        await self.books.load()
        await self.upkeep.load()

    async def run(self) -> None:
        """Everything that goes on by itself, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for run in (
                *(self.broker.run, self.post.run, self.streams.run, self.downlink.run, self.statuses.run),
                *(self.inventories.run, self.progress.run, self.heads.run, self.orders.run, self.depot.run),
                *(self.upkeep.run, self.patches.run, self.enrolment.run, self.steering.run, self.lodging.run),
                *(self.breakers.run, self.sites.run, self.drift.run, self.pruning.run, self.wakes.run),
                *(self._settle, self.books.ledger.run),
            ):
                tasks.create_task(run())
            if self.work is not None:
                tasks.create_task(self.work.run())

    # -- what the region or the parent asks for --------------------------------------------------------

    async def take_order(self, bundle: OrderBundle, cause: str = "") -> None:
        """Keep an order, pass it on to its targets below, do this node's part.  Raises `SignatureInvalid`."""
        await self.offers.learn(bundle.offers)
        order = await self.orders.take(bundle, cause)
        if order is not None and order.root and order.type != PURGE:
            await self.depot.know(order.root, order.package, order.version, order.package_revision)
            # What a rollout replaces is kept while it can be undone, so that an undo moves nothing over the link above.
            await self.depot.packages.lease(order.package, formers_of(order.options), order.expires)

    async def take_offers(self, heard: Sequence[PatchOffer]) -> None:
        """Patches were made after the orders that they serve: keep them, and tell those that still wait."""
        news = await self.offers.learn(heard)
        for root in {offer.result for offer in news}:
            mine = [offer for offer in news if offer.result == root]
            for child in await self.db.read(partial(waiting_children, root=root)):
                if child != self.name:
                    await self.post.send(child, PatchOffers(offers=mine))

    async def admit(self, node: Admitted) -> None:
        """A node joined here or below: let it in, or pass that on towards its parent; its route is learned.

        Raises:
            UsageError: its parent is neither this node nor known below.
        """
        await self.moves.admit(node)

    async def dismiss(self, node: Dismissed) -> None:
        """A node was removed from the region, or its candidate lets it in no more."""
        await self.moves.dismiss(node)

    async def issue_token(self, token: TokenIssued) -> None:
        """A node may join with this token, here or below; errors as `admit`."""
        name = JOIN_PREFIX + token.token_id
        via = self.towards(token.parent, name)
        if via == name:
            await self.enrolment.issue(token)
        else:
            await self.post.send(via, token, expires=token.expires)
        await self.routes.learn(name, via)

    async def tell(self, node: str, message: Message, *, cause: str = "", expires: int = 0) -> bytes:
        """Say `message` to a node below, reliably; the envelope's id.

        Raises:
            UsageError: the node is not known below.
        """
        via = self.routes.via(node)
        if via is None:
            raise UsageError(code="node.unknown", what=f"No way to {node} is known", where=self.name)
        return await self.post.send(via, message, to=node, cause=cause, expires=expires)

    def chunk_arrived(self, digest: Digest, size: int) -> None:
        """The depot holds one chunk more, verified: it goes down at once to whoever wants it."""
        self.streams.chunk_arrived(digest, size)
        self.progress.chunk_arrived(digest)
        self.heads.chunk_arrived(digest)

    def chunk_absent(self, digest: Digest, reason: str) -> None:
        """Nobody above holds the chunk."""
        self.streams.chunk_absent(digest, reason)

    async def status_snapshot(self) -> dict[str, Any]:
        """What the `status` verb shows."""
        return snapshot(self)

    def towards(self, parent: str, node: str) -> str:
        """The child through which `node` below `parent` is reached: itself, when the parent is this node."""
        via = node if parent == self.name else self.routes.via(parent)
        if via is None:
            raise UsageError(code="node.unknown", what=f"The parent {parent} of {node} is not known", where=self.name)
        return via

    # -- within ----------------------------------------------------------------------------------------

    async def _transmit(self, peer: str, payload: bytes) -> None:
        if peer == self.above.parent:
            await self.above.transmit(payload)
        else:
            await self.downlink.transmit(peer, payload)

    async def _users_left(self, names: list[str]) -> None:
        for name in names:
            await self.downlink.child_left(name)
        await self.routes.forget(name for name in names if self.routes.via(name) == name)
        self.steering.changed()

    def _facts_changed(self, nodes: set[str]) -> None:
        self.sites.facts_changed(nodes)
        self.pruning.facts_changed(nodes)

    def _job_changed(self, order: Order, open_: bool) -> None:  # noqa: FBT001 - the callback of `Orders`
        self.heads.job_changed(order, open_)
        self.breakers.job_changed(order, open_)
        self.pruning.job_changed(order, open_)
        self.wakes.job_changed(order, open_)
        self.progress.job_changed(order, open_)
        self.steering.job_changed(order, open_)
        if not open_:
            self.statuses.last_came()

    async def _needed(self) -> set[Digest]:
        return await self.orders.needed()

    def _do_own(self, own: OwnOrder) -> None:
        self.progress.own_work(own.order.job)
        if self.work is None:
            log.error("order.misplaced", job=own.order.job, type=own.order.type)
        else:
            self.work.do(own)

    async def _own_done(self, order: Order) -> None:
        await self.orders.own_done(order)

    def _finals(self, jobs: set[str]) -> None:
        self._settled.put_nowait(jobs)
        self.breakers.results(jobs)
        self.steering.reasons.changed()

    async def _settle(self) -> None:
        while True:
            jobs = await self._settled.get()
            while not self._settled.empty():  # one look for all that came meanwhile
                jobs |= self._settled.get_nowait()
            await self.orders.settle(jobs)
