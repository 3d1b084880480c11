"""What a breaker counts in rows."""

from __future__ import annotations

from functools import partial

from tiercast_gateway.orders import breaker_rows
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.messages import StatusRecord


def record(target: str, state: str) -> StatusRecord:
    return StatusRecord(job="j1", revision=1, target=target, attempt=1, seq=1, state=state, at=1)


async def test_a_later_record_takes_back_that_it_was_bad(db: Database) -> None:
    row = "INSERT INTO order_targets(job, revision, node, place, proof) VALUES ('j1', ?, ?, 0, x'')"
    await db.write(lambda c: c.executemany(row, [(1, "a"), (2, "a"), (1, "b"), (1, "c")]))
    bad = [record("a", "failed"), record("b", "interrupted"), record("c", "done"), record("stranger", "rejected")]
    await db.write(lambda c: breaker_rows.note(c, bad))
    assert await db.read(partial(breaker_rows.counts, ["j1", "j2"])) == (2, 3)
    await db.write(lambda c: breaker_rows.note(c, [record("a", "fetching")]))
    assert await db.read(partial(breaker_rows.counts, ["j1"])) == (1, 3)
