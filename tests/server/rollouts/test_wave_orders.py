"""The jobs of a wave."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import select

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_server.database.rollout_tables import rollout_members
from tiercast_server.jobs import rows as job_rows
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts.life import Rules
from tiercast_server.rollouts.rows import Member, Rollout
from tiercast_server.rollouts.wave_orders import order_wave

ONE = Rollout(
    id="r1-ab12",
    number=1,
    undoes="",
    state="running",
    said="",
    rules=Rules(),
    texts=("1", "rest"),
    begun=1,
    reached=0,
    word=False,
    package="app",
    version="2",
    package_revision=1,
    target="",
    options={"priority": 9, "install_at": 1},
    note="n",
    created_by="ann",
    created=1,
    expires=0,
    ended=None,
)


async def test_one_job_for_each_version_with_the_same_content_and_what_stood_there(world: Any) -> None:
    for version in ("1", "2"):
        await world.package("app", version)
    await world.package("app", "2", {"b": b"newer"}, revision=2)
    for name in ("a", "b", "c", "d"):
        await world.join(name)
    before = await world.job(package="app=1", targets=("a",))
    await world.intake.take([world.record(before, "a", "done")])
    one = replace(ONE, expires=world.now[0] + 3_600_000)
    members = [Member("a", 0, "2", 1), Member("b", 0, "1", 1), Member("c", 0, "", 0), Member("d", 1, "2", 1)]
    async with world.region.db.write() as connection:
        await rollout_rows.put(connection, one, [*members, Member("gone", 0, "2", 1)])
        made = await order_wave(world.region, connection, one, 0)
        found = [await job_rows.get(connection, job) for job in made]
        assert await rollout_rows.jobs_of(connection, one.id) == dict.fromkeys(made, 0)
        c = rollout_members.c
        rows = await connection.execute(select(c.node, c.former).where(c.former != ""))
        assert [tuple(row) for row in rows] == [("a", "1")]
    await world.handover.drain()
    assert [(job.type, job.version, job.package_revision, job.options) for job in found] == [
        ("remove", "2", 1, {}),
        ("install", "1", 1, {"priority": 9, "rollout_formers": "1"}),
        ("install", "2", 1, {"priority": 9, "rollout_formers": "1"}),
    ]
    assert {job.note for job in found} == {"r1-ab12, wave 1 of 2: n"}
    assert [names for order, names in world.orders() if order.job in made] == [["c"], ["b"], ["a"]]


async def test_what_the_package_needs_is_ordered_first_and_is_no_part_of_the_wave(world: Any) -> None:
    await world.package("base", "1")
    needy = canonical(Definition("app", "2", requires=("base",)))
    await world.package("app", "2", definition=needy)
    for name in ("a", "b"):
        await world.join(name)
    await world.says("b", packages={"base": "1"})
    one = replace(ONE, expires=world.now[0] + 3_600_000)
    async with world.region.db.write() as connection:
        await rollout_rows.put(connection, one, [Member("a", 0, "2", 1), Member("b", 0, "2", 1)])
        made = await order_wave(world.region, connection, one, 0)
        assert await rollout_rows.jobs_of(connection, one.id) == dict.fromkeys(made, 0)
    await world.handover.drain()
    assert [(order.package, names) for order, names in world.orders()] == [("base", ["a"]), ("app", ["a", "b"])]
