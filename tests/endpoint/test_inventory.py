"""The agent says what it is when that changes, and asks for groups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from tiercast_endpoint import holdings, inventory, journal
from tiercast_endpoint.holdings import Installed
from tiercast_endpoint.inventory import Informer, Owned
from tiercast_protocol.content.inventory import Inventory, open_inventory
from tiercast_protocol.content.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.node.post import Post
from tiercast_protocol.wire.facts import GroupsTold, Inventories

KEY = PrivateKey.generate()
SCHEMA = [(1, Post.SCHEMA), (2, journal.SCHEMA + holdings.SCHEMA), (3, inventory.SCHEMA)]


@dataclass
class Above:
    """A parent and an outbox in one: keeps what was said."""

    connected: bool = True
    parent: str = "berlin"
    said: list[Inventory] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def send(self, peer: str, message: Inventories, **_: object) -> bytes:
        assert peer == self.parent
        async with self.news:
            for entry in message.entries:
                said = open_inventory(entry.data, entry.signature, KEY.public)
                assert (said.node, said.generation, said.seq) == (entry.node, entry.generation, entry.seq)
                self.said.append(said)
            self.news.notify_all()
        return b""

    async def until(self, count: int) -> Inventory:
        async with asyncio.timeout(20), self.news:
            await self.news.wait_for(lambda: len(self.said) >= count)
        return self.said[count - 1]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(tmp_path / "agent.db", SCHEMA) as database:
        yield database


@asynccontextmanager
async def running(
    db: Database, above: Above, folder: Path, gone: Container[str] = (), **owned: Any
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
            await informer.told(GroupsTold(generation=1, seq=said.seq - 1, refused={"testers": "an old word"}))
            await informer.told(GroupsTold(generation=9, seq=said.seq, refused={"testers": "another machine's"}))
            await informer.told(GroupsTold(generation=1, seq=said.seq, joined=["policy", "testers"]))
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
                await informer.told(GroupsTold(generation=1, seq=said.seq, refused={"boss": "nobody may"}))
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
