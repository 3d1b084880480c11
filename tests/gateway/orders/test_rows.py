"""What is written down of orders: which revision counts for whom."""

from __future__ import annotations

from functools import partial

from tests.support.hop import order_for

from tiercast_gateway.orders import rows as order_rows
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import OrderBundle

KEY = PrivateKey.generate()


async def keep(db: Database, revision: int, *names: str, **more: object) -> list[int] | None:
    """Keep an order; the revisions that it replaced."""
    targets = {name: name.encode()[:1] * 32 for name in names}
    bundle: OrderBundle = order_for(KEY, targets, root=b"r" * 32, revision=revision, **more)  # type: ignore[arg-type]
    order = codec.decode(bundle.order, Order)
    replaced = await db.write(lambda c: order_rows.keep(c, order, bundle, "", own=False))
    return None if replaced is None else [one.revision for one in replaced]


async def waiting(db: Database) -> list[tuple[int, list[str]]]:
    rows = await db.read(partial(order_rows.waiting, job=None))
    return sorted((row[1], [target.node for target in row[6]]) for row in rows)


async def test_the_latest_revision_that_names_a_target_counts_for_it(db: Database) -> None:
    assert await keep(db, 1, "a", "b") == []
    assert await keep(db, 3, "b") == []
    assert await keep(db, 2, "b", "c") == [], "b has a later one, c has none"
    assert await waiting(db) == [(1, ["a"]), (2, ["c"]), (3, ["b"])]
    assert await keep(db, 2, "b") is None
    assert await keep(db, 4, "a") == [1], "nobody is left in the first"
    assert await keep(db, 5, "a", type_="cancel", options={"some": True}) == [4]
    assert await keep(db, 1, "d") == []
    assert await keep(db, 6, "b", type_="cancel") == [1, 2, 3, 5]
    assert await keep(db, 2, "e") is None, "all was cancelled"


async def test_an_order_that_was_over_is_open_for_whom_it_never_named_here(db: Database) -> None:
    await keep(db, 1, "a")
    await db.write(lambda c: order_rows.passed([("a", "j1", 1, "a")], c))
    await db.write(lambda c: order_rows.close(c, "job = ?", ("j1",)))
    await keep(db, 1, "a")
    assert await waiting(db) == []
    await keep(db, 1, "a", "b")
    assert await waiting(db) == [(1, ["b"])]
