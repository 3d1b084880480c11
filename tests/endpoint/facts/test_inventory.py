"""The agent says what it is when that changes, and asks for groups."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Container, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from tiercast_endpoint.facts import inventory, lists
from tiercast_endpoint.facts.inventory import Informer, Owned
from tiercast_endpoint.facts.ownfacts import OwnFacts
from tiercast_endpoint.jobs import journal
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.holdings import Installed
from tiercast_protocol.content.facts import software
from tiercast_protocol.content.facts.inventory import Inventory, open_inventory
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.node.post import Post
from tiercast_protocol.wire.envelope import seal, wrap
from tiercast_protocol.wire.facts import GroupsTold, Inventories, InventoryAsk, InventorySame
from tiercast_protocol.wire.messages import KIND_OF

KEY = PrivateKey.generate()
SCHEMA = [
    (1, Post.SCHEMA),
    (2, journal.SCHEMA + holdings.SCHEMA + holdings.DIFFERS),
    (3, inventory.SCHEMA),
    (4, lists.SCHEMA),
]


@dataclass
class Above:
    """A parent and an outbox in one: keeps what was said."""

    connected: bool = True
    parent: str = "berlin"
    said: list[Inventory] = field(default_factory=list)
    sent: list[Inventories | InventorySame] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def send(self, peer: str, message: Inventories | InventorySame, **_: object) -> bytes:
        assert peer == self.parent
        async with self.news:
            self.sent.append(message)
            if isinstance(message, InventorySame):
                assert message.seq == self.said[-1].seq
                self.said.append(self.said[-1])
                self.news.notify_all()
                return b""
            for entry in message.entries:
                said = open_inventory(entry.data, entry.signature, KEY.public)
                assert (said.node, said.generation, said.seq) == (entry.node, entry.generation, entry.seq)
                self.said.append(said)
            self.news.notify_all()
        return b""

    async def until(self, count: int) -> Inventory:
        async with asyncio.timeout(60), self.news:
            await self.news.wait_for(lambda: len(self.said) >= count)
        return self.said[count - 1]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(tmp_path / "agent.db", SCHEMA) as database:
        yield database


@asynccontextmanager
async def running(
    db: Database,
    above: Above,
    folder: Path,
    gone: Container[str] = (),
    software: Callable[[], Mapping[str, str]] = dict,
    **owned: Any,
) -> AsyncIterator[Informer]:
    me = Enrolled("pc", "endpoint", "r", "berlin", "server", 1, "mqtt://h", "secret", KEY)
    informer = Informer(
        db=db,
        me=me,
        folder=folder,
        owned=Owned(**{"labels": {"site": "b"}, **owned}),
        post=cast("Post", above),
        upstream=above,
        now_ms=lambda: 5,
        stands=lambda name: name not in gone,
        software=software,
    )
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(informer.run())
        try:
            yield informer
        finally:
            task.cancel()


def do(informer: Informer, verb: str, **args: object) -> Any:
    verbs = Verbs()
    informer.register(verbs)
    handler: Callable[[Call], Any] = verbs.named(verb).handler
    return handler(Call(verb=verb, args=args, peer=Peer(1, 1, 1), role="admin", user="ann", cause=""))


async def test_it_says_what_changed_and_at_every_start(db: Database, tmp_path: Path) -> None:
    above = Above()
    async with running(db, above, tmp_path) as informer:
        first = await above.until(1)
        assert (first.seq, first.facts.packages, first.facts.labels) == (1, {}, {"site": "b"})
        new = Installed("editor", "2", 1, bytes(32), "t", "", "j", 1)
        informer.changed()
        await db.write(lambda c: holdings.set_installed(c, new))
        informer.changed()
        second = await above.until(2)
        assert (second.seq, second.facts.packages) == (2, {"editor": "2"})
        assert (await do(informer, "inventory"))["packages"] == {"editor": "2"}
        await informer.retell()
        assert await above.until(3) == second, "to another parent the same word"
    async with running(db, above, tmp_path):
        assert await above.until(4) == second


async def test_a_package_whose_tree_was_deleted_by_hand_is_gone(db: Database, tmp_path: Path) -> None:
    above, gone = Above(), set[str]()
    await db.write(lambda c: holdings.set_installed(c, Installed("editor", "2", 1, bytes(32), "t", "", "j", 1)))
    async with running(db, above, tmp_path, gone) as informer:
        assert (await above.until(1)).facts.packages == {"editor": "2"}
        gone.add("editor")
        informer.changed()
        assert (await above.until(2)).facts.packages == {}


async def test_nothing_is_said_while_the_parent_is_away(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "AWAY_S", 0.01)
    above = Above(connected=False)
    async with running(db, above, tmp_path) as informer:
        assert await do(informer, "group.join", group="testers") == {"group": "testers", "state": "asked"}
        assert above.said == []
        above.connected = True
        assert (await above.until(1)).groups == ["testers"]


async def test_a_wish_is_answered_and_taken_back(db: Database, tmp_path: Path) -> None:
    above = Above()
    async with running(db, above, tmp_path, groups=("policy",)) as informer:
        await above.until(1)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(do(informer, "group.join", group="testers", wait_s=20))
            said = await above.until(2)
            assert said.groups == ["policy", "testers"]
            await informer.groups.told(GroupsTold(generation=1, seq=said.seq - 1, refused={"testers": "an old word"}))
            await informer.groups.told(GroupsTold(generation=9, seq=said.seq, refused={"testers": "another machine's"}))
            await informer.groups.told(GroupsTold(generation=1, seq=said.seq, joined=["policy", "testers"]))
        assert asked.result() == {"group": "testers", "state": "joined"}
        listed = {one["group"]: one["state"] for one in await do(informer, "group.list")}
        assert listed == {"policy": "joined", "testers": "joined"}
        await do(informer, "group.leave", group="testers")
        assert (await above.until(3)).groups == ["policy"]
        for group, code in (("testers", "group.unknown"), ("policy", "group.settled")):
            with pytest.raises(UsageError) as caught:
                await do(informer, "group.leave", group=group)
            assert caught.value.code == code


async def test_a_refused_wish_says_why_and_may_be_tried_again(db: Database, tmp_path: Path) -> None:
    above = Above()
    async with running(db, above, tmp_path) as informer:
        count = 1
        for _ in range(2):
            async with asyncio.TaskGroup() as tasks:
                asked = tasks.create_task(_refusal(do(informer, "group.join", group="boss", wait_s=20)))
                said = await above.until(count)
                while "boss" not in said.groups:
                    count += 1
                    said = await above.until(count)
                await informer.groups.told(GroupsTold(generation=1, seq=said.seq, refused={"boss": "nobody may"}))
                count += 1
            assert "nobody may" in asked.result().what
        with pytest.raises(UsageError, match="can't name"):
            await do(informer, "group.join", group="no name")
        with pytest.raises(UsageError, match="wait_s"):
            await do(informer, "group.join", group="a", wait_s=1000)


async def _refusal(call: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        await call
    assert caught.value.code == "group.refused"
    return caught.value


async def test_said_afresh_to_the_byte_though_nothing_changed(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = Above()
    async with running(db, above, tmp_path) as informer:
        first = await above.until(1)
        real = inventory.read_facts

        def a_little_less(*args: Any) -> Any:
            facts = real(*args)
            return msgspec.structs.replace(facts, disk_free=first.facts.disk_free - 1)

        monkeypatch.setattr(inventory, "read_facts", a_little_less)
        await informer.afresh()
        second = await above.until(2)
        assert second.seq > first.seq
        assert second.facts.disk_free == first.facts.disk_free - 1


def on_the_wire(message: Inventories | InventorySame) -> int:
    """Bytes of the packet that carries it: envelope, topic, and the header of MQTT."""
    envelope = wrap(KIND_OF[type(message)], message, sender="pc-in-the-hall", cause="")
    return len(seal(envelope)) + len("tiercast/1/the-region/pc-in-the-hall/up") + 7


def many(number: int) -> dict[str, str]:
    """Software with names and versions of pure chance, which pack worse than any real ones."""
    chance = random.Random(6)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
    return {
        "".join(chance.choices(letters, k=chance.randrange(6, 24))): f"{chance.randrange(40)}.{chance.random():.6f}-1"
        for _ in range(number)
    }


async def test_a_first_report_is_small_and_only_differences_travel_after_it(db: Database, tmp_path: Path) -> None:
    above, installed = Above(), many(2000)
    async with running(db, above, tmp_path, software=lambda: dict(installed)) as informer:
        first = await above.until(1)
        whole = above.sent[0]
        assert isinstance(whole, Inventories)
        assert on_the_wire(whole) <= 60_000, "the figure of a first report of 2,000 packages"
        assert software.unpacked(first.software, whole.lists[0].data) == installed
        installed["openssl"] = "3.0.12"
        installed.pop(min(installed))
        informer.changed()
        await above.until(2)
        change = above.sent[1]
        assert isinstance(change, Inventories)
        (step,) = change.lists
        assert step.base == first.software
        assert software.applied(software.unpacked(first.software, whole.lists[0].data), step.data, step.digest) == (
            installed
        )
        assert on_the_wire(change) <= 1_500
        await informer.retell()
        await above.until(3)
        assert on_the_wire(above.sent[2]) <= 200, "the figure of a report in which nothing changed"
        await informer.asked(InventoryAsk(lists=[bytes(32)]))
        await informer.asked(InventoryAsk(whole=True))
        again = above.sent[3]
        assert isinstance(again, Inventories)
        assert software.unpacked(step.digest, again.lists[0].data) == installed
        assert (again.entries[0].seq, len(above.sent)) == (2, 4)
    async with running(db, above, tmp_path, software=lambda: dict(installed)):
        await above.until(5)
        assert on_the_wire(above.sent[4]) <= 200, "nor after a restart"


async def test_facts_of_programs_and_networks_are_told(db: Database, tmp_path: Path) -> None:
    above = Above()
    folder = tmp_path / "facts.d"
    folder.mkdir()
    for name, body in {"rack": "echo unit=4", "bad": "exit 1"}.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n", "utf-8")
        (folder / name).chmod(0o755)
    async with running(db, above, tmp_path, programs=OwnFacts(folder), wakes="02:00:00:00:00:01") as informer:
        first = (await above.until(1)).facts
        assert (first.custom, first.failed) == ({"rack.unit": 4}, {"bad": "ended with status 1"})
        assert first.networks == {"02:00:00:00:00:01": ""}
        (folder / "rack").write_text("#!/bin/sh\necho unit=5\n", "utf-8")
        await informer.afresh()
        assert (await above.until(2)).facts.custom == {"rack.unit": 5}
