"""Inventories are kept, the newest stands, and goes up once, in company."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.hop import FakeAbove, until

from tiercast_gateway.children.routes import Routes
from tiercast_gateway.facts import software_rows
from tiercast_gateway.facts.inventories import Inventories
from tiercast_protocol.content.facts import software
from tiercast_protocol.content.facts.inventory import Facts, Inventory, sign_inventory
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.facts import Inventories as Said
from tiercast_protocol.wire.facts import InventoryAsk, InventoryEntry, InventorySame, SoftwareList


def entry(seq: int, node: str = "pc", generation: int = 1, size: int = 3, *, urgent: bool = False) -> InventoryEntry:
    data = b"d" * size
    return InventoryEntry(node=node, generation=generation, seq=seq, data=data, signature=b"s", urgent=urgent)


def said(above: FakeAbove) -> list[list[InventoryEntry]]:
    return [message.entries for message, _ in above.said if isinstance(message, Said)]


@asynccontextmanager
async def running(db: Database, above: FakeAbove, gather: float = 0.05, busy: float = 0) -> AsyncIterator[Inventories]:
    routes = Routes(db)
    for node in ("pc", "pc2", "site"):
        await routes.learn(node, "site")
    inventories = Inventories(db, above, routes, gather, busy)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(inventories.run())
        try:
            yield inventories
        finally:
            task.cancel()


async def test_what_comes_closely_goes_up_together_and_once(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above, 0.2) as inventories:
        for one in (entry(2), entry(1), entry(3, "pc2"), entry(2)):
            await inventories.take("site", Said(entries=[one]))
        await until(lambda: bool(above.said))
        assert said(above) == [[entry(2), entry(3, "pc2")]]
        await inventories.take("site", Said(entries=[entry(2), entry(1, generation=2)]))
        await until(lambda: len(above.said) > 1)
        assert said(above)[1:] == [[entry(1, generation=2)]]


async def test_strangers_and_nonsense_are_dropped(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above) as inventories:
        wrong = [entry(1), entry(-1, "other"), entry(1, "other", size=600_000), entry(1 << 60, "other")]
        await inventories.take("other", Said(entries=[*wrong, entry(5, "other")]))
        await until(lambda: bool(above.said))
        assert said(above) == [[entry(5, "other")]]


async def test_what_was_not_told_before_a_stop_is_told_after_it(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above, 60) as inventories:
        await inventories.take("site", Said(entries=[entry(1)]))
    assert above.said == []
    async with running(db, above) as inventories:
        await until(lambda: said(above) == [[entry(1)]])
        await inventories.tell_again(["pc"])
        await until(lambda: said(above) == [[entry(1)]] * 2)
        await inventories.forget(["pc"])
        await inventories.take("site", Said(entries=[entry(1, "pc2")]))
        await inventories.tell_again()
        await until(lambda: said(above)[2:] == [[entry(1, "pc2")]])


async def test_a_message_is_never_too_large(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above, 0.2) as inventories:
        await inventories.take("site", Said(entries=[entry(1, node, size=60_000) for node in ("pc", "pc2", "site")]))
        await inventories.take("a", Said(entries=[entry(1, "a", size=60_000)]))
        await inventories.take("b", Said(entries=[entry(1, "b", size=60_000)]))
        await until(lambda: sum(map(len, said(above))) == 5)
        assert [len(entries) for entries in said(above)] == [4, 1]


async def test_while_many_come_few_messages_go(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above, 0.01, busy=0.5) as inventories:
        begin = time.monotonic()
        for seq in range(1, 10_000):
            await inventories.take("site", Said(entries=[entry(seq)]))
            if len(above.said) == 3:
                break
        assert time.monotonic() - begin >= 1.0, "the first at once, the others half a second apart"


async def test_what_somebody_waits_for_goes_at_once_at_every_tier(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above, 30, busy=60) as inventories:
        await inventories.take("site", Said(entries=[entry(1)]))
        await inventories.take("site", Said(entries=[entry(1, "pc2", urgent=True)]))
        await until(lambda: bool(above.said))
        assert said(above) == [[entry(1), entry(1, "pc2", urgent=True)]]
        await inventories.take("site", Said(entries=[entry(2, urgent=True)]))
        await until(lambda: len(above.said) > 1)
        assert said(above)[1:] == [[entry(2, urgent=True)]]


KEY = PrivateKey.generate()


def word(node: str, seq: int, digest: bytes) -> InventoryEntry:
    facts = Facts(
        name=node, os="linux", distribution="d", version="1", kernel="6", architecture="x", cpus=1, memory=1,
        disk_free=1, disk_total=1, python="3", agent="1",
    )  # fmt: skip
    one = Inventory(region="r", node=node, generation=1, seq=seq, at=1, facts=facts, software=digest)
    data, signature = sign_inventory(one, KEY)
    return InventoryEntry(node=node, generation=1, seq=seq, data=data, signature=signature)


@asynccontextmanager
async def asking(db: Database, above: FakeAbove) -> AsyncIterator[tuple[Inventories, list[tuple[str, InventoryAsk]]]]:
    asked: list[tuple[str, InventoryAsk]] = []

    async def ask(peer: str, message: InventoryAsk) -> None:
        asked.append((peer, message))

    async with running(db, above) as inventories:
        inventories.ask = ask
        yield inventories, asked


def lists_of(above: FakeAbove) -> list[SoftwareList]:
    return [one for message, _ in above.said if isinstance(message, Said) for one in message.lists]


async def test_one_list_goes_up_for_many_machines_and_then_the_step_alone(db: Database) -> None:
    above = FakeAbove()
    old = {f"package-{number}": str(number) for number in range(500)}
    new = old | {"package-3": "4"}
    (one, whole), (two, _), step = software.packed(old), software.packed(new), software.difference(old, new)
    async with asking(db, above) as (inventories, asked):
        first = SoftwareList(digest=one, data=whole)
        for node in ("pc", "pc2"):
            await inventories.take("site", Said(entries=[word(node, 1, one)], lists=[first]))
        await until(lambda: sum(map(len, said(above))) == 2)
        assert lists_of(above) == [first], "once, though two machines told it"
        second = SoftwareList(digest=two, data=step, base=one)
        for node in ("pc", "pc2"):
            await inventories.take("site", Said(entries=[word(node, 2, two)], lists=[second]))
        await until(lambda: sum(map(len, said(above))) == 4)
        assert lists_of(above)[1:] == [second], "the step alone, for the tier above was told its base"
        await inventories.tell_again()
        await until(lambda: sum(map(len, said(above))) == 6)
        assert len(lists_of(above)) == 2, "another parent asks for what it lacks"
        await inventories.asked(InventoryAsk(lists=[two, bytes(32)]))
        await until(lambda: len(lists_of(above)) == 3)
        assert software.unpacked(two, lists_of(above)[2].data) == new, "and gets it whole"
        assert asked == []


async def test_what_is_not_here_is_asked_for(db: Database) -> None:
    above = FakeAbove()
    old, new = {"a": "1"}, {"a": "2", "b": "1"}
    (one, whole), (two, newer) = software.packed(old), software.packed(new)
    step = SoftwareList(digest=two, data=software.difference(old, new), base=one)
    async with asking(db, above) as (inventories, asked):
        await inventories.take("site", Said(entries=[word("pc", 2, two)], lists=[step]))
        assert asked == [("site", InventoryAsk(lists=[two]))], "the base of that step is not here"
        await inventories.asked(InventoryAsk(lists=[two]))
        assert asked.pop() == ("site", InventoryAsk(lists=[two])), "what the tier above wants is asked for below"
        await inventories.same("site", InventorySame(generation=1, seq=2))
        assert asked.pop() == ("site", InventoryAsk(whole=True)), "the child itself never said a word"
        await inventories.take("pc", Said(entries=[word("pc", 2, two)], lists=[SoftwareList(digest=two, data=newer)]))
        await inventories.same("pc", InventorySame(generation=1, seq=2))
        await inventories.same("pc", InventorySame(generation=1, seq=3))
        assert asked[1:] == [("pc", InventoryAsk(whole=True))], "a word that is not here, and none that is"
        hostile = [SoftwareList(digest=one, data=newer), SoftwareList(digest=bytes(32), data=whole)]
        await inventories.take("pc", Said(entries=[word("pc", 3, one)], lists=hostile))
        assert asked[2:] == [("pc", InventoryAsk(lists=[one]))], "what does not prove itself was never here"
        count = await db.read(lambda c: c.execute("SELECT count(*) FROM software_lists").fetchone()[0])
        assert count == 1
        await db.write(lambda c: software_rows.told(c, [SoftwareList(digest=two, data=b"")]))
        assert await db.write(software_rows.sweep) == 1, "nobody names it any more"
