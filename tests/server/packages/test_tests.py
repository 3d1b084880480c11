"""A test is two jobs on one machine with signed receipts; only tested packages are ordered where that is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import Request
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.packages import packages
from tiercast_server.packages import tests as package_tests


def strict(world: Any) -> Jobs:
    return Jobs(world.region, world.changes, lambda: None, world.targeting, tested_only=True)


async def job(world: Any, type_: str, node: str = "pc1", **more: Any) -> str:
    request = Request(type=type_, package="app", by="t", targets=(node,), test=True, **more)
    made: str = (await strict(world).create(request))["job"]
    await world.handover.drain()
    return made


async def ended(world: Any, job: str, node: str = "pc1", code: str = "") -> None:
    await world.intake.take([world.record(job, node, "done", code=code)])


async def test_from_refused_to_ordered(world: Any) -> None:
    await world.join("pc1")
    await world.join("pc2")
    await world.package("app", "1")
    asked = Request(type="install", package="app", by="t", targets=("pc1", "pc2"))
    with pytest.raises(UsageError, match="was not tested") as caught:
        await strict(world).create(asked)
    assert caught.value.code == "package.untested"
    installed = await job(world, "install")
    await ended(world, installed)
    undone = await job(world, "remove")
    with pytest.raises(UsageError, match="ended ordered on pc1"):
        await package_tests.record(world.region, "app", installed, undone, "t")
    await ended(world, undone)
    made = await package_tests.record(world.region, "app", installed, undone, "t")
    assert made["node"] == "pc1"
    async with world.region.db.read() as connection:
        held = await package_tests.of(connection, await packages.find_sealed(connection, "app"))
    assert held is not None
    assert (held["job"], held["undo"], held["by"]) == (installed, undone, "t")
    assert (await strict(world).create(asked))["targets"] == 2
    await world.package("app", "2")
    with pytest.raises(UsageError, match="app=2/1 was not tested"):
        await strict(world).create(asked)


async def test_what_is_no_test(world: Any) -> None:
    await world.join("pc1")
    await world.package("app", "1")
    unchanged = await job(world, "install")
    await ended(world, unchanged, code="unchanged")
    undone = await job(world, "remove")
    await ended(world, undone)
    for first, second, code in ((unchanged, undone, "test.result"), (undone, unchanged, "test.job")):
        with pytest.raises(UsageError) as caught:
            await package_tests.record(world.region, "app", first, second, "t")
        assert caught.value.code == code


async def test_a_test_is_on_one_machine(world: Any) -> None:
    await world.join("pc1")
    await world.join("pc2")
    await world.package("app", "1")
    with pytest.raises(UsageError, match="on one machine, not on 2"):
        await world.jobs.create(Request(type="install", package="app", by="t", targets=("pc1", "pc2"), test=True))
