"""Nodes that came from elsewhere, and nodes that went (docs/protocol.md, section 12).

Rules
- A node's own signed word moves it, nothing else.  What this tier can't prove it passes up and learns nothing from.
- The tier at which the two ways part - the common ancestor - tells the old side, and hands the open orders to the new
  one; below it every tier learns the way from what passes.
- First the old side is told, then the way is turned, then orders and the word go on: a kill in between has the sender
  repeat it, and every step may be done twice.
- What is known of the jobs of those who came is told upward again: above, it may have been dropped as a stranger's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from tiercast_protocol.content.trust.parents import Placing, open_placing
from tiercast_protocol.errors import ProtocolError
from tiercast_protocol.wire.messages import Admitted, Dismissed
from tiercast_protocol.wire.moving import Below, Left, Placed
from tiercast_protocol.wire.topics import JOIN_PREFIX

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree

log = structlog.get_logger(__name__)


class Moves:
    """Acts on what the region and the nodes say of who is where, for one sub-tree."""

    def __init__(self, tree: SubTree) -> None:
        self._tree = tree
        tree.lodging.on_freed = self._freed
        tree.enrolment.lodged = tree.lodging.guests.all

    def path(self) -> tuple[str, ...]:
        """The names from the server down to this node; nothing while the way is not known."""
        above = self._tree.above
        if not above.connected or (above.parent and not above.path):
            return ()
        return (*above.path, self._tree.name)

    def all_below(self) -> list[Below]:
        """Every node below, as a gateway that moves tells of them."""
        routes = self._tree.routes.all()
        return self._tree.placings.below(node for node in routes if not node.startswith(JOIN_PREFIX))

    async def retell(self) -> None:
        """Tell another parent all that is known of the nodes below: the one before it may have lost it."""
        await self._tree.statuses.tell_again()
        await self._tree.inventories.tell_again()
        self._tree.breakers.told_again()
        await self._tree.sites.told_again()
        self._tree.drift.told_again()

    async def admit(self, node: Admitted) -> None:
        """See `SubTree.admit`."""
        tree = self._tree
        via = tree.towards(node.parent, node.name)
        before = tree.placings.get(node.name)
        news = await tree.placings.admitted(node)
        if via == node.name:
            if not node.guest:
                await tree.lodging.left(node.name)
            await tree.enrolment.admit(node)
        else:
            if news and not node.guest and tree.enrolment.known(node.name):
                await tree.enrolment.remove([node.name])
            await tree.post.send(via, node)
        if node.guest:
            return  # nothing goes that way before it is there
        if news or tree.routes.via(node.name) is None:
            await tree.routes.learn(node.name, via)
            tree.steering.changed()
        if news and before is not None:  # another machine: what the one before it was told is lost
            await tree.orders.reroute(tree.placings.family(node.name), "")
        await tree.orders.pass_on()

    async def dismiss(self, node: Dismissed) -> None:
        """See `SubTree.dismiss`."""
        tree = self._tree
        via = tree.routes.via(node.parent or node.name)
        if node.parent not in {"", tree.name}:
            if via is not None:
                await tree.post.send(via, node)
            return
        if not node.parent and via is not None and via != node.name:
            await tree.post.send(via, node)
        if tree.enrolment.known(node.name):
            await tree.lodging.left(node.name)
            await tree.enrolment.remove([node.name])
        if not node.parent:
            await tree.routes.forget([node.name])
            await tree.placings.forget([node.name])
            await tree.inventories.forget([node.name])

    async def placed(self, peer: str, placed: Placed) -> None:
        """The child `peer` brought a node's word of where it is.  Raises `ProtocolError` where it is nobody's word."""
        tree, node = self._tree, placed.node
        try:
            placing = self._proved(placed)
        except ProtocolError as error:
            if peer == node:
                raise
            log.info("placing.passed_on", node=node, peer=peer, reason=str(error))
            await tree.above.send(placed)
            return
        known = tree.placings.get(node)
        if known is None or placing.seq < known.seq or (placing.parent == tree.name) != (peer == node):
            log.info("placing.outdated", node=node, peer=peer, parent=placing.parent, seq=placing.seq)
            return
        via = node if placing.parent == tree.name else peer
        await tree.placings.claim(placed.below, node)
        family = tree.placings.family(node)
        old = tree.routes.via(node)
        if old is not None and old != via:
            log.info("node.moved", node=node, parent=placing.parent, old=old, new=via, reason=placing.reason)
            if old == node:
                await self._went(node)
            else:
                await tree.post.send(old, Left(node=node, parent=placing.parent, seq=placing.seq))
        news = {name for name in family if tree.routes.via(name) != via}
        if via == node:
            await tree.steering.suspensions.untold(node)
            await tree.breakers.untold(node)
        await tree.routes.turn(news, via)
        await tree.placings.place(node, placing.parent, placing.seq)
        tree.steering.changed()
        await tree.orders.reroute(family, via)
        await tree.above.send(placed)
        await tree.statuses.tell_again(news)
        await tree.inventories.tell_again(news)

    async def left(self, left: Left) -> None:
        """A node that was reached this way is elsewhere now."""
        tree, node = self._tree, left.node
        known = tree.placings.get(node)
        if known is not None and known.seq >= left.seq:
            return
        via = tree.routes.via(node)
        family = tree.placings.family(node)
        if via == node:
            await self._went(node)
        elif via is not None:
            await tree.post.send(via, left)
        log.info("node.left", node=node, parent=left.parent, below=len(family) - 1)
        await tree.routes.leave(family)
        await tree.orders.drop(family)
        await tree.inventories.forget(family)
        tree.steering.changed()
        await tree.placings.place(node, left.parent, left.seq)

    async def _went(self, child: str) -> None:
        """A direct child is none any more; its place on the broker stays until the region takes it."""
        await self._tree.steering.suspensions.untold(child)
        await self._tree.breakers.untold(child)
        await self._tree.lodging.left(child)
        await self._tree.downlink.child_left(child)

    async def _freed(self, guests: list[str]) -> None:
        for guest in guests:
            await self._tree.downlink.child_left(guest)

    def _proved(self, placed: Placed) -> Placing:
        known = self._tree.placings.get(placed.node)
        if known is None:
            raise ProtocolError(f"no key of {placed.node} is known here")
        placing = open_placing(placed.data, placed.signature, known.public_key)
        if (placing.region, placing.node) != (self._tree.region, placed.node):
            raise ProtocolError(f"it is of {placing.node} in {placing.region}")
        return placing
