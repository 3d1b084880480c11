"""The agent as a daemon: what it is made of, and in which order it starts and stops.

Rules
- Everything is entered on one stack and run in one TaskGroup; SIGTERM unwinds it, kill -9 costs nothing but time:
  the journal knows what was begun.
- Orders are heard only once the open jobs of the last life have been taken up.
- Nothing here decides; this file knows all parts and connects them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog

from tiercast_endpoint.acting.performing import Acting
from tiercast_endpoint.facts import informing
from tiercast_endpoint.facts.checking import Checks
from tiercast_endpoint.facts.inventory import Informer
from tiercast_endpoint.facts.judging import Judging
from tiercast_endpoint.halves.halves import Halves, SeenRoot
from tiercast_endpoint.halves.hands import Hands
from tiercast_endpoint.jobs import confirming, group_windows, held, journal, sleeping
from tiercast_endpoint.jobs.jobs import Jobs
from tiercast_endpoint.jobs.orders import Identity, open_bundle
from tiercast_endpoint.jobs.rebooting import Rebooting
from tiercast_endpoint.jobs.reports import Reporter
from tiercast_endpoint.jobs.restart import Restart
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.jobs.terms import Terms
from tiercast_endpoint.memory import Quiet, give_back, keep_small
from tiercast_endpoint.owner.notifying import Notifying
from tiercast_endpoint.owner.watching import Watching
from tiercast_endpoint.schema import SCHEMA
from tiercast_endpoint.settings import Settings
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.materials import Materials
from tiercast_endpoint.trees.partial import PartialTrees
from tiercast_endpoint.trees.placing import Placing
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.tree import TreeError
from tiercast_endpoint.trees.verifying import Verifying
from tiercast_endpoint.update import selfupdate
from tiercast_endpoint.verbs import Readings
from tiercast_endpoint.why import Machine, Why, asks
from tiercast_protocol import __version__
from tiercast_protocol.errors import StateError
from tiercast_protocol.node import config, joined, logs, standing
from tiercast_protocol.node.arrivals import Arrivals
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.control.server import ControlServer
from tiercast_protocol.node.control.verbs import Verbs
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.ledger import open_ledger
from tiercast_protocol.node.lifecycle import StateLock, Stop, ready, until_signal
from tiercast_protocol.node.owner import Owner
from tiercast_protocol.node.places import Place
from tiercast_protocol.node.post import Post
from tiercast_protocol.node.roaming import Roaming, Subject
from tiercast_protocol.node.upstream import Upstream
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import JobShape, OrderBundle, PatchOffers, body_of

log = structlog.get_logger(__name__)

#: Nothing passes through an endpoint to others, so what was verified lately need not be kept.
_KEEP_VERIFIED = 0

#: What came waits so long for company before it is stored: nobody is below an agent who waits for it.
GATHER_SECONDS = 0.25


class Agent:
    """One endpoint agent.

    Args:
        place: its folder and files.
        settings: of its `endpoint.toml`.
        enrolled: who it is.
        restart: told when it is to start again.
    """

    def __init__(self, place: Place, settings: Settings, enrolled: joined.Enrolled, restart: Restart) -> None:
        self._place = place
        self._settings = settings
        self._me = enrolled
        #: Where another process installs, this one only looks.
        self._root = SeenRoot(settings.install_root) if settings.root_socket else RootFolder(settings.install_root)
        self._halves: Halves | None = None
        self._since = now_ms()
        self._restart = restart

    async def run(self, stack: AsyncExitStack) -> None:
        """Serve until a signal comes."""
        me, folder = self._me, self._place.folder
        keep_small()
        db = await stack.enter_async_context(Database.open(folder / "agent.db", SCHEMA))
        await self._open_root(db, stack)
        store = await stack.enter_async_context(
            DiskStore.open(
                folder / "staging",
                quota=self._settings.staging_quota,
                reserve=self._settings.reserve,
                keep_verified=_KEEP_VERIFIED,
            )
        )
        kept = await asyncio.to_thread(standing.load, folder, me)
        upstream: Upstream
        post = Post(db, me=me.name, transmit=lambda _peer, payload: upstream.transmit(payload))
        placing = Placing(store, db, lambda: self._root.free() - self._settings.reserve)
        upstream = self._upstream(kept.standing, placing, post)
        hands = Hands(folder, self._settings, self._root, db, upstream)
        materials = hands.materials(store, placing)
        watching = await Watching.loaded(db, now_ms)
        informer = informing.made(
            db, me, self._place.folder, self._settings, (post, upstream), self._root.stands, now_ms
        )
        inner, actor = hands.performer(materials, informer, watching, self._restart, now_ms)
        restarts, steps = self._around(inner, actor, db, materials, informer)
        dozing = sleeping.Sleeping(db, post, self._settings.power, now_ms)
        reporter = Reporter(
            db=db,
            post=post,
            parent=lambda: upstream.parent,
            me=me.name,
            generation=me.generation,
            key=me.key,
            now_ms=now_ms,
            changed=watching.feed.job,
            owner=watching.said,
        )
        identity = Identity(me.region, me.region_key, me.name, me.key.public, me.generation)
        windows, back = await group_windows.loaded(db, post, identity), await held.loaded(db, post, upstream)
        roaming = self._roaming(kept, upstream, post, (reporter.retell, informer.retell, back.moved))
        jobs = Jobs(
            db=db,
            me=identity,
            steps=confirming.around(
                steps, db, materials, self._root.path, upstream, roaming, self._halves.health if self._halves else None
            ),
            reporter=reporter,
            now_ms=now_ms,
            on_ended=_ending(upstream, informer, dozing),
            roots=materials,
            windows=self._settings.windows(),
            held=back.reason,
            groups=lambda: windows.windows,
            judge=Judging(
                db=db,
                facts=informer.now,
                chosen=watching.chosen,
                now_ms=now_ms,
                software=informer.software,
                notice_ms=int(self._settings.power.notice * 1000),
            ),
            checks=Checks(db, self._root.path, materials.check, self._halves.check if self._halves else None),
            wish=watching.wish,
        )
        back.act, windows.act = jobs.held_changed, jobs.windows_changed
        status = partial(self._status, db, store, post, upstream, materials)
        readings = Readings(db, status, materials.stored_form, materials.staged, roaming)

        terms = Terms(me.region, me.region_key, upstream.set_job)
        owner = Owner(self._settings.transfer.checked(self._place.config), folder, upstream)
        self._listen(post, upstream, readings, materials, terms, jobs)
        ledger = await stack.enter_async_context(open_ledger(folder))
        why = Why(db, post, lambda: _machine(me.name, upstream), jobs.looks, asks(post, upstream))
        readings.table["package.values"] = materials.shown
        readings.table |= Arrivals(ledger, upstream).readings | why.readings
        readings.at_socket["job.why"] = why.at_socket
        verbs = Verbs()
        for part in (readings, owner, informer, dozing, steps, restarts):
            part.register(verbs)
        watching.register(verbs, jobs, why.to_owner)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._until_stopped(jobs))
            tasks.create_task(self._restart.wait(jobs.quiet))
            if self._halves is not None:
                tasks.create_task(self._halves.run())
            started = asyncio.Event()
            tasks.create_task(jobs.run(started))
            await started.wait()
            notifying = Notifying(self._settings.notify, watching.feed)
            for runs in (post, upstream, owner, roaming, ledger, informer, placing, notifying, dozing):
                tasks.create_task(runs.run())
            async with self._socket(verbs):
                ready(node=me.name, region=me.region, parent=upstream.parent, socket=str(self._place.socket))
                await asyncio.Event().wait()

    def _around(
        self, inner: Performer, actor: Acting | Halves, db: Database, materials: Materials, informer: Informer
    ) -> tuple[Rebooting, Verifying]:
        """The performers of steps that stand around those that change the machine."""
        self._halves = actor if isinstance(actor, Halves) else None
        power, free = self._settings.power, self._root.free
        elsewhere = self._halves.reboot if self._halves else None
        restarts = Rebooting(db=db, settings=power, steps=inner, now_ms=now_ms, free=free, elsewhere=elsewhere)
        verifies = Verifying(
            inside=self._halves.inside if self._halves else None,
            db=db,
            root=self._root,
            materials=materials,
            steps=restarts,
            beyond=actor.beyond,
            changed=informer.changed,
        )
        return restarts, verifies

    def _socket(self, verbs: Verbs) -> ControlServer:
        """Where the owner is heard, and who may speak for him."""
        settings = self._settings
        return ControlServer(self._place.socket, verbs, group=settings.socket_group, mode=int(settings.socket_mode, 8))

    async def _until_stopped(self, jobs: Jobs) -> None:
        """Until a signal comes, and what waits for the agent's stop is done."""
        try:
            await until_signal()
        except Stop:
            self._restart.stopped = True
            await jobs.stopping(self._settings.at_stop)
            raise

    def _upstream(self, where: standing.Standing, store: Placing, post: Post) -> Upstream:
        """The way to the parent that the agent was below last."""
        me, settings = self._me, self._settings
        return Upstream(
            me=me.name,
            region=me.region,
            parent=where.present.name,
            url=where.present.url,
            login=me.login,
            store=store,
            placer=store,
            post=post,
            window=settings.window,
            role="endpoint",
            free=self._root.free,
            tls=settings.tls.context(where.present.url),
            clean=where.present.name != where.home.parent.name,
            gather=GATHER_SECONDS,
        )

    def _listen(
        self, post: Post, upstream: Upstream, readings: Readings, materials: Materials, terms: Terms, jobs: Jobs
    ) -> None:
        """Who acts on which kind of message."""
        me = self._me
        identity = Identity(me.region, me.region_key, me.name, me.key.public, me.generation)

        async def on_query(_peer: str, envelope: Envelope) -> None:
            answer = await readings.answer(envelope)
            await post.send(upstream.parent, answer, to=envelope.sender, cause=envelope.cause, expires=envelope.expires)

        async def on_order(peer: str, envelope: Envelope) -> None:
            await materials.patches.hear(body_of(envelope, OrderBundle).offers)
            bundle = body_of(envelope, OrderBundle)
            order = open_bundle(bundle, identity)
            terms.ordered(order)
            if self._halves is not None:
                await self._halves.hear(bundle, order.job, order.revision, order.expires)
            await jobs.on_order(peer, envelope)

        async def on_shape(_peer: str, envelope: Envelope) -> None:
            terms.changed(body_of(envelope, JobShape))

        async def on_offers(_peer: str, envelope: Envelope) -> None:
            await materials.patches.hear(body_of(envelope, PatchOffers).offers)

        post.on("order.v1", on_order)
        post.on("patch.offer.v1", on_offers)
        post.on("job.shape.v1", on_shape)
        post.on("query.v1", on_query)

    def _roaming(
        self, kept: standing.Kept, upstream: Upstream, post: Post, tellers: Iterable[Callable[[], Awaitable[None]]]
    ) -> Roaming:
        async def retell() -> None:
            for tell in tellers:
                await tell()

        return Roaming(
            self._me,
            self._place.folder,
            kept,
            self._settings.parents.policy(),
            upstream=upstream,
            post=post,
            subject=Subject(url=lambda: "", below=list, retell=retell),
            tls=self._settings.tls,
        )

    async def _open_root(self, db: Database, stack: AsyncExitStack) -> None:
        """Make the install root, and sweep what no journal row knows: rubbish of the last life."""
        if self._settings.root_socket:
            return
        try:
            await asyncio.to_thread(self._root.open)
            swept = await PartialTrees(db, self._root).recover()
        except (OSError, TreeError) as error:
            reason = error.detail if isinstance(error, TreeError) else error.strerror
            todo = "Choose another install_root, or let the agent's user write there."
            raise StateError(str(self._root.path), f"can't be the install root: {reason}", todo) from error
        stack.callback(self._root.close)
        if swept:
            log.info("swept", trees=swept)

    async def _status(
        self, db: Database, store: DiskStore, post: Post, upstream: Upstream, materials: Materials
    ) -> dict[str, Any]:
        usage = store.usage()
        installed = await db.read(holdings.installed)
        open_jobs = await db.read(journal.open_jobs)
        return {
            "name": self._me.name,
            "region": self._me.region,
            "role": "endpoint",
            "version": __version__,
            "pid": os.getpid(),
            "started": self._since,
            "parent": {
                "name": upstream.parent,
                "url": upstream.hop.parent.url,
                "connected": upstream.connected,
            },
            "generation": self._me.generation,
            "install_root": str(self._root.path),
            "root_half": self._settings.root_socket,
            "update": selfupdate.shown(self._place.folder),
            "staging": {"chunks": usage.chunks, "bytes": usage.bytes, "quota": usage.quota or 0},
            "disk_free": self._root.free(),
            "packages": len(installed),
            "open_jobs": [{"job": j.job, "package": j.package, "state": j.state} for j in open_jobs],
            "unacknowledged": len(await post.pending()),
            "traffic": upstream.traffic(),
            "patches": materials.patches.shown(),
            "socket": str(self._place.socket),
        }


def _ending(upstream: Upstream, informer: Informer, dozing: sleeping.Sleeping) -> Callable[[], None]:
    """What follows the end of each job: memory goes back, and facts may be others."""
    quiet = Quiet(lambda: upstream.hop.bulk.drop_spares())  # noqa: PLW0108 - the link of then
    quiet.soon()

    def on_ended() -> None:
        give_back()
        quiet.soon()
        informer.changed()
        dozing.changed()

    return on_ended


def _machine(me: str, upstream: Upstream) -> Machine:
    return Machine(me, upstream.parent, upstream.connected, no_room=bool(upstream.waiting))


async def serve(stack: AsyncExitStack, place: Place, restart: Restart) -> None:
    """What `tiercast-endpoint run` does: read settings and enrolment, then run the agent."""
    enrolled = joined.load(place.folder, role="endpoint")
    settings = config.load(place.config, Settings)
    logs.configure(settings.log_level, settings.log_format)
    stack.enter_context(StateLock(place.folder))
    await Agent(place, settings, enrolled, restart).run(stack)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
