"""What changed in what machines say: each fact, each entry of a map, and never without bound."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.facts import software as lists
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.facts import SoftwareList
from tiercast_server.inventories import history as inventory_history
from tiercast_server.inventories.history import MOST_CHANGES, Change, changes

maps = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text("12", min_size=1, max_size=3), max_size=8)


@given(maps, maps)
def test_the_changes_lead_from_the_old_to_the_new(old: dict[str, str], new: dict[str, str]) -> None:
    found = changes({"labels": old, "disk_free": 1}, {"labels": new, "disk_free": 2}, (old, new))
    made = dict(old)
    for one in found[: len(found) // 2]:
        name = one.fact.removeprefix("labels.")
        assert made.get(name, "") == one.old
        made = {**made, name: one.new} if one.new else {key: value for key, value in made.items() if key != name}
    assert made == new
    assert len(found) % 2 == 0, "once as a label and once as software"


def test_what_is_no_map_and_what_is_too_much() -> None:
    assert changes({"cpus": 1, "kernel": "6"}, {"cpus": 2, "kernel": "6", "custom": {"a.b": True}}) == [
        Change("cpus", "1", "2"),
        Change("custom.a.b", "", "true"),
    ]
    many = {f"p{number}": "1" for number in range(MOST_CHANGES + 5)}
    assert changes({}, {"packages": many})[-1] == Change("...", "", "5 more changes")


async def test_a_machines_history(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.join("pc1")
    old, new = {"openssl": "1", "gone": "1"}, {"openssl": "2"}
    (one, whole), (two, _) = lists.packed(old), lists.packed(new)
    await world.inventories.take([world.word("pc1", listed=one)], [SoftwareList(digest=one, data=whole)])
    step = SoftwareList(digest=two, data=lists.difference(old, new), base=one)
    await world.inventories.take([world.word("pc1", listed=two, kernel="6.2", packages={"editor": "2"})], [step])

    async def told(pattern: str = "*", limit: int = 100) -> list[tuple[str, str, str]]:
        async with world.region.db.read() as connection:
            rows = await inventory_history.history(connection, "pc1", pattern, limit)
        return [(row["fact"], row["old"], row["new"]) for row in rows]

    expected = [
        ("software.openssl", "1", "2"),
        ("software.gone", "1", ""),
        ("packages.editor", "", "2"),
        ("kernel", "6.1", "6.2"),
    ]
    assert await told() == expected
    assert await told("soft*") == expected[:2]
    assert await told(limit=1) == expected[:1]
    monkeypatch.setattr(inventory_history, "MOST_ROWS", 2)
    await world.says("pc1", listed=two, cpus=8, kernel="6.2", packages={"editor": "2"})
    async with world.region.db.write() as connection:
        await inventory_history.sweep(connection)
    assert await told() == [("cpus", "2", "8"), expected[0]], "the newest stay"
    with pytest.raises(UsageError):
        async with world.region.db.read() as connection:
            await inventory_history.history(connection, "nobody", "*", 1)
