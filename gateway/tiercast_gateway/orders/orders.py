"""Orders on their way down: kept, split by route, passed on, and done here where this node is a target.

Rules (docs/protocol.md, sections 4, 5 and 7)
- What is signed is passed on byte for byte; this node only divides the list of targets among its children.
- An order is here before it is acknowledged upward, and marked as passed on in the transaction that puts it, and what
  follows it, into the outbox downward; a receiver keeps (job, revision), so that twice is harmless.
- A target without a route waits, with that reason, until the route is learned or the order expires.
- A later revision of a job replaces the earlier ones for the targets that it names (a cancel of all: for all); for
  others an earlier one still counts, whenever it comes.  A job is closed here when every target below has
  said something final, or when its order expired; open jobs keep their package in the depot.
- An order that the region did not sign, or of another region, is refused, whoever brought it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from tiercast_gateway.children.routes import Routes
from tiercast_gateway.orders import rows as order_rows
from tiercast_protocol.content.jobs.jobtypes import OFFER, REPAIR
from tiercast_protocol.content.jobs.order import CANCEL, INSTALL, PRELOAD, Order, open_order
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.post import Post
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import Message, OrderBundle, OrderTarget, PatchOffer

log = structlog.get_logger(__name__)

#: Types whose content is held for their targets.
_CONTENT = (INSTALL, OFFER, PRELOAD, REPAIR)

Digest = bytes
#: Targets of one bundle: with proofs of 20 digests each it stays below the codec's limit.
BUNDLE_TARGETS = 1000
#: Targets that are passed on in one transaction: a thousand proofs are some milliseconds.
AT_ONCE = 500
SWEEP_SECONDS = 60.0
#: Closed orders are kept for so long, so that a repeated bundle finds them and `job show` can tell.
KEEP_CLOSED_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class OwnOrder:
    """An order that this node itself is a target of."""

    order: Order
    target: OrderTarget
    cause: str


class Orders:
    """The orders of a sub-tree.

    Args:
        me: this node's name.
        region: the region's name; `region_key` its public key.
        do: called with what this node itself must do (again after a restart, until `own_done`).
        changed: called with a job's id when it was opened, replaced or closed.
        passed: called with a job whose order goes down; gives what is to follow it to each child.
        offers: gives the patches that can lead to a package.
        holds: whether an order stays here for now, because the breaker of its rollout is open.
        keeps: gives those targets for which it stays here, because its condition is not true of them.
    """

    def __init__(
        self,
        *,
        me: str,
        region: str,
        region_key: bytes,
        db: Database,
        post: Post,
        routes: Routes,
        do: Callable[[OwnOrder], None],
        changed: Callable[[Order, bool], None],
        passed: Callable[[str], list[Message]],
        offers: Callable[[Digest], list[PatchOffer]],
        holds: Callable[[Order], bool] = lambda _order: False,
        keeps: Callable[[Order, Mapping[str, Sequence[str]]], Awaitable[set[str]]] | None = None,
    ) -> None:
        self._me, self._region, self._region_key = me, region, region_key
        self._db, self._post, self._routes = db, post, routes
        self._do, self._changed, self._passed, self._offers = do, changed, passed, offers
        self._holds, self._keeps = holds, keeps
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Go on where the last stop left off: follow open jobs, pass on what waits, do what is undone."""
        rows = await self._db.read(
            lambda c: c.execute("SELECT signed, own FROM orders WHERE open = 1 ORDER BY job, revision").fetchall()
        )
        for signed, own in rows:
            order = codec.decode(signed, Order)
            self._changed(order, True)
            if own == 1:
                await self._do_own(order)
        await self.pass_on()

    async def run(self) -> None:
        """Close what expired and forget what is long closed, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.expire(_now())

    async def take(self, bundle: OrderBundle, cause: str) -> Order | None:
        """Keep an order and pass it on; returns when it is committed and in the outbox downward.

        Gives the order; None when it expired, or later revisions are known for all its targets.

        Raises:
            SignatureInvalid: the region did not sign it, or it is another region's.
        """
        order = open_order(bundle.order, bundle.signature, self._region_key)
        if order.region != self._region:
            raise SignatureInvalid("order", f"it is of the region {order.region}")
        if order.expires <= _now():
            log.info("order.expired", job=order.job, revision=order.revision)
            return None
        own = any(target.node == self._me for target in bundle.targets)
        replaced = await self._db.write(lambda c: order_rows.keep(c, order, bundle, cause, own=own))
        if replaced is None:
            log.info("order.outdated", job=order.job, revision=order.revision)
            return None
        for earlier in replaced:
            self._changed(earlier, False)
        self._changed(order, True)
        if own:
            await self._do_own(order)
        await self.pass_on(order.job)
        return order

    async def pass_on(self, job: str | None = None) -> None:
        """Send what waits for a route and has one now."""
        async with self._lock:
            waiting = await self._db.read(lambda c: order_rows.waiting(c, job))
            for row in waiting:
                await self._pass_one(*row)

    async def _pass_one(
        self,
        job: str,
        revision: int,
        signed: bytes,
        signature: bytes,
        cause: str,
        expires: int,
        targets: list[OrderTarget],
    ) -> None:
        order = codec.decode(signed, Order)
        by_child = {} if self._holds(order) else await self._split(order, targets)
        offers = self._offers(order.root) if needs_content(order) else []
        after = self._passed(job)
        messages: list[tuple[str, Message]] = []
        rows: list[tuple[str, str, int, str]] = []
        for child, theirs in by_child.items():
            for at in range(0, len(theirs), BUNDLE_TARGETS):
                some = theirs[at : at + BUNDLE_TARGETS]
                rows += [(child, job, revision, target.node) for target in some]
                if child != self._me:
                    bundle = OrderBundle(order=signed, signature=signature, targets=some, offers=offers)
                    messages += [(child, bundle), *((child, message) for message in after)]
            if self._holds(order):  # a breaker opened meanwhile: what was not handed out stays
                return
            if len(rows) >= AT_ONCE:
                await self._send(messages, rows, cause, expires)
                messages, rows = [], []
        if rows:
            await self._send(messages, rows, cause, expires)
        if (newer := self._passed(job)) != after:  # said meanwhile, to those only whom the order had reached
            children = by_child.keys() - {self._me}
            await self._post.send_all([(child, one) for child in children for one in newer], cause=job)

    async def _split(self, order: Order, targets: list[OrderTarget]) -> dict[str, list[OrderTarget]]:
        """Who is to get it now, by the child on the way."""
        by_child: dict[str, list[OrderTarget]] = {}
        for target in targets:
            via = self._me if target.node == self._me else self._routes.via(target.node)
            if via is None:
                log.warning("order.no_route", job=order.job, target=target.node)
            else:
                by_child.setdefault(via, []).append(target)
        ways = {via: [one.node for one in theirs] for via, theirs in by_child.items() if via != self._me}
        kept = await self._keeps(order, ways) if self._keeps is not None else set()
        if not kept:
            return by_child
        left = {via: [one for one in theirs if one.node not in kept] for via, theirs in by_child.items()}
        return {via: theirs for via, theirs in left.items() if theirs}

    async def _send(
        self, messages: list[tuple[str, Message]], rows: list[tuple[str, str, int, str]], cause: str, expires: int
    ) -> None:
        """To many children in one transaction, and that it went with it: one each would be most of the work."""
        await self._post.send_all(messages, cause=cause, expires=expires, also=partial(order_rows.passed, rows))

    async def _do_own(self, order: Order) -> None:
        row = await self._db.read(
            lambda c: c.execute(
                "SELECT t.place, t.proof, o.cause FROM order_targets t JOIN orders o USING (job, revision)"
                " WHERE t.job = ? AND t.revision = ? AND t.node = ? AND o.own = 1",
                (order.job, order.revision, self._me),
            ).fetchone()
        )
        if row is not None:
            target = OrderTarget(node=self._me, index=row[0], proof=codec.decode(row[1], list[bytes]))
            self._do(OwnOrder(order, target, row[2]))

    async def own_done(self, order: Order) -> None:
        """This node's part of the order is over: it is not begun again after a restart."""
        await self._db.write(
            lambda c: c.execute("UPDATE orders SET own = 2 WHERE job = ? AND revision = ?", (order.job, order.revision))
        )

    async def settle(self, jobs: set[str]) -> None:
        """Targets said final things: close the jobs of which all have."""
        for job in jobs:
            for order in await self._db.write(partial(order_rows.close_if_final, job)):
                self._changed(order, False)

    async def expire(self, now: int) -> None:
        """Close orders that expired before `now` (milliseconds); forget those closed long ago."""
        for order in await self._db.write(lambda c: order_rows.close(c, "expires <= ?", (now,))):
            log.info("order.closed", job=order.job, reason="expired")
            self._changed(order, False)
        await self._db.write(lambda c: order_rows.forget(c, now - KEEP_CLOSED_MS))

    async def reroute(self, nodes: Iterable[str], via: str) -> None:
        """These are reached through `via` now: what was passed on another way, and is not final, goes on this one."""
        names = list(nodes)
        if await self._db.write(lambda c: order_rows.unpass(c, names, via)):
            await self.pass_on()

    async def drop(self, nodes: Iterable[str]) -> None:
        """These are reached another way: their part of every order is no business of this sub-tree any more."""
        names = list(nodes)
        for order in await self._db.write(lambda c: order_rows.drop(c, names)):
            log.info("order.closed", job=order.job, reason="its targets moved")
            self._changed(order, False)

    async def needed(self) -> set[Digest]:
        """The roots of the packages that open jobs need."""
        rows = await self._db.read(
            lambda c: c.execute("SELECT root FROM orders WHERE open = 1 AND type IN (?, ?, ?, ?)", _CONTENT).fetchall()
        )
        return {row[0] for row in rows if row[0]}

    async def awaited(self) -> dict[str, list[str]]:
        """By open job with content: the children through which something final is still expected."""
        return await self._awaited("o.type IN (?, ?, ?, ?)", _CONTENT)

    async def awaited_bare(self) -> dict[str, list[str]]:
        """The same of jobs for which nothing travels: programs, messages, removals ..."""
        return await self._awaited("o.type NOT IN (?, ?, ?, ?, ?)", (*_CONTENT, CANCEL))

    async def _awaited(self, which: str, types: tuple[str, ...]) -> dict[str, list[str]]:
        rows = await self._db.read(
            lambda c: c.execute(
                "SELECT DISTINCT t.job, t.via, iif(t.via = '', t.node, '') FROM order_targets t"  # noqa: S608 - constants
                f" JOIN orders o USING (job, revision) WHERE o.open = 1 AND {which} AND t.via != ?"
                " AND NOT EXISTS (SELECT 1 FROM statuses s WHERE"
                " s.job = t.job AND s.target = t.node AND s.revision >= t.revision AND s.final = 1)",
                (*types, self._me),
            ).fetchall()
        )
        found: dict[str, dict[str, None]] = {}
        for job, via, held in rows:  # what is held here goes through a child too, when it goes
            child = via or self._routes.via(held)
            if child is not None and child != self._me:
                found.setdefault(job, {})[child] = None
        return {job: list(children) for job, children in found.items()}

    async def passed_to(self, job: str) -> list[str]:
        """The children that open orders of a job were passed to."""
        rows = await self._db.read(
            lambda c: c.execute(
                "SELECT DISTINCT t.via FROM order_targets t JOIN orders o USING (job, revision)"
                " WHERE o.job = ? AND o.open = 1 AND t.via NOT IN ('', ?)",
                (job, self._me),
            ).fetchall()
        )
        return [row[0] for row in rows]

    async def list(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest orders, as `job.list` of this tier shows them."""
        rows = await self._db.read(lambda c: order_rows.shown(c, limit))
        for row in rows:
            row["waiting"] = [f"no route to {node}" for node in row["waiting"]]
        return rows


def needs_content(order: Order) -> bool:
    """Whether the order's package must be held for its targets."""
    return order.type in _CONTENT


def _now() -> int:
    return time.time_ns() // 1_000_000
