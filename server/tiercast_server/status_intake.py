"""What comes up the tree about jobs, into the database.

Rules
- A final state is believed only with a receipt that the target's present key signed and that says the same;
  what is not is counted and logged, never taken.
- Records of one message are one transaction; each is merged by `status_merge`, so repeats give nothing.
- A record of a job, target or revision that does not exist here is dropped: a peer can't make rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.receipt import STATES, open_receipt
from tiercast_protocol.errors import ProtocolError, SignatureInvalid
from tiercast_protocol.wire.messages import StatusRecord, sound
from tiercast_server import job_rows, nodes
from tiercast_server.changes import Changes
from tiercast_server.database.tables import hops, targets
from tiercast_server.job_life import Counted
from tiercast_server.job_rows import Job
from tiercast_server.region import Region
from tiercast_server.status_merge import Standing, is_final, is_hop, merge

_log = structlog.get_logger(__name__)
_MAX_DETAIL = 4_000
_MAX_WHY = 100_000
#: A rate is measured over at least this many milliseconds.
_RATE_MS = 200
#: No link is faster, in bytes per second; a peer's numbers are its own.
_MOST_RATE = 1 << 50


class StatusIntake:
    """Takes status records; `refused` counts those that were not believed."""

    def __init__(self, region: Region, changes: Changes) -> None:
        self._region = region
        self._changes = changes
        self.refused = 0

    async def take(self, records: Iterable[StatusRecord]) -> int:
        """Merge `records`; how many changed something."""
        changed: set[str] = set()
        ended: set[str] = set()
        taken = 0
        async with self._region.db.write() as connection:
            found: dict[str, Job | None] = {}
            for record in records:
                if not sound(record):
                    self.refused += 1
                    continue
                if record.job not in found:
                    found[record.job] = await job_rows.find(connection, record.job)
                job = found[record.job]
                if job is None or not 0 < record.revision <= job.revision:
                    continue
                take_one = self._take_hop if is_hop(record) else self._take_target
                if await take_one(connection, job, record):
                    taken += 1
                    changed.add(job.id)
            for name in changed:
                job = await job_rows.find(connection, name)
                if job is not None:
                    counts = await job_rows.counts(connection, name)
                    await job_rows.advance(self._region, connection, job, Counted(counts))
                    if all(STATES.get(state) for state in counts):
                        ended.add(name)
        self._changes.touch(*changed)
        self._changes.end(*ended)
        return taken

    async def _take_target(self, connection: AsyncConnection, job: Job, record: StatusRecord) -> bool:
        query = select(targets).where(targets.c.job == job.id, targets.c.node == record.target)
        row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            return False
        held = standing(row)
        proved = False
        if is_final(record):
            if (record.revision, record.attempt, record.seq) <= (held.revision, held.attempt, held.seq) and held.proved:
                return False
            try:
                await self._check_receipt(connection, record)
            except ProtocolError as error:
                self.refused += 1
                _log.warning("receipt refused", job=job.id, node=record.target, reason=str(error), cause=job.id)
                return False
            proved = True
        new = merge(held, record, proved=proved)
        if new is None:
            return False
        await connection.execute(
            update(targets)
            .where(targets.c.job == job.id, targets.c.node == record.target)
            .values(
                state=new.state,
                code=new.code[:64],
                detail=new.detail[:_MAX_DETAIL],
                revision=new.revision,
                attempt=new.attempt,
                seq=new.seq,
                done=new.done,
                total=new.total,
                at=new.at,
                since=new.at if new.state != held.state else row["since"],
                proved=new.proved,
                receipt=new.receipt,
                signature=new.signature,
            )
        )
        return True

    async def _check_receipt(self, connection: AsyncConnection, record: StatusRecord) -> None:
        """Refuse a final record that its target did not sign.

        Raises:
            SignatureInvalid: no key, another's key, an older generation, or a receipt that says something else.
            MessageInvalid: no receipt at all.
        """
        node = await nodes.find(connection, record.target)
        if node is None or not node.has_joined:
            raise SignatureInvalid("receipt", "the node holds no key of this region")
        receipt = open_receipt(record.receipt, record.signature, node.public_key)
        if (receipt.node, receipt.generation) != (node.name, node.generation):
            raise SignatureInvalid("receipt", "it is another node's, or of an earlier generation")
        said = (receipt.job, receipt.revision, receipt.attempt, receipt.seq, receipt.state)
        if said != (record.job, record.revision, record.attempt, record.seq, record.state):
            raise SignatureInvalid("receipt", "the record around it says something else")

    async def _take_hop(self, connection: AsyncConnection, job: Job, record: StatusRecord) -> bool:
        node = await nodes.find(connection, record.target)
        if node is None or node.role != "gateway":
            return False
        which = (hops.c.job == job.id) & (hops.c.node == record.target)
        held = (await connection.execute(select(hops).where(which))).mappings().one_or_none()
        key = {"revision": record.revision, "attempt": record.attempt, "seq": record.seq}
        values = {**key, "state": record.state, "done": record.done, "total": record.total, "at": record.at}
        values["why"] = record.detail[:_MAX_WHY]
        if held is None:
            await connection.execute(insert(hops).values(job=job.id, node=record.target, rate=0, **values))
            return True
        if tuple(key.values()) <= (held["revision"], held["attempt"], held["seq"]):
            return False
        passed = record.at - held["at"]
        rate = held["rate"]
        if passed >= _RATE_MS:
            rate = min(max(0, (record.done - held["done"]) * 1000 // passed), _MOST_RATE)
        await connection.execute(update(hops).where(which).values(rate=rate, **values))
        return True


def standing(row: RowMapping) -> Standing:
    """What a row of targets holds."""
    return Standing(
        state=row["state"],
        revision=row["revision"],
        attempt=row["attempt"],
        seq=row["seq"],
        code=row["code"],
        detail=row["detail"],
        done=row["done"],
        total=row["total"],
        at=row["at"],
        proved=row["proved"],
        receipt=row["receipt"],
        signature=row["signature"],
    )
