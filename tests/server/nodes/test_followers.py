"""Jobs follow their groups: newcomers get them once, until the job expires or is cancelled."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError


async def _ready(world: Any, *names: str, group: str = "office") -> None:
    for version in ("1", "2"):
        await world.package("app", version)
    for name in names:
        await world.join(name)
    await world.groups.add(group, names[:1])


async def _joins(world: Any, name: str, group: str = "office") -> list[str]:
    jobs: list[str] = (await world.groups.join(group, [name]))["jobs"]
    await world.handover.drain()
    return jobs


def _ordered(world: Any) -> list[tuple[int, list[str]]]:
    return [(order.revision, names) for order, names in world.orders()]


async def _states(world: Any, job: str) -> dict[str, str]:
    return {target["node"]: target["state"] for target in (await world.view.show(job))["targets"]}


async def test_a_newcomer_gets_the_job_while_it_is_open_and_after_it_was_done(world: Any) -> None:
    await _ready(world, "pc1", "pc2", "pc3")
    job = await world.job(groups=("office",))
    assert await _joins(world, "pc2") == [job]
    await world.intake.take([world.record(job, "pc1", "done"), world.record(job, "pc2", "done", revision=2)])
    assert (await world.view.show(job))["state"] == "done"
    assert await _joins(world, "pc3") == [job]
    assert _ordered(world) == [(1, ["pc1"]), (2, ["pc2"]), (3, ["pc3"])]
    assert (await world.view.show(job))["state"] == "open"
    await world.intake.take([world.record(job, "pc3", "done", revision=3)])
    assert (await world.view.show(job))["state"] == "done"
    assert await _states(world, job) == {"pc1": "done", "pc2": "done", "pc3": "done"}


async def test_who_leaves_and_joins_again_is_not_new(world: Any) -> None:
    await _ready(world, "pc1", "pc2")
    job = await world.job(groups=("office",))
    await _joins(world, "pc2")
    await world.groups.leave("office", ["pc2"])
    assert await _joins(world, "pc2") == []
    assert _ordered(world) == [(1, ["pc1"]), (2, ["pc2"])]
    assert set(await _states(world, job)) == {"pc1", "pc2"}


async def test_it_ends_with_the_job_and_with_a_cancel(world: Any) -> None:
    await _ready(world, "pc1", "pc2", "pc3")
    job = await world.job(groups=("office",), expires_s=60)
    await world.intake.take([world.record(job, "pc1", "done")])
    assert (await world.jobs.cancel(job)) == {"job": job, "again": False, "targets": []}
    assert await _joins(world, "pc2") == []
    with pytest.raises(UsageError, match="done already"):
        await world.jobs.cancel(job)
    other = await world.job(groups=("office",), expires_s=60)
    await world.jobs.cancel(other)
    assert await _joins(world, "pc3") == []
    third = await world.job(groups=("office",), expires_s=60)
    world.now[0] += 61_000
    await world.groups.leave("office", ["pc3"])
    assert await _joins(world, "pc3") == []
    assert set(await _states(world, third)) == {"pc1", "pc2", "pc3"}


async def test_once_and_nodes_by_name_follow_nothing(world: Any) -> None:
    await _ready(world, "pc1", "pc2")
    await world.job(groups=("office",), follow=False)
    await world.job(targets=("pc1",))
    await world.job(target="below server minus node pc2")
    assert await _joins(world, "pc2") == []


async def test_the_whole_target_is_asked_of_a_newcomer(world: Any) -> None:
    await _ready(world, "pc1", "pc2", "pc3")
    await world.says("pc1")
    job = await world.job(target="group office minus where (cpus > 4) minus node pc3")
    await world.says("pc2", cpus=8)
    assert await _joins(world, "pc2") == []
    assert await _joins(world, "pc3") == []
    await world.groups.leave("office", ["pc2"])
    await world.says("pc2", cpus=2)
    assert await _joins(world, "pc2") == [job]


async def test_of_several_jobs_about_one_package_the_newest_is_for_newcomers(world: Any) -> None:
    await _ready(world, "pc1", "pc2", "pc3")
    first = await world.job(package="app=1", groups=("office",))
    second = await world.job(package="app=2", groups=("office",))
    assert await _joins(world, "pc2") == [second]
    await world.intake.take([world.record(first, "pc1", "done"), world.record(second, "pc1", "done")])
    await world.intake.take([world.record(second, "pc2", "done", revision=2)])
    third = await world.job(type_="remove", groups=("office",))
    assert await _joins(world, "pc3") == [third]
    assert set(await _states(world, first)) == {"pc1"}


async def test_a_machine_by_its_facts_and_one_by_itself(world: Any) -> None:
    await _ready(world, "pc1", "pc2", "pc3")
    await world.says("pc1", cpus=8)
    await world.groups.add("big", [], where="cpus >= 4")
    await world.groups.add("open", ["pc1"], self_join=True)
    job = await world.job(target="group big or group open")
    await world.says("pc2", cpus=2)
    await world.says("pc2", cpus=16)
    await world.says("pc3", groups=["open"])
    assert _ordered(world) == [(1, ["pc1"]), (2, ["pc2"]), (3, ["pc3"])]
    assert (await world.view.show(job))["follows"]


async def test_who_was_invited_waits_and_a_group_that_is_gone_stops_nothing(world: Any) -> None:
    await _ready(world, "pc1")
    await world.groups.add("other", ["pc1"])
    await world.job(groups=("other",))
    job = await world.job(target="group office or group other")
    await world.invite("new")
    assert await _joins(world, "new") == [job]
    assert (await _states(world, job))["new"] == "waiting"
    await world.groups.remove("office")
    await world.join("new")
    await world.groups.leave("other", ["pc1"])
    assert await _joins(world, "pc1", "other") == []


@pytest.mark.parametrize("seed", range(4))
async def test_in_any_story_nobody_is_ordered_twice_and_no_newcomer_is_forgotten(world: Any, seed: int) -> None:
    rng = random.Random(seed)
    names = [f"pc{number}" for number in range(6)]
    await _ready(world, *names)
    await world.groups.add("big", [], where="cpus > 4")
    await world.groups.add("open", [], self_join=True)
    jobs: dict[str, str] = {}
    for package in ("app", "other"):
        await world.package(package, "1")
        jobs[package] = await world.job(
            package=package, target="group office, big, open minus node pc5", expires_s=1000
        )
    ended: set[str] = set()
    wanted: dict[str, set[str]] = {job: {"pc0"} for job in jobs.values()}
    wishes: dict[str, list[str]] = {}
    for _ in range(30):
        node, package = rng.choice(names), rng.choice(list(jobs))
        job = jobs[package]
        match rng.randrange(8):
            case 0 | 1:
                await world.groups.join("office", [node])
            case 2:
                if node in (await world.groups.show("office"))["members"]:
                    await world.groups.leave("office", [node])
            case 3 | 4:
                await world.says(node, cpus=rng.choice([1, 8]), groups=wishes.get(node, []))
            case 5:
                wishes[node] = rng.choice([[], ["open"]])
                await world.says(node, groups=wishes[node])
            case 6:
                states = await _states(world, job)
                if states.get(node) == "ordered":
                    revision = max(order.revision for order, who in world.orders() if order.job == job and node in who)
                    await world.intake.take([world.record(job, node, "done", revision=revision)])
            case _ if rng.random() < 0.2 and job not in ended:
                await world.jobs.cancel(job)
                ended.add(job)
        await world.handover.drain()
        members = {name for group in ("office", "big", "open") for name in (await world.groups.show(group))["members"]}
        for open_ in wanted.keys() - ended:
            wanted[open_] |= members - {"pc5"}
    for job in jobs.values():
        assert set(await _states(world, job)) == wanted[job]
        ordered = [
            name for order, who in world.orders() if order.job == job and order.type == "install" for name in who
        ]
        assert sorted(ordered) == sorted(wanted[job])
