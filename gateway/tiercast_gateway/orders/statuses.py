"""What every target below said of every job, merged and passed upward (docs/protocol.md, section 4).

Rules
- A record is (job, target, revision, attempt, seq); the highest of the last three wins, so duplicates,
  reordering and a change of parent change nothing.  Counts are computed from records, never added up.
- A child may speak for itself and for what is below it; anything else is dropped, and so is what the next tier
  could not keep: one such record would hold up all that is said beside it.
- A record is in this database before it is acknowledged, and stays marked until it is in the outbox
  upward: a final state is never lost, whatever is killed.
- Upward goes only what changed: final states at once, and those that follow closely gather (`gathering`), until they
  are the last of their job here; others at most once a second, and those only while the parent is there, so that a cut
  does not fill the outbox with progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from sqlite3 import Connection

import structlog

from tiercast_gateway.above import Above
from tiercast_gateway.children.routes import Routes
from tiercast_gateway.orders import breaker_rows
from tiercast_gateway.orders.gathering import MOST, PROGRESS_LEAST, Gathering, News
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import Status, StatusRecord, sound

log = structlog.get_logger(__name__)

Key = tuple[str, str]
#: Most bytes of records in one message: far below the codec's limit, receipts carry output.
_BATCH_BYTES = 512 << 10
_BATCH_RECORDS = 1000
_RANK = "(excluded.revision, excluded.attempt, excluded.seq) > (statuses.revision, statuses.attempt, statuses.seq)"


def is_final(record: StatusRecord) -> bool:
    """Whether nothing more is expected of the target at this revision."""
    return STATES.get(record.state, False)


class Statuses:
    """Records of the sub-tree; `on_final(jobs)` is called after final ones were committed.

    `gather` is how long final states wait at most while more and more come.
    """

    def __init__(
        self,
        db: Database,
        above: Above,
        routes: Routes,
        on_final: Callable[[set[str]], None],
        gather: float = MOST,
    ) -> None:
        self._db, self._above, self._routes = db, above, routes
        self._on_final = on_final
        self._dirty: dict[Key, bool] = {}
        self._changed = asyncio.Event()
        self._news = News.PROGRESS
        self._sooner = asyncio.Event()
        self._gathering = Gathering(gather)

    async def load(self) -> None:
        """Find what was not told upward before the last stop; once, at start."""
        rows = await self._db.read(
            lambda c: c.execute("SELECT job, target, final FROM statuses WHERE told = 0").fetchall()
        )
        for job, target, final in rows:
            self._mark((job, target), final=bool(final))

    async def take(self, peer: str, status: Status) -> None:
        """Merge what the child `peer` said; returns when it is committed."""
        good: list[StatusRecord] = []
        for record in status.records:
            if not sound(record):
                log.warning("status.unsound", peer=peer, target=record.target[:80], job=record.job[:80])
            elif record.target == peer or self._routes.below(record.target, peer):
                good.append(record)
            else:
                log.warning("status.foreign", peer=peer, target=record.target, job=record.job)
        await self._merge(good)

    async def own(self, record: StatusRecord) -> None:
        """This node's own word on a job."""
        await self._merge([record])

    async def records(self, job: str) -> list[StatusRecord]:
        """What is known of a job, by target."""
        rows = await self._db.read(
            lambda c: c.execute("SELECT record FROM statuses WHERE job = ? ORDER BY target", (job,)).fetchall()
        )
        return [codec.decode(row[0], StatusRecord) for row in rows]

    async def tell_again(self, targets: Iterable[str] | None = None) -> None:
        """Pass upward once more what is known of these targets (None: of all): there it may have been lost."""
        names = None if targets is None else list(targets)
        for key, final in await self._db.write(lambda c: _untell(c, names)):
            self._mark(key, final=final)

    async def run(self) -> None:
        """Pass upward what changed, until cancelled."""
        while True:
            await self._changed.wait()
            await self._gathered()
            now = time.monotonic()
            everything = self._above.connected and self._gathering.takes_progress(now)
            keys = [key for key, final in self._dirty.items() if final or everything]
            for key in keys:
                del self._dirty[key]
            self._news = News.PROGRESS
            if not self._dirty:
                self._changed.clear()
            if keys:
                below = await self._db.read(lambda c: _most_below(c, {job for job, _ in keys}))  # noqa: B023 - awaited here
                self._gathering.told(now, len(keys), progress=everything, below=below)
            await self._tell(keys)
            if not self._above.connected:
                await asyncio.sleep(PROGRESS_LEAST)

    async def _gathered(self) -> None:
        """Until what waits is due."""
        while (left := self._gathering.due(self._news) - time.monotonic()) > 0:
            self._sooner.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._sooner.wait()

    def last_came(self) -> None:
        """All targets of a job have ended: nothing more is gathered for."""
        self._expect(News.LAST)

    async def forget(self, jobs: Iterable[str]) -> None:
        """Drop the records of jobs that are over and told."""
        rows = [(job,) for job in jobs]
        await self._db.write(lambda c: c.executemany("DELETE FROM statuses WHERE told = 1 AND job = ?", rows))

    async def _merge(self, records: list[StatusRecord]) -> None:
        if not records:
            return
        changed = await self._db.write(lambda c: _upsert(c, records))
        for record in changed:
            self._mark((record.job, record.target), final=is_final(record), bad=record.state != "done")
        finals = {record.job for record in changed if is_final(record)}
        if finals:
            self._on_final(finals)

    def _mark(self, key: Key, *, final: bool, bad: bool = False) -> None:
        self._dirty[key] = final or self._dirty.get(key, False)
        self._changed.set()
        if final:
            self._expect(News.BAD if bad else News.DONE)

    def _expect(self, news: News) -> None:
        if news > self._news:
            self._news = news
            self._sooner.set()

    async def _tell(self, keys: list[Key]) -> None:
        batch: list[StatusRecord] = []
        size = 0
        for record in await self._db.read(lambda c: _select(c, keys)):
            weight = len(record.receipt) + len(record.detail) + 256
            if batch and (size + weight > _BATCH_BYTES or len(batch) >= _BATCH_RECORDS):
                await self._tell_batch(batch)
                batch, size = [], 0
            batch.append(record)
            size += weight
        if batch:
            await self._tell_batch(batch)

    async def _tell_batch(self, batch: list[StatusRecord]) -> None:
        await self._above.send(Status(records=batch), cause=batch[0].job if len({r.job for r in batch}) == 1 else "")
        rows = [(r.job, r.target, r.revision, r.attempt, r.seq) for r in batch]
        await self._db.write(
            lambda c: c.executemany(
                "UPDATE statuses SET told = 1"
                " WHERE job = ? AND target = ? AND revision = ? AND attempt = ? AND seq = ?",
                rows,
            )
        )


def _upsert(connection: Connection, records: list[StatusRecord]) -> list[StatusRecord]:
    """Write those records that win; which ones they were."""
    changed: list[StatusRecord] = []
    for r in records:
        cursor = connection.execute(
            "INSERT INTO statuses(job, target, revision, attempt, seq, final, told, record) VALUES (?,?,?,?,?,?,0,?)"  # noqa: S608 - constants
            " ON CONFLICT(job, target) DO UPDATE SET revision = excluded.revision, attempt = excluded.attempt,"
            " seq = excluded.seq, final = excluded.final, told = 0, record = excluded.record WHERE " + _RANK,
            (r.job, r.target, r.revision, r.attempt, r.seq, int(is_final(r)), codec.encode(r)),
        )
        if cursor.rowcount > 0:
            changed.append(r)
    breaker_rows.note(connection, changed)
    return changed


def _most_below(connection: Connection, jobs: set[str]) -> int:
    """How many targets below the largest of these jobs has."""
    query = "SELECT count(*) FROM order_targets WHERE job = ?"
    return max(int(connection.execute(query, (job,)).fetchone()[0]) for job in jobs)


def _untell(connection: Connection, targets: list[str] | None) -> list[tuple[Key, bool]]:
    """Mark records of open jobs as not told; which."""
    where = "job IN (SELECT job FROM orders WHERE expires > ?)"
    now = time.time_ns() // 1_000_000
    rows: list[tuple[str, str, int]] = []
    for values in [(now,)] if targets is None else [(now, target) for target in targets]:
        and_target = "" if targets is None else " AND target = ?"
        rows += connection.execute(
            f"UPDATE statuses SET told = 0 WHERE {where}{and_target} RETURNING job, target, final",  # noqa: S608 - constants
            values,
        ).fetchall()
    return [((job, target), bool(final)) for job, target, final in rows]


def _select(connection: Connection, keys: list[Key]) -> list[StatusRecord]:
    found: list[StatusRecord] = []
    for key in keys:
        row = connection.execute("SELECT record FROM statuses WHERE job = ? AND target = ?", key).fetchone()
        if row is not None:
            found.append(codec.decode(row[0], StatusRecord))
    return found
