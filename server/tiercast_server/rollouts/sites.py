"""What gateways say of their breakers, and a person's word that opens them (docs/jobs.md, "Rollouts").

Rules
- A gateway's word is believed with its own present key's signature, and the highest number of each stands.
- It stops nothing here: the region's own limit is counted out of receipts.  It is shown, so that a person sees at which
  site a rollout is held, and by what.
- A word that lets it go on is numbered and signed, in the transaction that writes the number down; orders that are
  signed later carry the number, for whoever missed the word.
"""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import breaker as b
from tiercast_protocol.errors import MessageInvalid, ProtocolError, SignatureInvalid
from tiercast_protocol.wire.site import BreakersOpened, BreakerTold
from tiercast_server import handover
from tiercast_server.changes import Changes
from tiercast_server.database.rollout_tables import rollout_sites, rollouts
from tiercast_server.nodes import nodes
from tiercast_server.region import Region
from tiercast_server.rollouts.life import Rules
from tiercast_server.rollouts.rows import Rollout

_log = structlog.get_logger(__name__)


class Sites:
    """Takes what gateways say; `refused` counts what was not believed."""

    def __init__(self, region: Region, changes: Changes) -> None:
        self._region, self._changes = region, changes
        self.refused = 0

    async def told(self, message: BreakerTold) -> None:
        """A gateway's breaker opened, or is closed again."""
        async with self._region.db.write() as connection:
            try:
                trip = await self._proved(connection, message)
            except ProtocolError as error:
                self.refused += 1
                _log.warning("breaker refused", node=message.node[:80], reason=str(error))
                return
            c = rollout_sites.c
            which = (c.rollout == trip.rollout) & (c.node == trip.node)
            held = (await connection.execute(select(c.seq).where(which))).scalar_one_or_none()
            known = select(rollouts.c.id).where(rollouts.c.id == trip.rollout)
            if (held is not None and held >= trip.seq) or (await connection.execute(known)).first() is None:
                return
            row = {"seq": trip.seq, "at": trip.at, "shut": trip.shut, "bad": trip.bad, "total": trip.total}
            await connection.execute(delete(rollout_sites).where(which))
            await connection.execute(
                insert(rollout_sites).values(rollout=trip.rollout, node=trip.node, limit_text=trip.limit, **row)
            )
        _log.warning("breaker", rollout=trip.rollout, node=trip.node, open=trip.shut, bad=trip.bad, total=trip.total)
        self._changes.touch(trip.rollout)

    async def _proved(self, connection: AsyncConnection, message: BreakerTold) -> b.Trip:
        node = await nodes.find(connection, message.node)
        if node is None or not node.has_joined or node.role != "gateway":
            raise SignatureInvalid("breaker", "no gateway of this region says it")
        trip = b.open_trip(message.data, message.signature, node.public_key)
        if (trip.region, trip.node, trip.generation) != (self._region.name, node.name, node.generation):
            raise MessageInvalid("it is another node's, or of another generation", "breaker")
        return trip


async def held(connection: AsyncConnection, rollout: str) -> list[dict[str, Any]]:
    """The gateways at which nothing more of a rollout begins, by name."""
    c = rollout_sites.c
    query = select(rollout_sites).where(c.rollout == rollout, c.shut.is_(True)).order_by(c.node)
    return [
        {"node": row.node, "since": row.at, "bad": row.bad, "total": row.total, "stop_at": row.limit_text}
        for row in await connection.execute(query)
    ]


async def open_again(region: Region, connection: AsyncConnection, one: Rollout) -> None:
    """A person lets the rollout go on at every gateway."""
    if not one.rules.site:
        return
    again = one.again + 1
    await connection.execute(update(rollouts).where(rollouts.c.id == one.id).values(again=again))
    word = b.Again(region=region.name, epoch=region.epoch, rollout=one.id, again=again)
    data, signature = b.sign_again(word, region.key)
    await handover.put(connection, BreakersOpened(data=data, signature=signature), cause=one.id)


def options_of(one: Rollout) -> dict[str, str | int | bool]:
    """What the orders of its waves say of its breaker."""
    rules: Rules = one.rules
    if not rules.site:
        return {}
    figures = {b.SITE_NUMBER: rules.site_number, b.SITE_SHARE: rules.site_share, b.AGAIN: one.again}
    return {b.ROLLOUT: one.id} | {word: value for word, value in figures.items() if value}
