"""What comes up the tree about jobs, into the database.

Rules
- A final state is believed only with a receipt that the target's present key signed and that says the same;
  what is not is counted and logged, never taken. Receipts are proved before the transaction, and counted in it only
  while the key is the same.
- Records of one message are one transaction, whose statements do not grow with their number; each is merged by
  `status_merge`, so repeats give nothing.
- A record of a job, target or revision that does not exist here is dropped: a peer can't make rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import structlog
from sqlalchemy import RowMapping, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.chosen import read
from tiercast_protocol.content.jobs.reason import Reason
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.wire.messages import StatusRecord, sound
from tiercast_server import site_jobs
from tiercast_server.changes import Changes
from tiercast_server.database.tables import hops, targets
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs import unwoken
from tiercast_server.jobs.life import Counted
from tiercast_server.jobs.rows import Job
from tiercast_server.nodes import nodes
from tiercast_server.proofs import Key, Proof, prove
from tiercast_server.region import Region
from tiercast_server.rollouts import sets
from tiercast_server.status_merge import Standing, is_final, is_hop, merge

_log = structlog.get_logger(__name__)
_MAX_DETAIL = 4_000
_MAX_WHY = 100_000
#: A rate is measured over at least this many milliseconds.
_RATE_MS = 200
#: No link is faster, in bytes per second; a peer's numbers are its own.
_MOST_RATE = 1 << 50
#: Names in one statement.
_NAMES = 1_000

#: Job and target.
Place = tuple[str, str]


class StatusIntake:
    """Takes status records; `refused` counts those that were not believed.  `wake` is called where orders followed."""

    def __init__(self, region: Region, changes: Changes, wake: Callable[[], None] = lambda: None) -> None:
        self._region, self._wake = region, wake
        self._changes = changes
        self.refused = 0

    async def take(self, records: Iterable[StatusRecord]) -> int:
        """Merge `records`; how many changed something."""
        good: list[StatusRecord] = []
        for record in records:
            if sound(record):
                good.append(record)
            else:
                self.refused += 1
        proofs = await self._proofs(good)
        changed: set[str] = set()
        taken = 0
        async with self._region.db.write() as connection:
            found = {name: await job_rows.find(connection, name) for name in {record.job for record in good}}
            known: list[tuple[Job, StatusRecord]] = []
            for record in good:
                job = found[record.job]
                if job is not None and 0 < record.revision <= job.revision:
                    known.append((job, record))
            for job, record in known:
                if is_hop(record) and await self._take_hop(connection, job, record):
                    taken += 1
                    changed.add(job.id)
            said = [record for _, record in known if not is_hop(record)]
            rows = await _rows(connection, said)
            news = self._merged(rows, said, proofs, await _keys(connection, said))
            await _write(connection, news)
            await site_jobs.stray(connection, [r for r in said if is_final(r) and (r.job, r.target) not in rows])
            taken += len(news)
            changed.update(job for job, _ in news)
            ended, ordered = await self._advance(connection, changed)
        self._changes.touch(*changed)
        self._changes.end(*ended)
        if ordered:
            self._wake()
        return taken

    async def unwoken(self, node: str, said: Mapping[str, Reason]) -> None:
        """This server could not wake a child of its own for these jobs."""
        async with self._region.db.write() as connection:
            for job, reason in said.items():
                await unwoken.note(connection, job, {node: reason}, self._region.clock())

    async def _advance(self, connection: AsyncConnection, changed: Iterable[str]) -> tuple[set[str], bool]:
        """Tell the machines of these jobs: which of them have ended, and whether anything was ordered."""
        ended: set[str] = set()
        ordered = False
        for name in changed:
            job = await job_rows.find(connection, name)
            if job is not None:
                counts = await job_rows.counts(connection, name)
                await job_rows.advance(self._region, connection, job, Counted(counts))
                ordered |= await sets.look(self._region, connection, job)
                if all(STATES.get(state) for state in counts):
                    ended.add(name)
        return ended, ordered

    async def _proofs(self, records: Sequence[StatusRecord]) -> dict[int, Proof]:
        """By `id` of each final record that may be news: whether it is proved, outside of any transaction."""
        finals = [record for record in records if is_final(record)]
        if not finals:
            return {}
        async with self._region.db.read() as connection:
            held = await _rows(connection, finals)
            keys = await _keys(connection, finals)
        asked = [
            record
            for record in finals
            if (row := held.get((record.job, record.target))) is not None and not _is_old(standing(row), record)
        ]
        found = await prove(asked, keys)
        return {id(record): proof for record, proof in zip(asked, found, strict=True)}

    def _merged(
        self,
        rows: dict[Place, RowMapping],
        records: Sequence[StatusRecord],
        proofs: dict[int, Proof],
        keys: dict[str, Key],
    ) -> dict[Place, dict[str, Any]]:
        """What the rows are to hold, of those that change."""
        held = {place: standing(row) for place, row in rows.items()}
        news: dict[Place, Standing] = {}
        for record in records:
            place = (record.job, record.target)
            before = news.get(place) or held.get(place)
            if before is None:
                continue
            proved = False
            if is_final(record):
                if _is_old(before, record):
                    continue
                proof = proofs.get(id(record))
                if proof is None or proof.reason or proof.key != keys.get(record.target):
                    self._refuse(record, proof)
                    continue
                proved = True
            after = merge(before, record, proved=proved)
            if after is not None:
                news[place] = after
        return {place: _values(after, rows[place]) for place, after in news.items()}

    def _refuse(self, record: StatusRecord, proof: Proof | None) -> None:
        self.refused += 1
        reason = proof.reason if proof is not None else ""
        reason = reason or "the node's key changed while it came"
        _log.warning("receipt refused", job=record.job, node=record.target, reason=reason, cause=record.job)

    async def _take_hop(self, connection: AsyncConnection, job: Job, record: StatusRecord) -> bool:
        node = await nodes.find(connection, record.target)
        if node is None or node.role != "gateway":
            return False
        which = (hops.c.job == job.id) & (hops.c.node == record.target)
        held = (await connection.execute(select(hops).where(which))).mappings().one_or_none()
        key = {"revision": record.revision, "attempt": record.attempt, "seq": record.seq}
        values = {**key, "state": record.state, "done": record.done, "total": record.total, "at": record.at}
        values["why"] = record.detail[:_MAX_WHY]
        await unwoken.hear(connection, job.id, record.target, record.detail[:_MAX_WHY], self._region.clock())
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


async def _rows(connection: AsyncConnection, records: Sequence[StatusRecord]) -> dict[Place, RowMapping]:
    """The rows of the targets that these speak of."""
    names: dict[str, dict[str, None]] = {}
    for record in records:
        names.setdefault(record.job, {})[record.target] = None
    found: dict[Place, RowMapping] = {}
    for job, mine in names.items():
        for some in _parts(mine):
            query = select(targets).where(targets.c.job == job, targets.c.node.in_(some))
            found.update({(job, row["node"]): row for row in (await connection.execute(query)).mappings()})
    return found


async def _keys(connection: AsyncConnection, records: Sequence[StatusRecord]) -> dict[str, Key]:
    """The present keys of those whose final words these are."""
    found: dict[str, Key] = {}
    for some in _parts({record.target: None for record in records if is_final(record)}):
        c = nodes_table.c
        query = select(c.name, c.public_key, c.generation).where(c.name.in_(some), c.state == "joined")
        found.update({row.name: Key(row.public_key, row.generation) for row in await connection.execute(query)})
    return found


def _parts(names: Iterable[str]) -> Iterator[list[str]]:
    """So many names at a time, for a statement has only so many values."""
    left = iter(names)
    while some := list(islice(left, _NAMES)):
        yield some


async def _write(connection: AsyncConnection, news: dict[Place, dict[str, Any]]) -> None:
    if news:
        which = (targets.c.job == bindparam("of_job")) & (targets.c.node == bindparam("of_node"))
        rows = [{"of_job": job, "of_node": node, **values} for (job, node), values in news.items()]
        await connection.execute(update(targets).where(which), rows)


def _is_old(held: Standing, record: StatusRecord) -> bool:
    """Whether a final record tells nothing that is not proved already."""
    return held.proved and (record.revision, record.attempt, record.seq) <= (held.revision, held.attempt, held.seq)


def _values(new: Standing, row: RowMapping) -> dict[str, Any]:
    return {
        "state": new.state,
        "code": new.code[:64],
        "detail": new.detail[:_MAX_DETAIL],
        "revision": new.revision,
        "attempt": new.attempt,
        "seq": new.seq,
        "done": new.done,
        "total": new.total,
        "at": new.at,
        "since": new.at if new.state != row["state"] else row["since"],
        "proved": new.proved,
        "receipt": new.receipt,
        "signature": new.signature,
        "owner": new.owner if read(new.owner) else "",
    }


def standing(row: RowMapping) -> Standing:
    """What a row of targets holds."""
    return Standing(
        state=row["state"],
        revision=row["revision"],
        attempt=row["attempt"],
        seq=row["seq"],
        code=row["code"],
        detail=row["detail"],
        owner=row["owner"],
        done=row["done"],
        total=row["total"],
        at=row["at"],
        proved=row["proved"],
        receipt=row["receipt"],
        signature=row["signature"],
    )
