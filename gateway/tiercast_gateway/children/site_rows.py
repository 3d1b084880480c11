"""Site-held jobs as rows: their orders, and whom this gateway added (docs/protocol.md, section 14).

Rules
- Functions of a connection, to be run as units of `Database`.
- Who was added is written down, with the voucher, before anybody hears of it, above or below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Connection

from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.jobs.regrouped import Regrouped
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import OrderTarget
from tiercast_protocol.wire.site import Vouched

SCHEMA = """
CREATE TABLE site_orders(
    job TEXT PRIMARY KEY, revision INTEGER NOT NULL, expires INTEGER NOT NULL, signed BLOB NOT NULL,
    signature BLOB NOT NULL, place INTEGER NOT NULL, proof BLOB NOT NULL, cause TEXT NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE site_members(
    job TEXT NOT NULL, node TEXT NOT NULL, revision INTEGER NOT NULL, at INTEGER NOT NULL, told INTEGER NOT NULL,
    voucher BLOB NOT NULL, signature BLOB NOT NULL, PRIMARY KEY(job, node)) WITHOUT ROWID;
CREATE INDEX site_members_untold ON site_members(told) WHERE told = 0;
"""
#: What the region said of a job's groups since it was ordered.
DEFINITIONS = """
CREATE TABLE site_definitions(
    job TEXT PRIMARY KEY, at INTEGER NOT NULL, expires INTEGER NOT NULL, definition TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class SiteJob:
    """One row: the order, and this gateway's leaf of it."""

    order: Order
    signed: bytes
    signature: bytes
    leaf: OrderTarget
    cause: str


def keep(c: Connection, job: SiteJob) -> bool:
    """Write it, unless a later revision is known; whether it is news."""
    order = job.order
    values = (order.job, order.revision, order.expires, job.signed, job.signature)
    return (
        c.execute(
            "INSERT INTO site_orders(job, revision, expires, signed, signature, place, proof, cause)"
            " VALUES (?,?,?,?,?,?,?,?) ON CONFLICT(job) DO UPDATE SET revision = excluded.revision,"
            " expires = excluded.expires, signed = excluded.signed, signature = excluded.signature,"
            " place = excluded.place, proof = excluded.proof WHERE excluded.revision > site_orders.revision",
            (*values, job.leaf.index, codec.encode(job.leaf.proof), job.cause),
        ).rowcount
        > 0
    )


def end(c: Connection, job: str, revision: int) -> None:
    """Nobody joins it any more, as this revision says."""
    c.execute("UPDATE site_orders SET ended = 1 WHERE job = ? AND revision < ?", (job, revision))


def load(c: Connection, me: str, now: int) -> list[SiteJob]:
    """Those that are not over; what expired is forgotten."""
    over = "SELECT job FROM site_orders WHERE expires <= ?"
    c.execute(f"DELETE FROM site_members WHERE told = 1 AND job IN ({over})", (now,))  # noqa: S608 - constants
    c.execute("DELETE FROM site_orders WHERE expires <= ?", (now,))
    c.execute("DELETE FROM site_definitions WHERE expires <= ?", (now,))
    rows = c.execute("SELECT signed, signature, place, proof, cause FROM site_orders WHERE ended = 0").fetchall()
    return [
        SiteJob(
            codec.decode(signed, Order),
            signed,
            signature,
            OrderTarget(node=me, index=place, proof=codec.decode(proof, list[bytes])),
            cause,
        )
        for signed, signature, place, proof, cause in rows
    ]


def define(c: Connection, word: Regrouped) -> bool:
    """Keep whom the job means by now, unless something later is known; whether it is kept."""
    return (
        c.execute(
            "INSERT INTO site_definitions VALUES (?,?,?,?) ON CONFLICT(job) DO UPDATE SET at = excluded.at,"
            " expires = excluded.expires, definition = excluded.definition WHERE excluded.at >= site_definitions.at",
            (word.job, word.at, word.expires, word.definition),
        ).rowcount
        > 0
    )


def definitions(c: Connection) -> dict[str, str]:
    """What the region said since, by job."""
    return dict(c.execute("SELECT job, definition FROM site_definitions").fetchall())


def targets(job: str, package: str, issued: int, c: Connection) -> set[str]:
    """Who is a target of the job, or of a newer one about the same package, as far as it is known here."""
    found = {row[0] for row in c.execute("SELECT node FROM order_targets WHERE job = ?", (job,))}
    found |= {row[0] for row in c.execute("SELECT node FROM site_members WHERE job = ?", (job,))}
    if package:
        query = "SELECT DISTINCT job, signed FROM orders WHERE package = ? AND job != ?"
        for other, signed in c.execute(query, (package, job)).fetchall():
            if codec.decode(signed, Order).issued > issued:
                found |= {row[0] for row in c.execute("SELECT node FROM order_targets WHERE job = ?", (other,))}
    return found


def add(c: Connection, job: str, revision: int, at: int, vouched: Sequence[tuple[str, bytes, bytes]]) -> None:
    """These (node, voucher, signature) are added."""
    c.executemany(
        "INSERT INTO site_members(job, node, revision, at, told, voucher, signature) VALUES (?,?,?,?,0,?,?)"
        " ON CONFLICT DO NOTHING",
        [(job, node, revision, at, data, signature) for node, data, signature in vouched],
    )


def unordered(c: Connection) -> dict[str, list[tuple[str, bytes, bytes]]]:
    """By job: who was added and stands in no order, because a kill came between."""
    found: dict[str, list[tuple[str, bytes, bytes]]] = {}
    query = (
        "SELECT m.job, m.node, m.voucher, m.signature FROM site_members m JOIN site_orders s USING (job)"
        " WHERE s.ended = 0 AND NOT EXISTS (SELECT 1 FROM order_targets t WHERE t.job = m.job AND t.node = m.node)"
        " AND NOT EXISTS (SELECT 1 FROM statuses x WHERE x.job = m.job AND x.target = m.node)"
    )
    for job, *row in c.execute(query):
        found.setdefault(job, []).append((row[0], row[1], row[2]))
    return found


def untold(c: Connection, limit: int) -> list[tuple[str, str, Vouched]]:
    """Who was added and not said upward yet: job, node and voucher."""
    rows = c.execute("SELECT job, node, voucher, signature FROM site_members WHERE told = 0 LIMIT ?", (limit,))
    return [(job, node, Vouched(data=data, signature=signature)) for job, node, data, signature in rows]


def told(rows: Sequence[tuple[str, str, Vouched]], c: Connection) -> None:
    """These were put into the outbox upward."""
    c.executemany("UPDATE site_members SET told = 1 WHERE job = ? AND node = ?", [row[:2] for row in rows])


def untell(c: Connection) -> None:
    """All is to be said again: another parent may not know it."""
    c.execute("UPDATE site_members SET told = 0")


def machines(nodes: Sequence[str], c: Connection) -> dict[str, tuple[int, int, bytes, bytes]]:
    """What these said of themselves: generation, number, bytes, signature."""
    found: dict[str, tuple[int, int, bytes, bytes]] = {}
    for node in nodes:
        row = c.execute("SELECT generation, seq, data, signature FROM inventories WHERE node = ?", (node,)).fetchone()
        if row is not None:
            found[node] = (row[0], row[1], row[2], row[3])
    return found


def members(c: Connection, job: str) -> list[dict[str, object]]:
    """Who was added to a job here, since when, and whether that was said upward."""
    rows = c.execute("SELECT node, at, told FROM site_members WHERE job = ? ORDER BY node", (job,))
    return [{"node": node, "at": at, "told": bool(told_)} for node, at, told_ in rows]
