"""What can be wrong with a job: every mistake is named, and nothing is written."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from tiercast_protocol.errors import UsageError
from tiercast_server import groups
from tiercast_server.database.tables import jobs
from tiercast_server.job_checks import Request, checked


async def _ready(world: Any, *names: str) -> None:
    await world.package("app", "1")
    for name in names:
        await world.join(name)


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"targets": ("nope", "pc1", "neither")}, "node.unknown", ["'neither'", "'nope'"]),
        ({"targets": ("nope",), "groups": ("gone",)}, "node.unknown", ["'nope'", "'gone'"]),
        ({"groups": ("gone",)}, "group.unknown", ["'gone'"]),
        ({}, "job.empty", ["no targets"]),
        ({"groups": ("empty",)}, "job.empty", ["empty"]),
        ({"type": "preload", "targets": ("pc1",)}, "target.role", ["pc1"]),
        ({"targets": ("gw",)}, "target.role", ["gw"]),
        ({"type": "explode", "targets": ("pc1",)}, "type.unknown", ["explode"]),
        ({"package": "nothing", "targets": ("pc1",)}, "package.unknown", ["nothing"]),
        ({"package": "app=9", "targets": ("pc1",)}, "package.unknown", ["app=9"]),
        ({"package": "app=", "targets": ("pc1",)}, "reference.invalid", ["app="]),
        ({"targets": ("pc1",), "expires_s": 0}, "expiry.invalid", ["0"]),
        ({"targets": ("pc1",), "options": {"x": [1]}}, "options.invalid", ["x"]),
    ],
)
async def test_mistakes(world: Any, request_: dict[str, Any], code: str, words: list[str]) -> None:
    await _ready(world, "pc1")
    await world.join("gw", "gateway")
    await groups.add(world.region, "empty", [])
    with pytest.raises(UsageError) as caught:
        await world.jobs.create(Request(**{"type": "install", "package": "app", "by": "t", **request_}))
    assert caught.value.code == code
    assert all(word in caught.value.what for word in words)
    async with world.region.db.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(jobs))).scalar_one() == 0


async def test_opposite_orders_name_the_other_job(world: Any) -> None:
    await _ready(world, "pc1", "pc2")
    first = await world.job("install", targets=("pc1",))
    with pytest.raises(UsageError, match=first) as caught:
        await world.job("remove", targets=("pc1", "pc2"))
    assert caught.value.code == "job.conflict"
    await world.job("remove", targets=("pc2",))
    await world.intake.take([world.record(first, "pc1", "done")])
    await world.job("remove", targets=("pc1",))


async def test_two_administrators_at_once(world: Any) -> None:
    await _ready(world, "pc1")
    results = await asyncio.gather(
        world.job("install", targets=("pc1",)), world.job("remove", targets=("pc1",)), return_exceptions=True
    )
    assert [isinstance(result, UsageError) for result in results].count(True) == 1


@pytest.mark.parametrize(
    ("type_", "package", "options", "code"),
    [
        ("install", "", {}, "package.missing"),
        ("run", "app", {"argv": '["/bin/true"]'}, "package.needless"),
        ("run", "", {}, "run.argv"),
        ("message", "", {"text": ""}, "message.text"),
        ("restart", "app", {}, "package.needless"),
    ],
)
def test_what_a_type_needs(type_: str, package: str, options: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked(Request(type=type_, package=package, by="t", targets=("pc1",), options=options))
    assert caught.value.code == code
