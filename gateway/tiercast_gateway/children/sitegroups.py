"""Site-held groups: this gateway decides who joins a job, and says so below and above (docs/protocol.md, section 14).

Rules
- `membership` decides, out of what the machines directly below said, each proved by its own key; also with the way up
  cut.
- Who is added stands in the database with the voucher before the order goes down to him and the word goes up; the word
  goes into the outbox first, so the server hears of a target before it hears what came of him.
- What an administrator changed of a job's groups since it was ordered goes before what the order says of them.
- What came while conditions are evaluated (in a thread) is looked at afterwards; nothing is lost by a kill: at the
  start everybody is asked again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from tiercast_gateway.children import membership as m
from tiercast_gateway.children import site_rows
from tiercast_gateway.children.site_rows import SiteJob
from tiercast_gateway.facts import software_rows
from tiercast_protocol.content.facts import software
from tiercast_protocol.content.facts.inventory import SOFTWARE, open_inventory
from tiercast_protocol.content.jobs import vouching
from tiercast_protocol.content.jobs.order import CANCEL, open_order
from tiercast_protocol.content.jobs.regrouped import open_regrouped
from tiercast_protocol.errors import ProtocolError, SignatureInvalid, TiercastError, UsageError
from tiercast_protocol.wire.messages import OrderBundle, OrderTarget
from tiercast_protocol.wire.site import GroupsTold, SiteJoined, SiteOrder

if TYPE_CHECKING:
    from tiercast_gateway.children.enrolment import User
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.content.trust.keys import PrivateKey

log = structlog.get_logger(__name__)

#: Facts gather so long, in seconds: machines that come back together are asked together.
GATHER_SECONDS = 0.2
#: Seconds after which something that failed (a full disk) is tried again.
_AGAIN = 2.0
#: Most vouchers of one message, and most leaves.
_BATCH, _LEAVES = 500, 1_000


class SiteGroups:
    """Of one sub-tree.

    Args:
        tree: the sub-tree.
        region_key: signs orders.
        key, generation: this gateway's own; without a key it vouches for nobody (the server).
    """

    def __init__(self, tree: SubTree, *, region_key: bytes, key: PrivateKey | None, generation: int) -> None:
        self._tree, self._region_key = tree, region_key
        self._key, self._generation = key, generation
        self._jobs: dict[str, SiteJob] = {}
        #: Whom a job means by now, where the region said so since it was ordered.
        self._said: dict[str, vouching.Definition | None] = {}
        self._dirty: set[str] = set()
        self._all = False
        self._wake = asyncio.Event()

    async def load(self) -> None:
        """Take up what was kept; everybody is asked again."""
        rows = await self._tree.db.write(lambda c: site_rows.load(c, self._tree.name, _now_ms()))
        self._jobs = {job.order.job: job for job in rows}
        said = await self._tree.db.read(site_rows.definitions)
        self._said = {job: vouching.definition_of({vouching.SITE: text}) for job, text in said.items()}
        self._all = True
        self._wake.set()

    async def run(self) -> None:
        """Ask whoever said something, until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            everybody, self._all = self._all, False
            try:
                if everybody:
                    await self._repair()
                if self._jobs and (everybody or dirty):
                    await self._ask(None if everybody else dirty)
                await self._tell()
            except (TiercastError, OSError) as error:
                log.warning("site groups again", reason=str(error), again_s=_AGAIN)
                self._dirty |= dirty
                self._all = self._all or everybody
                self._wake.set()
                await asyncio.sleep(_AGAIN)

    # -- what came ---------------------------------------------------------------------------------------

    async def take(self, message: SiteOrder, cause: str) -> None:
        """An order whose groups gateways hold, or that ends one: kept, and passed on to gateways below.

        Raises:
            SignatureInvalid: the region did not sign it, or this gateway may not vouch for it.
        """
        order = open_order(message.order, message.signature, self._region_key)
        if order.region != self._tree.region:
            raise SignatureInvalid("order", f"it is of the region {order.region}")
        mine = next((leaf for leaf in message.vouchers if leaf.node == self._tree.name), None)
        if mine is not None and self._key is not None:
            vouching.check_leaf(order, mine, self._key.public, self._generation)
            if order.type == CANCEL:
                self._jobs.pop(order.job, None)
                await self._tree.db.write(lambda c: site_rows.end(c, order.job, order.revision))
            elif order.expires > _now_ms() and vouching.definition_of(order.options) is not None:
                job = SiteJob(order, message.order, message.signature, mine, cause)
                if await self._tree.db.write(lambda c: site_rows.keep(c, job)):
                    self._jobs[order.job] = job
                    self._all = True
                    self._wake.set()
        by_child: dict[str, list[OrderTarget]] = {}
        for leaf in message.vouchers:
            via = self._tree.routes.via(leaf.node)
            if leaf.node != self._tree.name and via is not None:
                by_child.setdefault(via, []).append(leaf)
        for child, leaves in by_child.items():
            for at in range(0, len(leaves), _LEAVES):
                part = SiteOrder(order=message.order, signature=message.signature, vouchers=leaves[at : at + _LEAVES])
                await self._tree.post.send(child, part, cause=cause, expires=order.expires)

    async def regroup(self, message: GroupsTold) -> None:
        """Groups that a job names were changed at the centre.

        Raises:
            SignatureInvalid: the region did not sign it, or it is another region's.
            MessageInvalid: it can't be read.
        """
        word = open_regrouped(message.data, message.signature, self._region_key)
        if word.region != self._tree.region:
            raise SignatureInvalid("groups", f"it is of the region {word.region}")
        if await self._tree.db.write(lambda c: site_rows.define(c, word)):
            self._said[word.job] = word.said
            self._all = True
            self._wake.set()

    def facts_changed(self, nodes: Iterable[str]) -> None:
        """These said something of themselves, and it is kept."""
        if self._jobs:
            self._dirty |= set(nodes)
            self._wake.set()

    async def told_again(self) -> None:
        """Another parent is there: what was said may be lost with the one before."""
        await self._tree.db.write(site_rows.untell)
        self._wake.set()

    async def shown(self, job: str) -> list[dict[str, Any]]:
        """Who was added to a job here."""
        return await self._tree.db.read(lambda c: site_rows.members(c, job))

    # -- deciding ------------------------------------------------------------------------------------------

    async def _ask(self, nodes: set[str] | None) -> None:
        """Ask these, of those directly below (None: all), for every job."""
        now = _now_ms()
        users = {
            user.name: user
            for user in self._tree.enrolment.children()
            if user.role == "endpoint" and (nodes is None or user.name in nodes)
        }
        machines = await self._machines(users)
        newest = sorted(self._jobs.values(), key=lambda job: (-job.order.issued, job.order.job))
        for job in newest if machines else []:
            order = job.order
            definition = self._said.get(order.job) or vouching.definition_of(order.options)
            if definition is None or order.expires <= now:
                continue
            known = await self._tree.db.read(partial(site_rows.targets, order.job, order.package, order.issued))
            one = m.Membership(order.expires)
            one.handle(m.Ordered(frozenset(known)), now=now)
            left = {name: machine for name, machine in machines.items() if name not in known}
            try:
                found = await asyncio.to_thread(m.meant, definition, left)
                chosen = {name: left[name] for name in found}
                windows = await asyncio.to_thread(m.windows, definition, chosen)
            except UsageError as error:
                log.warning("site group not decided", job=order.job, code=error.code, reason=error.what)
                continue
            for add in one.handle(m.Asked(found), now=now):
                await self._add(job, [users[name] for name in add.nodes], windows, now)

    async def _machines(self, users: dict[str, User]) -> dict[str, m.Machine]:
        rows = await self._tree.db.read(partial(site_rows.machines, sorted(users)))
        lists: dict[str, tuple[bytes, bytes]] = {}
        if any(SOFTWARE in str(job.order.options) for job in self._jobs.values()):
            lists = await self._tree.db.read(lambda c: software_rows.of_nodes(c, sorted(users)))
        found: dict[str, m.Machine] = {}
        for name, (generation, seq, data, signature) in rows.items():
            user = users[name]
            try:
                said = open_inventory(data, signature, user.public_key)
            except ProtocolError as error:
                log.warning("inventory not believed", node=name, reason=str(error))
                continue
            if (said.region, said.node, said.seq) == (self._tree.region, name, seq) and (
                said.generation == generation == user.generation
            ):
                facts = msgspec.json.encode(said.facts).decode()
                if name in lists:
                    facts = software.joined(facts, await asyncio.to_thread(software.as_json, *lists[name]))
                found[name] = m.Machine(facts, frozenset(said.groups), "" if user.guest else self._tree.name)
        return found

    async def _add(
        self, job: SiteJob, users: list[User], windows: Mapping[str, list[tuple[str, str]]], now: int
    ) -> None:
        if self._key is None or job.order.job not in self._jobs:
            return
        order = job.order
        vouched: list[tuple[str, bytes, bytes]] = []
        for user in users:
            voucher = vouching.Voucher(
                region=order.region,
                job=order.job,
                revision=order.revision,
                node=user.name,
                public_key=user.public_key,
                generation=user.generation,
                by=self._tree.name,
                by_key=self._key.public,
                by_generation=self._generation,
                at=now,
                windows=windows.get(user.name, []),
            )
            vouched.append((user.name, *vouching.sign_voucher(voucher, self._key)))
        await self._tree.db.write(lambda c: site_rows.add(c, order.job, order.revision, now, vouched))
        log.info("site group joined", job=order.job, nodes=len(vouched))
        await self._order(job, vouched)

    async def _order(self, job: SiteJob, vouched: list[tuple[str, bytes, bytes]]) -> None:
        """Say upward that these are targets, then order them."""
        await self._tell()
        leaf = job.leaf
        targets = [
            OrderTarget(node=node, index=leaf.index, proof=leaf.proof, voucher=data, signature=signature)
            for node, data, signature in vouched
        ]
        bundle = OrderBundle(order=job.signed, signature=job.signature, targets=targets)
        await self._tree.take_order(bundle, job.cause)

    async def _repair(self) -> None:
        """Who was added before a kill, and never ordered."""
        for name, vouched in (await self._tree.db.read(site_rows.unordered)).items():
            if name in self._jobs:
                await self._order(self._jobs[name], vouched)

    async def _tell(self) -> None:
        while rows := await self._tree.db.read(lambda c: site_rows.untold(c, _BATCH)):
            joined = SiteJoined(node=self._tree.name, entries=[row[2] for row in rows])
            await self._tree.above.send(joined)
            await self._tree.db.write(partial(site_rows.told, rows))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
