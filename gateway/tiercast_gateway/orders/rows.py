"""Orders and their targets as rows: what is written down, closed and forgotten.

Rules
- Functions of a connection, to be run as units of `Database`; who is told of what they did is for `Orders`.
- A later revision of a job replaces the earlier ones for the targets that it names (a cancel of all: for all); for
  others an earlier one still counts, whenever it comes.
- A job is over here when every target below has said something final, or when its order expired.
"""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

from tiercast_protocol.content.jobs.order import CANCEL, SOME, Order
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import OrderBundle, OrderTarget

#: Orders of a job of which every target below has ended.
_ALL_FINAL = (
    "job = ? AND NOT EXISTS (SELECT 1 FROM order_targets t LEFT JOIN statuses s ON s.job = t.job"
    " AND s.target = t.node AND s.revision >= t.revision AND s.final = 1"
    " WHERE t.job = orders.job AND t.revision = orders.revision AND s.job IS NULL)"
)


#: Targets that a group has woken for every job.
WAKES = """
ALTER TABLE order_targets ADD COLUMN wake INTEGER NOT NULL DEFAULT 0;
CREATE INDEX order_targets_wake ON order_targets(job) WHERE wake = 1;
"""


def is_cancel_of_all(order: Order) -> bool:
    """Whether it ends the job for all its targets."""
    return order.type == CANCEL and order.options.get(SOME) is not True


def current(c: Connection, order: Order, bundle: OrderBundle) -> list[OrderTarget]:
    """Those of its targets for whom no later revision is known."""
    key = (order.job, order.revision)
    later = c.execute("SELECT signed FROM orders WHERE job = ? AND revision > ?", key).fetchall()
    if any(is_cancel_of_all(codec.decode(row[0], Order)) for row in later):
        return []
    named = {row[0] for row in c.execute("SELECT node FROM order_targets WHERE job = ? AND revision > ?", key)}
    return [target for target in bundle.targets if target.node not in named]


def keep(c: Connection, order: Order, bundle: OrderBundle, cause: str, *, own: bool) -> list[Order] | None:
    """Write the order and its targets; the earlier revisions that it replaces, or None where it is outdated."""
    key = (order.job, order.revision)
    targets = current(c, order, bundle)
    if not targets:
        return None
    c.execute(
        "INSERT INTO orders(job, revision, type, package, version, package_revision, root, expires, signed, signature,"
        " cause, open, own) VALUES (?,?,?,?,?,?,?,?,?,?,?,1,?)"
        " ON CONFLICT(job, revision) DO UPDATE SET own = max(own, excluded.own)",
        (
            *key,
            order.type,
            order.package,
            order.version,
            order.package_revision,
            order.root,
            order.expires,
            bundle.order,
            bundle.signature,
            cause,
            int(own),
        ),
    )
    new = c.executemany(
        "INSERT INTO order_targets(job, revision, node, place, proof, wake) VALUES (?,?,?,?,?,?)"
        " ON CONFLICT DO NOTHING",
        [(*key, t.node, t.index, codec.encode(t.proof), t.wake) for t in targets],
    ).rowcount
    if new > 0:  # it may have been over for all that were below before
        c.execute("UPDATE orders SET open = 1 WHERE job = ? AND revision = ?", key)
    c.execute(
        "DELETE FROM order_targets WHERE job = ? AND revision < ? AND node IN"
        " (SELECT node FROM order_targets WHERE job = ? AND revision = ?)",
        (order.job, order.revision, *key),
    )
    where = (
        "job = ? AND revision < ? AND NOT EXISTS (SELECT 1 FROM order_targets t"
        " WHERE t.job = orders.job AND t.revision = orders.revision)"
    )
    if order.type == CANCEL:
        # A cancel of some ends what it names: for those of the others that are not over, the order stands.
        where = "job = ? AND revision < ?" if is_cancel_of_all(order) else f"{_ALL_FINAL} AND revision < ?"
    return close(c, where, key)


def close(c: Connection, where: str, values: tuple[Any, ...]) -> list[Order]:
    """Close the open orders that match; which they were."""
    rows = c.execute(f"SELECT signed, job, revision FROM orders WHERE open = 1 AND {where}", values).fetchall()  # noqa: S608 - constants
    c.executemany("UPDATE orders SET open = 0 WHERE job = ? AND revision = ?", [row[1:] for row in rows])
    c.executemany("DELETE FROM order_targets WHERE job = ? AND revision = ? AND via = ''", [row[1:] for row in rows])
    return [codec.decode(row[0], Order) for row in rows]


def close_if_final(job: str, c: Connection) -> list[Order]:
    """Close the orders of `job` of which every target below has ended; which they were."""
    return close(c, _ALL_FINAL, (job,))


def unpass(c: Connection, nodes: list[str], via: str) -> int:
    """Have targets passed on again that went another way than `via` and said nothing final; how many."""
    count = 0
    for node in nodes:
        count += c.execute(
            "UPDATE order_targets SET via = '' WHERE node = ? AND via NOT IN ('', ?) AND EXISTS (SELECT 1 FROM orders o"
            " WHERE o.job = order_targets.job AND o.revision = order_targets.revision AND o.open = 1)"
            " AND NOT EXISTS (SELECT 1 FROM statuses s WHERE s.job = order_targets.job AND s.target = node"
            " AND s.revision >= order_targets.revision AND s.final = 1)",
            (node, via),
        ).rowcount
    return count


def drop(c: Connection, nodes: list[str]) -> list[Order]:
    """Forget these targets; the orders that are for nobody below any more."""
    c.executemany("DELETE FROM order_targets WHERE node = ?", [(node,) for node in nodes])
    return close(
        c,
        "NOT EXISTS (SELECT 1 FROM order_targets t WHERE t.job = orders.job AND t.revision = orders.revision)",
        (),
    )


def passed(rows: list[tuple[str, str, int, str]], c: Connection) -> None:
    """Write down through which child each of these (child, job, revision, node) was passed on."""
    c.executemany("UPDATE order_targets SET via = ? WHERE job = ? AND revision = ? AND node = ?", rows)


def forget(c: Connection, before: int) -> None:
    """Forget what was closed and expired before `before` (milliseconds since 1970)."""
    rows = c.execute("SELECT job, revision FROM orders WHERE open = 0 AND expires < ?", (before,)).fetchall()
    c.executemany("DELETE FROM order_targets WHERE job = ? AND revision = ?", rows)
    c.executemany("DELETE FROM orders WHERE job = ? AND revision = ?", rows)
    c.executemany("DELETE FROM statuses WHERE job = ? AND revision <= ? AND told = 1", rows)


def waiting(c: Connection, job: str | None) -> list[tuple[Any, ...]]:
    """Open orders with targets that were not passed on: all columns of `_pass_one`."""
    which = "" if job is None else " AND o.job = ?"
    rows = c.execute(
        "SELECT o.job, o.revision, o.signed, o.signature, o.cause, o.expires, t.node, t.place, t.proof,"  # noqa: S608 - constants
        " m.voucher, m.signature, t.wake FROM order_targets t JOIN orders o USING (job, revision)"
        " LEFT JOIN site_members m ON m.job = t.job AND m.node = t.node AND m.revision = t.revision"
        " WHERE t.via = '' AND o.open = 1" + which,
        () if job is None else (job,),
    ).fetchall()
    found: dict[tuple[str, int], tuple[Any, ...]] = {}
    for row in rows:
        entry = found.setdefault(row[:2], (*row[:6], []))
        proof = codec.decode(row[8], list[bytes])
        vouched = {"voucher": row[9] or b"", "signature": row[10] or b""}
        entry[6].append(OrderTarget(node=row[6], index=row[7], proof=proof, wake=bool(row[11]), **vouched))
    return list(found.values())


def shown(c: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest orders, with the names of those targets that wait for a way."""
    names = ("job", "revision", "type", "package", "version", "expires", "open")
    rows = c.execute(f"SELECT {', '.join(names)} FROM orders ORDER BY expires DESC LIMIT ?", (limit,)).fetchall()  # noqa: S608 - constants
    found: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in rows]
    for order in found:
        key = (order["job"], order["revision"])
        order["open"] = bool(order["open"])
        order["targets"] = c.execute(
            "SELECT count(*) FROM order_targets WHERE job = ? AND revision = ?", key
        ).fetchone()[0]
        order["waiting"] = [
            row[0]
            for row in c.execute(
                "SELECT node FROM order_targets WHERE job = ? AND revision = ? AND via = '' LIMIT 100", key
            )
        ]
    return found
