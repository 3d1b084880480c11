"""Which ordinary jobs contradict an assignment; the refusals themselves: test_assignments.py."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.document import Assignment
from tiercast_server.desired.guard import check_assigned
from tiercast_server.nodes.nodes import all_nodes


@pytest.mark.parametrize(
    ("one", "type_", "version", "refused"),
    [
        (Assignment("a", "node pc1", has="app >= 2"), "remove", "", True),
        (Assignment("a", "node pc1", has="app >= 2"), "remove", "1", False),
        (Assignment("a", "node pc1", has="app >= 2"), "remove", "2", True),
        (Assignment("a", "node pc1", has="app >= 2"), "install", "1", True),
        (Assignment("a", "node pc1", has="app >= 2"), "install", "3", False),
        (Assignment("a", "node pc1", lacks="app < 2"), "install", "1", True),
        (Assignment("a", "node pc1", lacks="app < 2"), "install", "2", False),
        (Assignment("a", "node pc1", lacks="app"), "remove", "", False),
        (Assignment("a", "node pc2", has="app"), "remove", "", False),
        (Assignment("a", "node pc1", has="app", paused=True), "remove", "", False),
        (Assignment("a", "where (nothing == 1)", has="app"), "remove", "", False),
        (Assignment("a", "node pc1", has="app"), "purge", "", False),
    ],
)
async def test_contradictions(world: Any, one: Assignment, type_: str, version: str, refused: bool) -> None:
    await world.join("pc1")
    await world.join("pc2")
    async with world.region.db.write() as connection:
        await assignment_rows.put(connection, one, "ann", 1, new=True)
        found = [node for node in await all_nodes(connection) if node.name == "pc1"]
        asked = check_assigned(connection, world.targeting, type_, "app", version, found)
        if not refused:
            await asked
            return
        with pytest.raises(UsageError) as caught:
            await asked
    assert caught.value.code == "job.assigned"
    assert "tiercast assignment pause a" in caught.value.todo
