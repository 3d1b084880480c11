"""What the library says against a definition: unknown, unsatisfiable, circular, taken."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_server.packages.definition_check import check


async def package(world: Any, name: str, version: str, **more: Any) -> None:
    await world.package(name, version, definition=canonical(Definition(name, version, **more)))


async def told(world: Any, definition: Definition) -> list[tuple[str, str, bool]]:
    async with world.region.db.read() as connection:
        return [(one.key, one.problem, one.warning) for one in await check(connection, definition)]


async def test_unknown_and_unsatisfiable_at_once(world: Any) -> None:
    await package(world, "lib", "1.0rc1", version_order="packaging")
    found = await told(world, Definition("app", "1", requires=("lib >= 1.0", "libb", "none"), before=("nobody",)))
    assert [(key, warning) for key, _, warning in found] == [("requires", False)] * 3 + [("before", True)]
    assert found[0][1] == "no version satisfies lib >= 1.0 (packaging); there are: 1.0rc1"
    assert "Did you mean 'lib'" in found[1][1]


async def test_circle(world: Any) -> None:
    await package(world, "app", "1")
    await package(world, "lib", "1", requires=("app",))
    ((key, problem, _),) = await told(world, Definition("app", "2", requires=("lib",)))
    assert key == "requires"
    assert "app -> lib -> app" in problem


async def test_what_is_registered_with_other_words(world: Any) -> None:
    await package(world, "app", "1")
    assert await told(world, Definition("app", "1")) == []
    ((key, _, warning),) = await told(world, Definition("app", "1", description="another"))
    assert (key, warning) == ("revision", True)


async def test_before_what_it_needs_by_way_of_others(world: Any) -> None:
    await package(world, "base", "1")
    await package(world, "lib", "1", requires=("base",))
    ((key, problem, _),) = await told(world, Definition("app", "1", requires=("lib",), before=("base",)))
    assert key == "before"
    assert "names base, which it needs" in problem
