"""What a breaker counts, and takes back, as rows.

Rules
- Functions of a connection, to be run as units of `Database`.
- Whether an end counts against the package is written with the record that says so, in one commit: counting reads no
  records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from sqlite3 import Connection

from tiercast_protocol.content.jobs.breaker import BAD
from tiercast_protocol.wire.messages import StatusRecord

SCHEMA = """
CREATE TABLE bad_ends(job TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY(job, target)) WITHOUT ROWID;
"""


def note(c: Connection, records: Iterable[StatusRecord]) -> None:
    """These records stand now."""
    for record in records:
        row = (record.job, record.target)
        if record.state in BAD:
            c.execute("INSERT INTO bad_ends(job, target) VALUES (?, ?) ON CONFLICT DO NOTHING", row)
        else:
            c.execute("DELETE FROM bad_ends WHERE job = ? AND target = ?", row)


def counts(jobs: Sequence[str], c: Connection) -> tuple[int, int]:
    """Of these jobs: how many targets below ended badly, and how many there are."""
    bad = total = 0
    for job in jobs:
        bad += c.execute(
            "SELECT count(*) FROM bad_ends e WHERE e.job = ? AND EXISTS"
            " (SELECT 1 FROM order_targets t WHERE t.job = e.job AND t.node = e.target)",
            (job,),
        ).fetchone()[0]
        total += c.execute("SELECT count(DISTINCT node) FROM order_targets WHERE job = ?", (job,)).fetchone()[0]
    return bad, total


def known_jobs(c: Connection) -> set[str]:
    """Every job of which an order is here; what is noted of others is forgotten."""
    known = {row[0] for row in c.execute("SELECT DISTINCT job FROM orders")}
    c.execute("DELETE FROM bad_ends WHERE job NOT IN (SELECT job FROM orders)")
    return known


def withdraw(jobs: Sequence[str], c: Connection) -> int:
    """Take orders of these jobs out of the outbox that no child has acknowledged; how many targets wait again."""
    count = 0
    for job in jobs:
        peers = c.execute("DELETE FROM outbox WHERE kind = 'order.v1' AND cause = ? RETURNING peer", (job,)).fetchall()
        for peer in {row[0] for row in peers}:
            count += c.execute(
                "UPDATE order_targets SET via = '' WHERE job = ? AND via = ? AND NOT EXISTS (SELECT 1 FROM statuses s"
                " WHERE s.job = order_targets.job AND s.target = order_targets.node"
                " AND s.revision >= order_targets.revision AND s.final = 1)",
                (job, peer),
            ).rowcount
    return count
