"""Messages between neighbours over links that lose, repeat and reorder, and over restarts."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tiercast_protocol.errors import BrokerLost, MessageInvalid
from tiercast_protocol.node import delivery
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.post import SCHEMA, Post
from tiercast_protocol.wire.envelope import Envelope, open_, seal, wrap
from tiercast_protocol.wire.messages import Dismissed, Gone, OrderBundle, body_of


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - polled with a deadline
            await asyncio.sleep(0.002)


async def until_told(post: Post) -> None:
    async with asyncio.timeout(60):
        while await post.pending():  # noqa: ASYNC110 - polled with a deadline
            await asyncio.sleep(0.002)


class Wire:
    """Two posts, `a` and `b`, and what goes between them."""

    def __init__(self) -> None:
        self.posts: dict[str, Post] = {}
        self.sent: list[tuple[str, Envelope]] = []
        self.cut = False
        self.chance: Callable[[], int] = lambda: 1

    def transmit_of(self, me: str) -> Callable[[str, bytes], Awaitable[None]]:
        async def transmit(peer: str, payload: bytes) -> None:
            self.sent.append((peer, open_(payload)))
            if self.cut:
                raise BrokerLost("mqtt://x", "cut")
            await asyncio.sleep(0)
            for _ in range(self.chance()):
                if peer in self.posts:
                    await self.posts[peer].received(me, payload)

        return transmit

    @asynccontextmanager
    async def post(self, me: str, folder: Path) -> AsyncIterator[Post]:
        async with Database.open(folder / f"{me}.db", [(1, SCHEMA)]) as db:
            post = Post(db, me=me, transmit=self.transmit_of(me))
            self.posts[me] = post
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(post.run())
                try:
                    yield post
                finally:
                    del self.posts[me]
                    running.cancel()

    def kinds_to(self, peer: str) -> list[str]:
        return [e.kind for p, e in self.sent if p == peer]


def names(got: list[str]) -> Callable[[str, Envelope], Awaitable[None]]:
    async def handler(peer: str, envelope: Envelope) -> None:
        got.append(body_of(envelope, Dismissed).name)

    return handler


@asynccontextmanager
async def pair(folder: Path, wire: Wire) -> AsyncIterator[tuple[Post, Post]]:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(wire.post("a", folder))
        b = await stack.enter_async_context(wire.post("b", folder))
        yield a, b


async def test_delivered_in_order_and_acknowledged(tmp_path: Path) -> None:
    got: list[str] = []
    async with pair(tmp_path, wire := Wire()) as (a, b):
        b.on("node.dismissed.v1", names(got))
        a.peer_up("b")
        for n in range(200):
            await a.send("b", Dismissed(name=f"n{n}"))
        await until(lambda: len(got) == 200)
        await until_told(a)
    assert got == [f"n{n}" for n in range(200)]
    assert a.counts["sent"] == 200
    assert len(wire.kinds_to("a")) < 200  # acknowledgements travel together


async def test_many_messages_and_what_is_theirs_are_one_transaction(tmp_path: Path) -> None:
    got: list[str] = []
    async with pair(tmp_path, wire := Wire()) as (a, b):
        b.on("node.dismissed.v1", names(got))
        a.peer_up("b")
        many = [("b", Dismissed(name="one")), ("c", Dismissed(name="two")), ("b", Dismissed(name="three"))]

        def broken(_connection: object) -> None:
            raise ValueError("not written")

        with pytest.raises(ValueError, match="not written"):
            await a.send_all(many, also=broken)
        assert await a.pending() == []
        await a.send_all(many, cause="job")
        await until(lambda: len(got) == 2)
    assert got == ["one", "three"]
    assert [envelope.cause for peer, envelope in wire.sent if peer == "b"] == ["job", "job"]


async def test_what_waits_is_sent_when_the_peer_comes_in_order_over_a_restart(tmp_path: Path) -> None:
    got: list[str] = []
    wire = Wire()
    async with wire.post("a", tmp_path) as a:
        for n in range(delivery.WINDOW * 3):
            await a.send("b", Dismissed(name=f"n{n}"))
        assert wire.sent == []
    async with pair(tmp_path, wire) as (a, b):
        b.on("node.dismissed.v1", names(got))
        assert len(await a.pending()) == delivery.WINDOW * 3
        a.peer_up("b")
        await until(lambda: len(got) == delivery.WINDOW * 3)
    assert got == [f"n{n}" for n in range(delivery.WINDOW * 3)]


async def test_loss_and_duplicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(delivery, "LAST_RETRY", 0.05)
    rng = random.Random(3)
    got: list[str] = []
    wire = Wire()
    wire.chance = lambda: rng.choice([0, 0, 1, 1, 2])
    async with pair(tmp_path, wire) as (a, b):
        b.on("node.dismissed.v1", names(got))
        a.peer_up("b")
        for n in range(100):
            await a.send("b", Dismissed(name=f"n{n}"))
        await until_told(a)
    assert sorted(got) == sorted(f"n{n}" for n in range(100))  # each acted on once
    assert b.counts["duplicate"] > 0


async def test_an_id_acted_on_is_not_acted_on_after_a_restart(tmp_path: Path) -> None:
    got: list[str] = []
    wire = Wire()
    message = seal(wrap("node.dismissed.v1", Dismissed(name="x"), sender="a"))
    for n in range(2):
        async with wire.post("b", tmp_path) as b:
            b.on("node.dismissed.v1", names(got))
            await b.received("a", message)
            await until(lambda n=n: wire.kinds_to("a") == ["ack.v1"] * (n + 1))
    assert got == ["x"]


async def test_a_failing_handler_is_not_acknowledged_and_a_protocol_error_is(tmp_path: Path) -> None:
    wire = Wire()
    calls: list[str] = []
    trouble: list[Exception] = [OSError("disk"), MessageInvalid("never right")]

    async def handler(peer: str, envelope: Envelope) -> None:
        calls.append(peer)
        raise trouble.pop(0)

    async with wire.post("b", tmp_path) as b:
        b.on("node.dismissed.v1", handler)
        message = seal(wrap("node.dismissed.v1", Dismissed(name="x"), sender="a"))
        await b.received("a", message)
        await until(lambda: b.counts["failed"] == 1)
        assert wire.sent == []
        await b.received("a", message)
        await until(lambda: wire.kinds_to("a") == ["ack.v1"])
        assert b.counts["invalid"] == 1
        await b.received("a", message)
        await until(lambda: wire.kinds_to("a") == ["ack.v1"] * 2)
    assert calls == ["a", "a"]


async def test_one_peers_handler_does_not_hold_up_another(tmp_path: Path) -> None:
    wire = Wire()
    gate = asyncio.Event()
    got: list[tuple[str, str]] = []

    async def handler(peer: str, envelope: Envelope) -> None:
        if peer == "slow":
            await gate.wait()
        got.append((peer, body_of(envelope, Dismissed).name))

    async with wire.post("b", tmp_path) as b:
        b.on("node.dismissed.v1", handler)
        for peer in ("slow", "quick"):
            for n in range(3):
                await b.received(peer, seal(wrap("node.dismissed.v1", Dismissed(name=str(n)), sender=peer)))
        await until(lambda: len(got) == 3)
        gate.set()
        await until(lambda: len(got) == 6)
    assert got == [("quick", "0"), ("quick", "1"), ("quick", "2"), ("slow", "0"), ("slow", "1"), ("slow", "2")]


async def test_rubbish_is_counted_and_unknown_kinds_are_acknowledged(tmp_path: Path) -> None:
    wire = Wire()
    async with wire.post("b", tmp_path) as b:
        for rubbish in (b"", b"\xc1", b"\x93\x01\x02\x03", bytes(100), seal(wrap("ack.v1", {"ids": 7}, sender="a"))):
            await b.received("a", rubbish)
        assert b.counts["invalid"] == 5
        await b.received("a", seal(wrap("from.the.future.v9", {"x": 1}, sender="a")))
        await b.received("a", seal(wrap("from.the.future.v9", {"x": 1}, sender="a", to="b")))
        await until(lambda: sum(len(e.body) for _, e in wire.sent) > 32)
        assert b.counts["unknown"] == 2
        assert set(wire.kinds_to("a")) == {"ack.v1"}


async def test_messages_for_others_are_relayed_byte_for_byte_whatever_their_kind(tmp_path: Path) -> None:
    wire = Wire()
    seen: list[Envelope] = []
    async with pair(tmp_path, wire) as (a, b):

        async def relay(peer: str, envelope: Envelope) -> None:
            await a.forward("b", envelope)

        async def order(peer: str, envelope: Envelope) -> None:
            seen.append(envelope)

        a.on_relay(relay)
        b.on("order.v1", order)
        a.peer_up("b")
        message = wrap("order.v1", OrderBundle(order=b"o", signature=b"s", targets=[]), sender="root", to="b")
        future = wrap("from.the.future.v9", {"x": 1}, sender="root", to="b")
        await a.received("root", seal(message))
        await a.received("root", seal(future))
        await until(lambda: bool(seen) and b.counts["unknown"] == 1)
        circling = msgspec.structs.replace(message, hops=32, id=bytes(16))
        await a.received("root", seal(circling))
        await until(lambda: a.counts["invalid"] == 1)
    assert seen == [msgspec.structs.replace(message, hops=1)]


async def test_expired_messages_are_dropped_on_both_sides(tmp_path: Path) -> None:
    wire = Wire()
    got: list[str] = []
    async with pair(tmp_path, wire) as (a, b):
        b.on("node.dismissed.v1", names(got))
        await a.send("b", Dismissed(name="old"), expires=1)
        await a.send("b", Dismissed(name="new"))
        a.peer_up("b")
        await until(lambda: got == ["new"])
        await until_told(a)
        assert a.counts["expired"] == 1
        await b.received("a", seal(wrap("node.dismissed.v1", Dismissed(name="x"), sender="a", expires=1)))
        await until(lambda: b.counts["expired"] == 1)
    assert got == ["new"]


async def test_a_cut_link_is_tried_again_and_a_new_one_at_once(tmp_path: Path) -> None:
    wire = Wire()
    got: list[str] = []
    async with pair(tmp_path, wire) as (a, b):
        b.on("node.dismissed.v1", names(got))
        wire.cut = True
        a.peer_up("b")
        await a.send("b", Dismissed(name="x"))
        await until(lambda: a.counts["unsent"] == 1)
        wire.cut = False
        a.peer_down("b")
        a.peer_up("b")
        await until(lambda: got == ["x"])


async def test_ephemeral_messages_are_sent_once_or_not(tmp_path: Path) -> None:
    wire = Wire()
    got: list[str] = []

    async def handler(peer: str, envelope: Envelope) -> None:
        got.append(peer)

    async with pair(tmp_path, wire) as (a, b):
        b.on("gone.v1", handler)
        await a.send("b", Gone(boot=b"x"))
        await until(lambda: got == ["a"])
        wire.cut = True
        await a.send("b", Gone(boot=b"x"))
        assert await a.pending() == []
        await until(lambda: a.counts["unsent"] == 1)
    assert wire.kinds_to("a") == []


async def test_an_acknowledgement_of_what_was_not_sent_changes_nothing(tmp_path: Path) -> None:
    wire = Wire()
    async with wire.post("a", tmp_path) as a:
        id_ = await a.send("b", Dismissed(name="x"))
        await a.received("b", seal(wrap("ack.v1", {"ids": [id_, bytes(16)]}, sender="b")))
        a.peer_up("b")
        await until(lambda: wire.kinds_to("b") == ["node.dismissed.v1"])
        await a.received("c", seal(wrap("ack.v1", {"ids": [id_]}, sender="c")))
        assert [m.id for m in await a.pending()] == [id_]
        await a.forget("b")
        assert await a.pending() == []


async def test_a_flood_is_dropped_before_it_grows(tmp_path: Path) -> None:
    wire = Wire()
    gate = asyncio.Event()

    async def handler(peer: str, envelope: Envelope) -> None:
        await gate.wait()

    async with wire.post("b", tmp_path) as b:
        b.on("node.dismissed.v1", handler)
        for n in range(1500):
            await b.received("a", seal(wrap("node.dismissed.v1", Dismissed(name=str(n)), sender="a")))
        assert b.counts["overflow"] >= 499
        gate.set()
        await until(lambda: b.counts["handled"] + b.counts["overflow"] == 1500)
