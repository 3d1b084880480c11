"""Plans as rows: what is written is read back, and a machine made of it stands where it stood."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.plans import rows as plan_rows
from tiercast_server.plans.checks import read_steps

STEPS = [
    {"name": "a", "job": {"type": "run", "options": {"argv": '["/bin/true"]'}}},
    {"name": "b", "after": ["a"], "on_failure": "go-on", "job": {"type": "install", "package": "app"}},
]


async def test_a_plan_is_read_as_it_was_written(world: Any) -> None:
    async with world.region.db.write() as connection:
        first = await plan_rows.add(connection, "x", "", read_steps(STEPS), by="ann", now=1)
        second = await plan_rows.add(connection, "y", "note", read_steps(STEPS), by="ben", now=2)
        await plan_rows.set_step(connection, second, "a", state="running", job="j9")
        await plan_rows.set_plan(connection, second, cancelling=True)
    async with world.region.db.read() as connection:
        assert await plan_rows.running(connection) == [first.id, second.id]
        for name in (second.id, "2", "p2"):
            found = await plan_rows.get(connection, name)
            assert (found.id, found.shown()["state"], found.shown()["note"]) == (second.id, "cancelling", "note")
        assert [row.shown()["about"] for row in found.steps] == ["/bin/true", "app"]
        life = found.life()
        assert (life.states, life.cancelling) == ({"a": "running", "b": "waiting"}, True)
        assert found.named("b").step.after == ("a",)
        assert await plan_rows.job_states(connection, found) == {"a": ""}
        assert await plan_rows.job_states(connection, first) == {}
        assert await plan_rows.open_steps(connection) == ["j9"]
        assert await plan_rows.with_ended_steps(connection) == [second.id]
        counts = [(one["plan"], one["steps"]) for one in await plan_rows.newest(connection, 5)]
        assert counts == [(second.id, {"running": 1, "waiting": 1}), (first.id, {"waiting": 2})]
        for unknown in ("p3", "", "p", "9" * 40, "night"):
            with pytest.raises(UsageError, match="no plan"):
                await plan_rows.get(connection, unknown)
