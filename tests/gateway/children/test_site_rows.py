"""Rows of site-held jobs."""

from __future__ import annotations

from functools import partial

from tests.gateway.children.test_sitegroups import site_order

from tiercast_gateway.children import site_rows
from tiercast_gateway.children.site_rows import SiteJob
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec


def a_job(revision: int = 1) -> SiteJob:
    message = site_order(revision=revision)
    order = codec.decode(message.order, Order)
    return SiteJob(order, message.order, message.signature, message.vouchers[0], "c")


async def test_the_later_revision_stands_and_what_is_over_is_forgotten(db: Database) -> None:
    assert await db.write(lambda c: site_rows.keep(c, a_job(2)))
    assert not await db.write(lambda c: site_rows.keep(c, a_job(1)))
    (found,) = await db.write(lambda c: site_rows.load(c, "berlin", 0))
    assert (found.order.revision, found.leaf.node, found.cause) == (2, "berlin", "c")
    await db.write(lambda c: site_rows.end(c, "j1", 2))
    assert await db.write(lambda c: site_rows.load(c, "berlin", 0)), "of an earlier revision"
    await db.write(lambda c: site_rows.end(c, "j1", 3))
    assert await db.write(lambda c: site_rows.load(c, "berlin", 0)) == []
    await db.write(lambda c: site_rows.load(c, "berlin", found.order.expires))
    assert await db.write(lambda c: site_rows.keep(c, a_job(1))), "it was forgotten"


async def test_who_was_added_is_said_once_and_again_to_another_parent(db: Database) -> None:
    await db.write(lambda c: site_rows.keep(c, a_job()))
    for _ in range(2):
        await db.write(lambda c: site_rows.add(c, "j1", 1, 5, [("a", b"v", b"s")]))
    rows = await db.read(lambda c: site_rows.untold(c, 9))
    assert [row[:2] for row in rows] == [("j1", "a")]
    assert await db.read(site_rows.unordered) == {"j1": [("a", b"v", b"s")]}
    await db.write(partial(site_rows.told, rows))
    assert await db.read(lambda c: site_rows.untold(c, 9)) == []
    await db.write(site_rows.untell)
    assert len(await db.read(lambda c: site_rows.untold(c, 9))) == 1
    assert await db.read(partial(site_rows.targets, "j1", "tool", 0)) == {"a"}
