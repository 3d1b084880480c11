"""What is shown of assignments: few lines for many machines."""

from __future__ import annotations

from typing import Any

from tiercast_server.desired import view as assignment_view
from tiercast_server.desired.apply import Asked, Desired
from tiercast_server.desired.document import Assignment, read
from tiercast_server.desired.life import AssignmentLife, Machine, Try
from tiercast_server.desired.look import Sight
from tiercast_server.desired.rows import Kept


def test_ten_thousand_machines_are_counted() -> None:
    kept = Kept(Assignment("a", "group all", has="app"), "", "", "", "ann", 1)
    machines = {f"pc{n}": Machine("1" if n % 10 else "", n % 10 != 0, "1") for n in range(10_000)}
    found = assignment_view.summary(Sight(kept, kept.rule, AssignmentLife(tries={"pc0": Try(failures=1)}), machines))
    assert found["counts"] == {"holds": 9_000, "missing": 999, "failed": 1}
    assert {state: len(names) for state, names in found["some"].items()} == {"missing": 5, "failed": 1}


async def test_list_tells_what_the_last_look_saw_and_show_what_is_now(world: Any) -> None:
    await world.package("app", "1")
    for name in ("pc1", "pc2"):
        await world.join(name)
        await world.says(name)
    one = {"name": "a", "target": "node pc1", "has": "app", "window": ["night"], "table": {"has": "app"}}
    document = read({"assignments": [one], "windows": [{"name": "night", "open": "daily 00:00-24:00"}]})
    await Desired(world.assignments).apply(document, Asked("ann"))
    seen = world.assignments.seen
    (row,) = await assignment_view.list_(world.region, seen, 0)
    assert (row["counts"], row["looked"], row["says"]) == ({}, 0, "has app")
    await world.assignments.look()
    (row,) = await assignment_view.list_(world.region, world.assignments.seen, world.assignments.looked)
    assert (row["counts"], row["looked"]) == ({"waiting": 1}, world.now[0])
    shown = await assignment_view.show(world.region, world.targeting, "a")
    assert shown["windows"] == {"night": "daily 00:00-24:00"}
    (machine,) = shown["machines"]
    assert (machine["node"], machine["state"], machine["wants"], shown["more"]) == ("pc1", "waiting", "1", 0)
