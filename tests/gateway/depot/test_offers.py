"""Patches heard of: kept over restarts, few, without nonsense, and belonging to their package."""

from __future__ import annotations

from pathlib import Path

from tests.support.depots import opened
from tests.support.hop import order_for
from tests.support.sealed import like_code, offer_of, sealed, shifted

from tiercast_gateway.depot.offers import MOST, WITH_AN_ORDER, Offers, waiting_children
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.messages import PatchOffer


def d(n: int) -> bytes:
    return n.to_bytes(32, "big")


def offer(base: int, result: int, *, size: int = 10) -> PatchOffer:
    return PatchOffer(base=d(base), result=d(result), patch=d(base * 1000 + result), size=size, plain=1000)


async def test_what_was_heard_is_kept_over_a_restart(db: Database) -> None:
    first = Offers(db)
    assert await first.learn([offer(1, 2), offer(2, 3)]) == [offer(1, 2), offer(2, 3)]
    assert await first.learn([offer(1, 2)]) == []
    assert await first.learn([offer(1, 2, size=5)]) == [offer(1, 2, size=5)]
    again = Offers(db)
    await again.load()
    for offers in (first, again):
        assert offers.leading_to(d(3)) == [offer(2, 3), offer(1, 2, size=5)]
        assert offers.leading_to(d(1)) == []
        assert offers.leads_to(d(2))
    await again.forget(d(3))
    assert not again.leads_to(d(3))
    third = Offers(db)
    await third.load()
    assert third.leading_to(d(2)) == [offer(1, 2, size=5)]
    assert not third.leads_to(d(3))


async def test_few_are_kept_and_fewer_go_with_an_order(db: Database) -> None:
    offers = Offers(db)
    for at in range(0, MOST + 100, 100):
        await offers.learn([offer(n + 10, 1) for n in range(at, at + 100)])
    assert await db.read(lambda c: c.execute("SELECT count(*) FROM patch_offers").fetchone()[0]) == MOST
    assert len(offers.leading_to(d(1))) == WITH_AN_ORDER


async def test_nonsense_is_not_kept(db: Database) -> None:
    offers = Offers(db)
    short = PatchOffer(base=b"x", result=d(1), patch=d(2), size=1, plain=1)
    assert await offers.learn([short, offer(1, 1), offer(1, 2, size=-1), offer(1, 2, size=1 << 60)]) == []


async def test_children_that_wait_for_a_package(db: Database) -> None:
    key = PrivateKey.generate()
    bundle = order_for(key, {"a": b"a" * 32}, root=d(7))
    await db.write(
        lambda c: c.execute(
            "INSERT INTO orders(job, revision, type, package, version, package_revision, root, expires, signed,"
            " signature, cause, open) VALUES ('j1', 1, 'install', 'p', '1', 1, ?, 9, ?, x'', '', 1)",
            (d(7), bundle.order),
        )
    )
    await db.write(lambda c: c.execute("INSERT INTO order_targets VALUES ('j1', 1, 'a', 0, x'', 'via-a', 0)"))
    await db.write(lambda c: c.execute("INSERT INTO order_targets VALUES ('j1', 1, 'b', 0, x'', '', 0)"))
    assert await db.read(lambda c: waiting_children(c, d(7))) == ["via-a"]
    assert await db.read(lambda c: waiting_children(c, d(8))) == []


async def test_the_chunks_of_a_patch_stay_and_go_with_the_package(tmp_path: Path, db: Database) -> None:
    old = {f"tool-{n}": like_code(n, 300_000) for n in range(2)}
    base = sealed(tmp_path, old, "1")
    result = sealed(tmp_path, {path: shifted(data, 3, 20) for path, data in old.items()}, "2")
    made, chunks = offer_of(base, result)
    offers = Offers(db)
    await offers.learn([made])
    async with DiskStore.open(tmp_path / "other", reserve=0) as store:
        assert await offers.chunks_of(result.digest, store) == {made.patch}
        for digest, stored in chunks.items():
            await store.put(digest, stored)
        assert await offers.chunks_of(result.digest, store) == set(chunks)
        assert await offers.chunks_of(base.digest, store) == set()
    needed = {result.digest}
    async with opened(tmp_path, db, needed, patches=lambda root: offers.chunks_of(root, depot.store)) as depot:
        for digest, stored in (result.chunks | chunks).items():
            await depot.put(digest, stored)
        await depot.know(result.digest, "app", "2", 1)
        await depot.room.make(1 << 40)
        assert all(depot.size(digest) for digest in chunks)
        needed.clear()
        await depot.room.make(1 << 40)
        assert not any(depot.size(digest) for digest in chunks)
