"""Orders are kept, split, passed on, replaced, closed."""

from __future__ import annotations

import time

import pytest
from tests.support.hop import order_for

from tiercast_gateway.children.routes import Routes
from tiercast_gateway.orders.orders import Orders, OwnOrder
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.node.database import Database, Unit
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import Message, OrderBundle, PatchOffer, StatusRecord

KEY = PrivateKey.generate()
ROOT = b"r" * 32
OFFER = PatchOffer(base=b"o" * 32, result=ROOT, patch=b"p" * 32, size=10, plain=100)


class FakePost:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.sent: list[tuple[str, list[str], str]] = []
        self.offers: list[PatchOffer] = []

    async def send(self, peer: str, message: Message, *, to: str = "", cause: str = "", expires: int = 0) -> bytes:
        assert isinstance(message, OrderBundle)
        assert expires > 0
        self.sent.append((peer, [target.node for target in message.targets], cause))
        self.offers += message.offers
        return b""

    async def send_all(
        self, messages: list[tuple[str, Message]], *, cause: str = "", expires: int = 0, also: Unit[None]
    ) -> None:
        for peer, message in messages:
            await self.send(peer, message, cause=cause, expires=expires)
        await self.db.write(also)


class Room:
    def __init__(self, db: Database, routes: Routes) -> None:
        self.post, self.own, self.changes = FakePost(db), list[OwnOrder](), list[tuple[str, int, bool]]()
        self.orders = Orders(
            me="me",
            region="test",
            region_key=KEY.public,
            db=db,
            post=self.post,  # type: ignore[arg-type] - what it needs of it
            routes=routes,
            do=self.own.append,
            changed=self.changed,
            passed=lambda _job: [],
            offers=lambda root: [OFFER] if root == OFFER.result else [],
        )

    def changed(self, order: Order, open_: bool) -> None:
        self.changes.append((order.job, order.revision, open_))


@pytest.fixture
async def room(db: Database, routes: Routes) -> Room:
    for node, via in (("a", "a"), ("b", "b"), ("b1", "b"), ("b2", "b")):
        await routes.learn(node, via)
    return Room(db, routes)


async def say_final(db: Database, job: str, target: str, revision: int = 1) -> None:
    record = StatusRecord(job=job, revision=revision, target=target, attempt=1, seq=1, state="done", at=1)
    values = (job, target, revision, codec.encode(record))
    await db.write(lambda c: c.execute("INSERT INTO statuses VALUES (?, ?, ?, 1, 1, 1, 0, ?)", values))


def nodes(*names: str) -> dict[str, bytes]:
    return {name: name.encode() * 32 for name in names}


async def test_each_child_gets_its_own_targets_once(room: Room) -> None:
    bundle = order_for(KEY, {"a": b"a" * 32, "b1": b"b" * 32, "b2": b"b" * 32}, root=ROOT)
    for _ in range(2):
        assert await room.orders.take(bundle, "cause") is not None
    assert room.post.sent == [("a", ["a"], "cause"), ("b", ["b1", "b2"], "cause")]
    assert await room.orders.needed() == {ROOT}


async def test_an_order_for_content_carries_the_patches_that_lead_there(room: Room) -> None:
    await room.orders.take(order_for(KEY, {"a": b"a" * 32}, root=b"x" * 32), "")
    assert room.post.offers == []
    await room.orders.take(order_for(KEY, {"a": b"a" * 32}, root=ROOT, revision=2), "")
    assert room.post.offers == [OFFER]
    await room.orders.take(order_for(KEY, {"a": b"a" * 32}, root=ROOT, revision=3, type_="remove"), "")
    assert room.post.offers == [OFFER]


async def test_it_is_closed_when_the_last_target_ended(room: Room, db: Database) -> None:
    await room.orders.take(order_for(KEY, {"a": b"a" * 32, "b1": b"b" * 32}, root=ROOT), "")
    await say_final(db, "j1", "a")
    await room.orders.settle({"j1"})
    assert await room.orders.needed() == {ROOT}
    await say_final(db, "j1", "b1")
    await room.orders.settle({"j1"})
    assert await room.orders.needed() == set()
    assert room.changes == [("j1", 1, True), ("j1", 1, False)]


async def test_a_cancel_replaces_the_order_and_an_older_revision_comes_too_late(room: Room) -> None:
    first = order_for(KEY, {"a": b"a" * 32, "late": b"l" * 32}, root=ROOT)
    await room.orders.take(first, "")
    cancel = order_for(KEY, {"a": b"a" * 32}, type_="cancel", revision=2)
    await room.orders.take(cancel, "")
    assert await room.orders.needed() == set()
    assert await room.orders.take(first, "") is None
    assert [sent[:2] for sent in room.post.sent] == [("a", ["a"]), ("a", ["a"])]
    assert room.changes[-2:] == [("j1", 1, False), ("j1", 2, True)]


async def test_a_cancel_of_some_leaves_the_order_to_the_others(room: Room, db: Database) -> None:
    await room.orders.take(order_for(KEY, {"a": b"a" * 32, "b1": b"b" * 32, "late": b"l" * 32}, root=ROOT), "")
    cancel = order_for(KEY, {"a": b"a" * 32, "late": b"l" * 32}, type_="cancel", revision=2, options={"some": True})
    await room.orders.take(cancel, "")
    assert await room.orders.needed() == {ROOT}, "b1 is still to install it"
    assert await room.orders.awaited() == {"j1": ["b"]}
    await say_final(db, "j1", "b1")
    await room.orders.settle({"j1"})
    assert await room.orders.needed() == set()


async def test_a_cancel_of_the_last_that_is_open_closes_the_order(room: Room, db: Database) -> None:
    await room.orders.take(order_for(KEY, {"a": b"a" * 32, "b1": b"b" * 32}, root=ROOT), "")
    await say_final(db, "j1", "b1")
    cancel = order_for(KEY, {"a": b"a" * 32}, type_="cancel", revision=2, options={"some": True})
    await room.orders.take(cancel, "")
    assert await room.orders.needed() == set()


async def test_an_earlier_revision_still_counts_for_whom_no_later_one_names(room: Room, db: Database) -> None:
    await room.orders.take(order_for(KEY, {"a": b"a" * 32}, root=ROOT), "")
    await say_final(db, "j1", "a")
    await room.orders.settle({"j1"})
    later = order_for(KEY, {"b1": b"b" * 32}, root=ROOT, revision=2)
    await room.orders.take(later, "")
    again = order_for(KEY, {"a": b"a" * 32, "b1": b"b" * 32, "b2": b"b" * 32}, root=ROOT)
    assert await room.orders.take(again, "") is not None, "b2 came from elsewhere, with what it was ordered there"
    assert [sent[:2] for sent in room.post.sent] == [("a", ["a"]), ("b", ["b1"]), ("b", ["b2"])]
    assert await room.orders.take(order_for(KEY, {"b1": b"b" * 32}, root=ROOT), "") is None
    await room.orders.take(order_for(KEY, {"b2": b"b" * 32}, type_="cancel", revision=3), "")
    assert await room.orders.take(order_for(KEY, {"late": b"l" * 32}, root=ROOT, revision=2), "") is None


async def test_what_this_node_is_a_target_of_is_done_here_until_it_is_done(
    room: Room, db: Database, routes: Routes
) -> None:
    await room.orders.take(order_for(KEY, {"me": b"m" * 32}, type_="preload", root=ROOT), "why")
    assert [(own.order.job, own.target.node, own.cause) for own in room.own] == [("j1", "me", "why")]
    assert room.post.sent == []
    again = Room(db, routes)
    await again.orders.load()
    assert len(again.own) == 1
    await again.orders.own_done(again.own[0].order)
    third = Room(db, routes)
    await third.orders.load()
    assert third.own == []


async def test_what_was_kept_and_not_passed_on_before_a_kill_is_passed_on_after_it(
    room: Room, db: Database, routes: Routes
) -> None:
    await room.orders.take(order_for(KEY, {"late": b"l" * 32}, root=ROOT), "")
    await routes.learn("late", "b")
    again = Room(db, routes)
    await again.orders.load()
    assert again.post.sent == [("b", ["late"], "")]
    assert again.changes == [("j1", 1, True)]


async def test_expired_orders_are_closed_and_at_last_forgotten(room: Room) -> None:
    await room.orders.take(order_for(KEY, {"a": b"a" * 32}, root=ROOT, expires_s=-1), "")
    assert await room.orders.list() == []
    await room.orders.take(order_for(KEY, {"a": b"a" * 32}, root=ROOT), "")
    later = time.time_ns() // 1_000_000 + 3_601_000
    await room.orders.expire(later)
    assert room.changes[-1] == ("j1", 1, False)
    assert [(order["job"], order["open"]) for order in await room.orders.list()] == [("j1", False)]
    await room.orders.expire(later + 31 * 86_400_000)
    assert await room.orders.list() == []


async def test_only_the_regions_signature_counts(room: Room) -> None:
    with pytest.raises(SignatureInvalid):
        await room.orders.take(order_for(PrivateKey.generate(), {"a": b"a" * 32}, root=ROOT), "")
