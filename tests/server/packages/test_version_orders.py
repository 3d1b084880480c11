"""The order of a package's versions is its newest definition's, for needs, assignments and newest versions alike."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_server.jobs.checks import Request
from tiercast_server.packages.version_orders import in_options, order_in, orders_of


async def package(world: Any, name: str, version: str, **more: Any) -> None:
    await world.package(name, version, definition=canonical(Definition(name, version, **more)))


async def test_newest_definition_speaks(world: Any) -> None:
    await package(world, "a", "1")
    await package(world, "b", "1", version_order="packaging")
    await package(world, "c", "1", version_order="packaging")
    await package(world, "c", "2", version_order="debian")
    async with world.region.db.read() as connection:
        found = await orders_of(connection, ["a", "b", "c", "none"])
        assert found == {"a": "plain", "b": "packaging", "c": "debian", "none": "plain"}
        options = await in_options(connection, {"package_requires": "a >= 1, b >= 2rc1", "package_conflicts": "c"})
    assert options == {"package_requires": "a >= 1, b >= 2rc1 (packaging)", "package_conflicts": "c"}


async def test_closure_and_order_use_it(world: Any) -> None:
    await world.join("pc1")
    for version in ("2.0rc1", "2.0", "2.0.post1"):
        await package(world, "lib", version, version_order="packaging")
    await package(world, "app", "1", requires=("lib >= 2.0", "lib < 2.0.post1"))
    made = await world.jobs.create(Request(type="install", package="app", by="t", targets=("pc1",)))
    assert [one["package"] for one in made["needs"]] == ["lib=2.0"], "plainly, 2.0rc1 would be newer"
    await world.handover.drain()
    order = world.orders()[-1][0]
    assert order.options["package_requires"] == "lib >= 2.0 (packaging), lib < 2.0.post1 (packaging)"


def test_order_in_any_text() -> None:
    assert order_in("") == order_in("= nonsense") == order_in('version_order = "later"') == "plain"
    assert order_in('version_order = "debian"') == "debian"
