"""Groups of a document; what `apply` makes of them: test_desired_apply.py."""

from __future__ import annotations

import time
from typing import Any

from tiercast_server.desired.changes import Mistakes
from tiercast_server.desired.document import Group
from tiercast_server.desired.groups import GroupChanges, held


async def test_groups_are_added_changed_and_removed(world: Any) -> None:
    for name in ("pc1", "pc2"):
        await world.join(name)
    await world.says("pc2", cpus=8)
    await world.groups.add("old", ["pc1"])
    async with world.region.db.write() as connection:
        assert await held(connection) == {"old": Group("old", ["pc1"])}
        changes = GroupChanges(connection, 1, Mistakes())
        wanted = [Group("old", ["pc2"]), Group("big", where=" cpus > 4 "), Group("own", self_join=True)]
        found = await changes.make(wanted, prune=True)
        assert [(one.name, one.change, one.differs) for one in found] == [
            ("old", "changed", ("1 more: pc2", "1 fewer: pc1")),
            ("big", "added", ()),
            ("own", "added", ()),
        ]
        assert changes.joined == {"pc2": ["old", "big"]}
        assert await changes.make(wanted, prune=True) == []
        assert [one.change for one in await changes.make([], prune=True)] == ["removed"] * 3
        assert await held(connection) == {}


async def test_a_group_of_thousands_by_name_is_made_by_a_document(world: Any) -> None:
    names = await world.many(3_000)
    async with world.region.db.write() as connection:
        wrong = Mistakes()
        changes = GroupChanges(connection, 1, wrong)
        wanted = Group("all", names)
        assert [one.change for one in await changes.make([wanted], prune=True)] == ["added"]
        assert (wrong.found, await held(connection)) == ([], {"all": wanted})
        assert await changes.make([wanted], prune=True) == [], "apply of what stands changes nothing"
        await changes.make([Group("all", [*names, names[7]])], prune=True)
        assert wrong.found == [("group.all.members", f"named twice: {names[7]}")]
        began = time.process_time()
        assert (
            await changes.make([Group("strange", [f"a-name-like-many-others-{n}" for n in range(20_000)])], prune=False)
            == []
        )
        assert time.process_time() - began < 2, "a look among all of them for each would take longer than that"


async def test_windows_of_groups_come_and_go_with_them(world: Any) -> None:
    await world.join("pc1")
    await world.groups.add("night", ["pc1"])
    await world.groups.set_window("night", "Daily 22:00-23:00")
    async with world.region.db.write() as connection:
        (now,) = (await held(connection)).values()
        changes = GroupChanges(connection, world.now[0], Mistakes())
        assert await changes.make([now], prune=True) == []
        (changed,) = await changes.make([Group("night", ["pc1"], install_window="mon 01:00-02:00")], prune=True)
        assert changed.differs == (f"install_window: {now.install_window!r} -> 'mon 01:00-02:00'",)
        assert (await held(connection))["night"].install_window == "mon 01:00-02:00"
        wrong = Mistakes()
        odd = [Group("a", install_window="at night"), Group("b", install_window="not daily 00:00-24:00")]
        assert await GroupChanges(connection, world.now[0], wrong).make(odd, prune=False) == []
        assert [what.partition(":")[0] for _, what in wrong.found] == ["window.invalid", "window.never"]
        await changes.make([], prune=True)
        assert await held(connection) == {}


async def test_what_is_wrong_is_noted_and_not_written(world: Any) -> None:
    await world.join("pc1")
    async with world.region.db.write() as connection:
        wrong = Mistakes()
        changes = GroupChanges(connection, 1, wrong)
        assert await changes.make([Group("a/b"), Group("c", ["pc2"]), Group("d", where="((")], prune=False) == []
        assert [key for key, _ in wrong.found] == ["group.a/b", "group.c.members", "group.d.where"]
        assert await held(connection) == {}
