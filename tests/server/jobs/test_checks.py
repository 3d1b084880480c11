"""What can be wrong with a job: every mistake is named, and nothing is written."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import OrderBundle
from tiercast_server.database.tables import jobs
from tiercast_server.jobs.checks import Request, checked
from tiercast_server.jobs.jobs import Jobs


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
        ({"target": "group"}, "target.syntax", ["column 6", "a name"]),
        ({"target": "where (speed > 1)"}, "fact.unknown", ["'speed'"]),
        ({"target": "where (packages.all(p, true))"}, "condition.macro", ["all"]),
        ({"target": "where (cpus > 1000)"}, "job.empty", ["no targets", "inventory of 1"]),
        ({"target": "below nobody or group gone or node nope"}, "node.unknown", ["'nobody'", "'gone'", "'nope'"]),
        ({"target": "below pc1"}, "parent.invalid", ["pc1"]),
        ({"target": "node pc1 minus below server"}, "job.empty", ["nobody is meant by 'node pc1 minus"]),
        ({"targets": ("pc1",), "confirm": 2}, "confirm.wrong", ["2", "1"]),
    ],
)
async def test_mistakes(world: Any, request_: dict[str, Any], code: str, words: list[str]) -> None:
    await _ready(world, "pc1")
    await world.join("gw", "gateway")
    await world.groups.add("empty", [])
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


async def test_many_targets_want_their_exact_number(world: Any) -> None:
    names = [f"pc{number}" for number in range(3)]
    await _ready(world, *names)
    jobs_ = Jobs(world.region, world.changes, world.handover.wake, confirm_above=2)
    request = Request(type="install", package="app", by="t", target="below server")
    for confirm, code in ((0, "confirm.missing"), (2, "confirm.wrong"), (4, "confirm.wrong")):
        with pytest.raises(UsageError, match="3") as caught:
            await jobs_.create(replace(request, confirm=confirm))
        assert caught.value.code == code
    shown = await jobs_.create(replace(request, dry_run=True))
    assert shown == {
        "targets": 3,
        "sites": [{"site": "server", "targets": 3, "nodes": names}],
        "unknown": {},
        "confirm": True,
        "needs": [],
    }
    assert world.tree.of(OrderBundle) == []
    assert (await jobs_.create(replace(request, confirm=3)))["targets"] == 3
