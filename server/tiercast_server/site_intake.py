"""What gateways decided of site-held jobs, into the database; and the end of it (docs/protocol.md, section 14).

Rules
- A voucher is believed with the present key of a gateway that may say it, for a node with its present key; who is a
  target already stays what he is.
- A receipt that came before the word that made its node a target waited for it, and is taken then.
- Who was added where a job had ended opens it again; where it was cancelled he is told so.
- The end of the following is an order for these gateways alone.
"""

from __future__ import annotations

import structlog
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.order import CANCEL
from tiercast_protocol.content.jobs.vouching import Voucher, open_voucher
from tiercast_protocol.errors import ProtocolError, SignatureInvalid
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import StatusRecord
from tiercast_protocol.wire.site import SiteJoined
from tiercast_server.changes import Changes
from tiercast_server.database.site_tables import site_jobs, site_strays
from tiercast_server.database.tables import jobs, orders, targets
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.life import TargetsTaken
from tiercast_server.nodes import nodes
from tiercast_server.nodes.nodes import Node
from tiercast_server.orders import Subject, sign
from tiercast_server.region import Region
from tiercast_server.site_jobs import held, tell
from tiercast_server.status_intake import StatusIntake

_log = structlog.get_logger(__name__)


class SiteIntake:
    """Takes what gateways decided; `refused` counts what was not believed."""

    def __init__(self, region: Region, intake: StatusIntake, changes: Changes) -> None:
        self._region, self._intake, self._changes = region, intake, changes
        self.refused = 0

    async def take(self, message: SiteJoined) -> int:
        """Make targets of those for whom it vouches; how many are new."""
        fresh: dict[str, list[Node]] = {}
        strays: list[StatusRecord] = []
        async with self._region.db.write() as connection:
            for entry in message.entries:
                try:
                    voucher, node = await self._proved(connection, message.node, entry.data, entry.signature)
                except ProtocolError as error:
                    self.refused += 1
                    _log.warning("voucher refused", node=message.node[:80], reason=str(error))
                    continue
                which = (targets.c.job == voucher.job) & (targets.c.node == node.name)
                if (await connection.execute(select(func.count()).where(which))).scalar_one():
                    continue
                fresh.setdefault(voucher.job, []).append(node)
                strays += await self._strays(connection, voucher.job, node.name)
            for name, found in fresh.items():
                await self._adopt(connection, name, found)
        if fresh:
            self._changes.touch(*fresh)
        if strays:
            await self._intake.take(strays)
        return sum(map(len, fresh.values()))

    async def _adopt(self, connection: AsyncConnection, name: str, found: list[Node]) -> None:
        job, one = await job_rows.find(connection, name), await held(connection, name)
        if job is None or one is None:
            raise RuntimeError(f"{name} was there a moment ago")
        now = self._region.clock()
        names = [node.name for node in found]
        await job_rows.add_targets(connection, job, found, now)
        await job_rows.mark_ordered(connection, name, names, one.revision, now)
        await job_rows.advance(self._region, connection, job, TargetsTaken(tuple(names)))
        _log.info("job follows at a site", job=name, nodes=len(names))

    async def _strays(self, connection: AsyncConnection, job: str, node: str) -> list[StatusRecord]:
        c = site_strays.c
        rows = await connection.execute(select(c.record).where(c.job == job, c.node == node))
        found = [codec.decode(row.record, StatusRecord) for row in rows]
        await connection.execute(delete(site_strays).where(c.job == job, c.node == node))
        return found

    async def _proved(
        self, connection: AsyncConnection, gateway: str, data: bytes, signature: bytes
    ) -> tuple[Voucher, Node]:
        """The voucher, and the node that it is for, both with their present keys.

        Raises:
            ProtocolError: it is not believed.
        """
        voucher = open_voucher(data, signature)
        one = await held(connection, voucher.job)
        if voucher.region != self._region.name or one is None or voucher.by != gateway:
            raise SignatureInvalid("voucher", "it is of another region, job or gateway")
        if voucher.by not in one.vouchers or voucher.revision != one.revision:
            raise SignatureInvalid("voucher", "the gateway does not hold this job")
        known = {}
        for name in (voucher.by, voucher.node):
            known[name] = await nodes.find(connection, name)
        by, node = known[voucher.by], known[voucher.node]
        if by is None or (by.public_key, by.generation) != (voucher.by_key, voucher.by_generation):
            raise SignatureInvalid("voucher", "the gateway has another key by now")
        if node is None or node.role != "endpoint":
            raise SignatureInvalid("voucher", "it is for no endpoint of this region")
        if (node.public_key, node.generation) != (voucher.public_key, voucher.generation):
            raise SignatureInvalid("voucher", "the node has another key by now")
        return voucher, node


async def end(region: Region, connection: AsyncConnection, job: str) -> None:
    """Gateways add nobody to the job any more."""
    one = await held(connection, job)
    found = await job_rows.find(connection, job)
    if one is None or found is None:
        return
    query = (nodes_table.c.role == "gateway",)
    there = [
        node for node in await nodes.all_nodes(connection, *query) if one.vouchers.get(node.name) == node.generation
    ]
    there = [node for node in there if node.has_joined]
    await connection.execute(update(site_jobs).where(site_jobs.c.job == job).values(ended=True))
    if not there:
        return
    newest = (await connection.execute(select(jobs.c.revision).where(jobs.c.id == job))).scalar_one()
    now = region.clock()
    subject = Subject(
        *(job, CANCEL, found.package, found.version, found.package_revision, found.root),
        *(now, max(found.expires, now + 1), {}),
    )
    signed = sign(subject, newest + 1, (), there, region=region.name, epoch=region.epoch, key=region.key)
    await connection.execute(
        insert(orders).values(
            job=job, revision=newest + 1, type=CANCEL, body=signed.body, signature=signed.signature, created=now
        )
    )
    await connection.execute(update(jobs).where(jobs.c.id == job).values(revision=newest + 1))
    await tell(connection, job, signed.body, signed.signature, signed.vouchers)
