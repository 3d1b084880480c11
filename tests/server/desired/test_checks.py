"""What is wrong with one assignment, all of it."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_server.desired.changes import Mistakes
from tiercast_server.desired.checks import AssignmentChecks
from tiercast_server.desired.document import Assignment


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (Assignment("a", "node pc1", has="app"), ""),
        (Assignment("a", "node pc1", lacks="app > 7"), ""),
        (Assignment("a", "node pc1", has="ap"), "no package is called 'ap'; Did you mean 'app'?"),
        (Assignment("a", "node pc1", has="app > 7"), "no version of app is app > 7; there are: 1"),
        (Assignment("a", "node gw1", has="app"), "an assignment is for endpoints; these are not: gw1"),
        (Assignment("a", "group none", has="app"), "group.unknown"),
        (Assignment("a", "below (", has="app"), "target.syntax"),
        (Assignment("a", "node pc1", has="app", lacks="app"), "it says both"),
        (Assignment("a", "node pc1", has="app", expires_s=0), "expiry.invalid"),
        (Assignment("a/b", "node pc1", has="app"), "name.invalid"),
    ],
)
async def test_mistakes(world: Any, one: Assignment, said: str) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    await world.join("gw1", "gateway")
    wrong = Mistakes()
    async with world.region.db.read() as connection:
        await AssignmentChecks(connection, world.targeting, world.now[0], wrong).check(one)
    assert len(wrong) == bool(said)
    assert said in "".join(what for _, what in wrong.found)


async def test_what_is_wrong_itself_is_not_told_again(world: Any) -> None:
    await world.package("app", "1")
    wrong = Mistakes()
    async with world.region.db.read() as connection:
        checks = AssignmentChecks(connection, world.targeting, world.now[0], wrong, frozenset({"sales", "night"}))
        await checks.check(Assignment("a", "group sales", has="app", window=["night"]))
        assert wrong.found == []
        await checks.check(Assignment("b", "group others", has="app", window=["day"]))
    assert [what.partition(":")[0] for _, what in wrong.found] == ["group.unknown", "window.unknown"]
