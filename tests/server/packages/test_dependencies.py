"""What is missing becomes jobs of its own, first, on the same terms; what can't be is refused, and nothing is made."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import Request


async def package(world: Any, name: str, version: str, *requires: str) -> None:
    await world.package(name, version, definition=canonical(Definition(name, version, requires=requires)))


def asked(*nodes: str, **more: Any) -> Request:
    return Request(type="install", package="app", by="t", targets=nodes, **more)


@pytest.fixture(name="three")
async def _three(world: Any) -> Any:
    for name in ("pc1", "pc2", "pc3"):
        await world.join(name)
    await package(world, "base", "1")
    await package(world, "lib", "1")
    await package(world, "lib", "2.1", "base")
    await package(world, "app", "1", "lib >= 2")
    return world


async def test_what_is_missing_is_ordered_first_where_it_is_missing(three: Any) -> None:
    base = await three.job(package="base", targets=("pc2",))
    await three.intake.take([three.record(base, "pc2", "done")])
    lib = await three.job(package="lib", targets=("pc3",))
    made = await three.jobs.create(asked("pc1", "pc2", "pc3", options={"priority": 9}))
    assert [(one["package"], one["nodes"]) for one in made["needs"]] == [
        ("base=1", ["pc1"]),
        ("lib=2.1", ["pc1", "pc2"]),
    ]
    assert all(one["bytes"] > 0 for one in made["needs"])
    await three.handover.drain()
    orders = [(order.package, names, order.options.get("priority")) for order, names in three.orders()][-3:]
    assert orders == [("base", ["pc1"], 9), ("lib", ["pc1", "pc2"], 9), ("app", ["pc1", "pc2", "pc3"], 9)]
    shown = await three.view.show(made["needs"][0]["job"])
    assert shown["note"] == "needed by app"
    assert lib not in {one["job"] for one in made["needs"]}, "one that is on its way is not ordered again"


async def test_a_dry_run_shows_it_and_makes_nothing(three: Any) -> None:
    found = await three.jobs.create(asked("pc1", dry_run=True))
    assert [(one["package"], one["targets"], one["job"]) for one in found["needs"]] == [
        ("base=1", 1, ""),
        ("lib=2.1", 1, ""),
    ]
    assert found["targets"] == 1
    await three.handover.drain()
    assert three.orders() == []


async def test_what_can_not_be_is_refused_and_nothing_is_made(three: Any) -> None:
    await package(three, "base", "2", "app")
    with pytest.raises(UsageError, match="app -> lib -> base -> app") as caught:
        await three.jobs.create(asked("pc1"))
    assert caught.value.code == "dependency.cycle"
    await package(three, "app", "2", "nothing >= 1")
    with pytest.raises(UsageError, match="no package is called nothing") as caught:
        await three.jobs.create(asked("pc1"))
    assert caught.value.code == "dependency.unsatisfiable"
    await three.handover.drain()
    assert three.orders() == []


async def test_what_the_machine_says_of_itself_counts(three: Any) -> None:
    await three.says("pc1", packages={"lib": "2.5", "base": "1"})
    made = await three.jobs.create(asked("pc1"))
    assert made["needs"] == []
