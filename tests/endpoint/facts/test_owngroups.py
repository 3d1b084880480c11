"""Groups that a machine wants to be in: asked for once, answered to the last word about them, taken back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import until

from tiercast_endpoint.facts import inventory
from tiercast_endpoint.facts.owngroups import OwnGroups
from tiercast_protocol.content.facts.inventory import MOST_GROUPS
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire.facts import GroupsTold


class Owner:
    """Who wishes: calls the verbs, and counts how often the machine has to say something."""

    def __init__(self, db: Database, *settled: str) -> None:
        self.db, self.changes = db, 0
        self.groups = OwnGroups(db, settled, 1, self.changed)
        self.verbs = Verbs()
        self.groups.register(self.verbs)

    def changed(self) -> None:
        self.changes += 1

    async def does(self, verb: str, **args: object) -> Any:
        handler: Callable[[Call], Any] = self.verbs.named(verb).handler
        return await handler(Call(verb=verb, args=args, peer=Peer(1, 1, 1), role="admin", user="ann", cause=""))

    async def refused(self, verb: str, **args: object) -> str:
        with pytest.raises(UsageError) as caught:
            await self.does(verb, **args)
        return caught.value.code

    async def states(self) -> dict[str, str]:
        return {one["group"]: one["state"] for one in await self.does("group.list")}

    async def hears(self, seq: int, *joined: str, generation: int = 1, **refused: str) -> None:
        await self.groups.told(GroupsTold(generation=generation, seq=seq, joined=list(joined), refused=refused))


@pytest.fixture(name="db")
async def _db(tmp_path: Path) -> AsyncIterator[Database]:
    def spoke(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO inventory VALUES (1, 7, x'', x'')")

    async with Database.open(tmp_path / "agent.db", [(1, inventory.SCHEMA)]) as database:
        await database.write(spoke)
        yield database


async def test_wishes_and_settings_are_told_together_until_they_are_taken_back(db: Database) -> None:
    owner = Owner(db, "policy")
    assert await owner.groups.wanted() == ["policy"]
    assert not await owner.groups.unsaid(), "nothing waits for an answer"
    assert await owner.does("group.join", group="testers") == {"group": "testers", "state": "asked"}
    assert (await owner.groups.wanted(), owner.changes) == (["policy", "testers"], 1)
    assert await owner.groups.unsaid()
    owner.groups.said()
    assert not await owner.groups.unsaid()
    assert await Owner(db).groups.unsaid(), "the next life of the agent says it once more"
    await owner.hears(7, "policy", "testers")
    assert await owner.states() == {"policy": "joined", "testers": "joined"}
    await owner.does("group.leave", group="testers")
    assert (await owner.groups.wanted(), owner.changes) == (["policy"], 2)
    assert await owner.refused("group.leave", group="testers") == "group.unknown"
    assert await owner.refused("group.leave", group="policy") == "group.settled"


async def test_only_an_answer_to_the_last_word_of_this_key_counts(db: Database) -> None:
    owner = Owner(db)
    await owner.does("group.join", group="testers")
    await owner.hears(6, testers="an old word")
    await owner.hears(7, testers="another key's", generation=2)
    assert await owner.states() == {"testers": "asked"}
    await owner.hears(7, testers="nobody may")
    assert await owner.states() == {"testers": "refused"}
    assert await owner.groups.wanted() == []
    await owner.does("group.join", group="testers")
    assert (await owner.states(), await owner.groups.wanted()) == ({"testers": "asked"}, ["testers"])


async def test_who_waits_is_told_what_came_of_it(db: Database) -> None:
    owner = Owner(db)
    async with asyncio.TaskGroup() as tasks:
        joins = tasks.create_task(owner.does("group.join", group="testers", wait_s=20))
        fails = tasks.create_task(owner.refused("group.join", group="boss", wait_s=20))
        await until(lambda: owner.changes == 2)  # both wishes are written
        await owner.hears(7, "testers", boss="nobody may")
    assert joins.result() == {"group": "testers", "state": "joined"}
    assert fails.result() == "group.refused"


async def test_what_can_be_no_wish_is_refused_and_there_is_a_most(db: Database) -> None:
    owner = Owner(db, *(f"g{n}" for n in range(MOST_GROUPS + 5)))
    assert len(await owner.groups.wanted()) == MOST_GROUPS
    assert await owner.refused("group.join", group="no name") == "name.invalid"
    assert await owner.refused("group.join", group="a", wait_s=1000) == "argument.invalid"
    assert owner.changes == 0
