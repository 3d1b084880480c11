"""What others need is not removed, unless it is forced, or they go too."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import Request


def removal(package: str, *nodes: str, **more: Any) -> Request:
    return Request(type="remove", package=package, by="t", targets=nodes, **more)


@pytest.fixture(name="needy")
async def _needy(world: Any) -> Any:
    await world.join("pc1")
    await world.join("pc2")
    await world.package("lib", "1", definition=canonical(Definition("lib", "1")))
    await world.package("app", "1", definition=canonical(Definition("app", "1", requires=("lib >= 1",))))
    await world.package("app", "2", definition=canonical(Definition("app", "2", description="without lib")))
    await world.says("pc1", packages={"lib": "1", "app": "1"})
    await world.says("pc2", packages={"lib": "1", "app": "2"})
    return world


async def test_refused_with_who_needs_it_and_where(needy: Any) -> None:
    with pytest.raises(UsageError, match="on pc1 app 1 needs lib >= 1") as caught:
        await needy.jobs.create(removal("lib", "pc1", "pc2"))
    assert caught.value.code == "dependency.needed"
    await needy.handover.drain()
    assert needy.orders() == []


async def test_only_versions_that_need_it_count(needy: Any) -> None:
    assert (await needy.jobs.create(removal("lib", "pc2")))["targets"] == 1


async def test_forced(needy: Any) -> None:
    assert (await needy.jobs.create(removal("lib", "pc1", anyway=True)))["targets"] == 1
    await needy.handover.drain()
    assert needy.orders()[-1][0].options["though_needed"] is True


async def test_what_leaves_too_needs_nothing(needy: Any) -> None:
    await needy.jobs.create(removal("app", "pc1"))
    assert (await needy.jobs.create(removal("lib", "pc1")))["targets"] == 1
