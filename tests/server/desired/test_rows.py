"""Assignments as rows."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.document import Assignment
from tiercast_server.desired.life import Try

ONE = Assignment("a", "group all or node pc1", has="app >= 1", options={"priority": 3}, table={"has": "app >= 1"})


async def test_a_definition_is_read_as_it_was_written(world: Any) -> None:
    async with world.region.db.write() as connection:
        await assignment_rows.put(connection, ONE, "ann", 5, new=True)
        await assignment_rows.mark(connection, "a", said="broken", rollout="r1")
        kept = await assignment_rows.get(connection, "a")
        assert (kept.definition, kept.said, kept.rollout, kept.created_by, kept.created) == (
            *(ONE, "broken", "r1", "ann"),
            5,
        )
        await assignment_rows.put(connection, ONE, "bob", 6, new=False)
        again = await assignment_rows.get(connection, "a")
        assert (again.said, again.rollout, again.created_by) == ("", "r1", "ann")
        assert [one.name for one in await assignment_rows.all_(connection, "app")] == ["a"]
        assert await assignment_rows.all_(connection, "other") == []
        with pytest.raises(UsageError) as caught:
            await assignment_rows.check_unnamed(connection, "all")
        assert caught.value.code == "group.assigned"
        await assignment_rows.check_unnamed(connection, "none")
        await assignment_rows.forget(connection, "a")
        with pytest.raises(UsageError) as caught:
            await assignment_rows.get(connection, "a")
        assert caught.value.code == "assignment.unknown"


async def test_tries_are_written_as_far_as_they_changed(world: Any) -> None:
    async with world.region.db.write() as connection:
        await assignment_rows.put(connection, ONE, "ann", 5, new=True)
        kept = await assignment_rows.get(connection, "a")
        first = {"pc1": Try(job="j1"), "pc2": Try(failures=2, again=9, code="c", detail="d")}
        await assignment_rows.keep_tries(connection, "a", {}, first)
        assert (await assignment_rows.lives(connection, [kept]))["a"].tries == first
        second = {"pc1": Try(done=7), "pc3": Try(job="j2")}
        await assignment_rows.keep_tries(connection, "a", first, second)
        assert (await assignment_rows.lives(connection, [kept]))["a"].tries == second
        await assignment_rows.keep_tries(connection, "a", second, second)


async def test_windows_and_history(world: Any) -> None:
    async with world.region.db.write() as connection:
        await assignment_rows.set_window(connection, "night", "daily 22:00-23:00")
        await assignment_rows.set_window(connection, "night", "daily 20:00-23:00")
        assert await assignment_rows.windows(connection) == {"night": "daily 20:00-23:00"}
        await assignment_rows.set_window(connection, "night", None)
        assert await assignment_rows.windows(connection) == {}
        for number in (1, 2):
            assert await assignment_rows.record(connection, "ann", 5, "apply", [], {"n": number}) == number
        assert [row["number"] for row in await assignment_rows.history(connection, 1)] == [2]
        assert await assignment_rows.document_of(connection, 1) == {"n": 1}
        with pytest.raises(UsageError) as caught:
            await assignment_rows.document_of(connection, 3)
        assert caught.value.code == "change.unknown"
