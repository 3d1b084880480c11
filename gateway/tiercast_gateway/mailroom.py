"""Control messages of a sub-tree: which kind may come from where, and who acts on it.

Rules
- Orders, patches, tokens, admissions, dismissals, suspensions and terms only from above; statuses, inventories and
  requests to join only from below.  What comes the wrong way is logged and dropped: a child gives no order.
- Questions and answers go both ways: a child may ask why it waits (`why_way.py`), and nothing else.
- What is for another node is passed on unopened: down by the route table when it comes from above, else up.
- A message that can never be acted on (its receiver is unknown by now) is logged and acknowledged; it would
  block all that stands behind it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import structlog

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.drift import Assigned, DriftTold
from tiercast_protocol.wire.facts import Inventories, InventoryAsk, InventorySame
from tiercast_protocol.wire.messages import (
    Admitted,
    Dismissed,
    Holds,
    JobShape,
    OrderBundle,
    PatchOffers,
    Status,
    TokenIssued,
    body_of,
)
from tiercast_protocol.wire.moving import Left, Placed
from tiercast_protocol.wire.site import BreakersOpened, BreakerTold, GroupsTold, SiteJoined, SiteOrder, StartsHeld

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.wire.envelope import Envelope

log = structlog.get_logger(__name__)


class Mailroom:
    """The handlers of one sub-tree's `Post`."""

    def __init__(self, subtree: SubTree) -> None:
        self._tree = subtree
        self._above = subtree.above
        post = subtree.post
        post.on("order.v1", self._order)
        post.on("patch.offer.v1", self._offers)
        post.on("status.v1", self._status)
        post.on("inventory.v1", self._inventory)
        post.on("inventory.same.v1", self._same)
        post.on("inventory.ask.v1", self._asked)
        subtree.inventories.ask = post.send
        post.on("token.issued.v1", self._token)
        post.on("node.admitted.v1", self._admitted)
        post.on("node.dismissed.v1", self._dismissed)
        post.on("node.placed.v1", self._placed)
        post.on("node.left.v1", self._left)
        post.on("enrol.request.v1", self._request)
        post.on("transfer.hold.v1", self._holds)
        post.on("job.shape.v1", self._shape)
        post.on("starts.held.v1", self._starts)
        post.on("breakers.opened.v1", self._opened)
        post.on("breaker.told.v1", self._breaker)
        post.on("site.order.v1", self._site_order)
        post.on("site.joined.v1", self._site_joined)
        post.on("site.groups.v1", self._site_groups)
        post.on("assigned.v1", self._assigned)
        post.on("drift.told.v1", self._drift)
        post.on("query.v1", self._query)
        post.on("answer.v1", self._answer)
        post.on_relay(self._relay)

    def _comes_down(self, peer: str, envelope: Envelope) -> bool:
        return self._is_from(peer, envelope, above=True)

    def _comes_up(self, peer: str, envelope: Envelope) -> bool:
        return self._is_from(peer, envelope, above=False)

    def _is_from(self, peer: str, envelope: Envelope, *, above: bool) -> bool:
        if (peer == self._above.parent) == above:
            return True
        log.warning("message.misplaced", peer=peer, kind=envelope.kind)
        return False

    async def _order(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.take_order(body_of(envelope, OrderBundle), envelope.cause)

    async def _offers(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.take_offers(body_of(envelope, PatchOffers).offers)

    async def _token(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await _settled(self._tree.issue_token(body_of(envelope, TokenIssued)), envelope)

    async def _admitted(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await _settled(self._tree.admit(body_of(envelope, Admitted)), envelope)

    async def _dismissed(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.dismiss(body_of(envelope, Dismissed))

    async def _holds(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.steering.suspensions.take(peer, body_of(envelope, Holds))

    async def _shape(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.steering.jobs.take(body_of(envelope, JobShape))

    async def _starts(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.breakers.take(peer, body_of(envelope, StartsHeld))

    async def _opened(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.breakers.opened(body_of(envelope, BreakersOpened))

    async def _breaker(self, peer: str, envelope: Envelope) -> None:
        if self._comes_up(peer, envelope):
            await self._above.send(body_of(envelope, BreakerTold), cause=envelope.cause)

    async def _site_order(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.sites.take(body_of(envelope, SiteOrder), envelope.cause)

    async def _site_groups(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.sites.regroup(body_of(envelope, GroupsTold))

    async def _site_joined(self, peer: str, envelope: Envelope) -> None:
        if self._comes_up(peer, envelope):
            await self._above.send(body_of(envelope, SiteJoined), cause=envelope.cause)

    async def _assigned(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.drift.take(body_of(envelope, Assigned))

    async def _drift(self, peer: str, envelope: Envelope) -> None:
        if not self._comes_up(peer, envelope):
            return
        said = body_of(envelope, DriftTold)
        if said.node == peer or self._tree.routes.below(said.node, peer):
            await self._above.send(said, cause=envelope.cause)
        else:
            log.warning("drift.foreign", peer=peer, node=said.node[:80])

    async def _placed(self, peer: str, envelope: Envelope) -> None:
        if self._comes_up(peer, envelope):
            await self._tree.moves.placed(peer, body_of(envelope, Placed))

    async def _left(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.moves.left(body_of(envelope, Left))

    async def _query(self, peer: str, envelope: Envelope) -> None:
        if peer == self._above.parent:
            answer = await self._tree.queries.answer(envelope)
            await self._above.send(answer, to=envelope.sender, cause=envelope.cause)
        else:
            # Passed on by a gateway below: the answer goes to whom it is about, by our own routes.
            asker = envelope.sender if self._tree.routes.below(envelope.sender, peer) else peer
            told = await self._tree.whys.answer(asker, envelope)
            to = asker if asker != peer else ""
            await self._tree.post.send(peer, told, to=to, cause=envelope.cause, expires=envelope.expires)

    async def _status(self, peer: str, envelope: Envelope) -> None:
        if self._comes_up(peer, envelope):
            await self._tree.statuses.take(peer, body_of(envelope, Status))

    async def _inventory(self, peer: str, envelope: Envelope) -> None:
        if self._comes_up(peer, envelope):
            await self._tree.inventories.take(peer, body_of(envelope, Inventories))

    async def _same(self, peer: str, envelope: Envelope) -> None:
        if self._comes_up(peer, envelope):
            await self._tree.inventories.same(peer, body_of(envelope, InventorySame))

    async def _asked(self, peer: str, envelope: Envelope) -> None:
        if self._comes_down(peer, envelope):
            await self._tree.inventories.asked(body_of(envelope, InventoryAsk))

    async def _answer(self, peer: str, envelope: Envelope) -> None:
        if peer == self._above.parent:
            self._tree.whys.above.answered(envelope)
        else:
            self._tree.queries.answered(envelope)

    async def _request(self, peer: str, envelope: Envelope) -> None:
        if self._comes_up(peer, envelope):
            await self._above.forward(envelope)

    async def _relay(self, peer: str, envelope: Envelope) -> None:
        if peer != self._above.parent:
            await self._above.forward(envelope)
        elif (via := self._tree.routes.via(envelope.to)) is not None:
            await self._tree.post.forward(via, envelope)
        else:
            log.warning("message.no_route", kind=envelope.kind, to=envelope.to)


async def _settled(action: Awaitable[None], envelope: Envelope) -> None:
    """Do it; what can never be done is logged instead of being repeated for ever."""
    try:
        await action
    except UsageError as error:
        log.warning("message.refused", kind=envelope.kind, code=error.code, reason=error.what)
