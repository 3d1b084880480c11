"""The list that was told last, and the step to it."""

from __future__ import annotations

from pathlib import Path

from tiercast_endpoint.facts import lists
from tiercast_endpoint.facts.lists import Listed, after
from tiercast_protocol.content.facts import software
from tiercast_protocol.node.database import Database


async def test_the_step_goes_where_it_is_shorter(tmp_path: Path) -> None:
    many = {f"package-{number}": str(number * 7919) for number in range(300)}
    first = after(Listed(), many)
    assert first.news() == first.whole()
    second = after(first, many | {"package-1": "2"})
    assert second.news()[0].base == first.digest
    assert len(second.news()[0].data) < len(second.whole()[0].data)
    assert after(second, many | {"package-1": "2"}) is second
    assert after(second, {"other": "1"}).news() == after(Listed(), {"other": "1"}).whole()
    assert after(second, {}).news() == []
    assert after(Listed(first.digest, b"damaged"), {"a": "1"}).base == software.NONE
    async with Database.open(tmp_path / "a.db", [(1, lists.SCHEMA)]) as db:
        assert await db.read(lists.load) == Listed()
        await db.write(lambda c: lists.keep(c, second))
        assert await db.read(lists.load) == second
