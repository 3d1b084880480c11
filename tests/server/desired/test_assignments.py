"""Assignments in the region: drift is found, put right by ordinary jobs, and limited where it can't be."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.errors import UsageError
from tiercast_server.desired import view as assignment_view
from tiercast_server.desired.apply import Asked, Desired
from tiercast_server.desired.assignments import Assignments
from tiercast_server.desired.document import read
from tiercast_server.desired.life import MOST, PAUSE_MS, SETTLED_MS
from tiercast_server.jobs.checks import Request
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.rollouts.life import Rules

NAMES = ["pc1", "pc2", "pc3"]


async def region_of(world: Any, *versions: str) -> None:
    for version in versions or ("1", "2"):
        await world.package("app", version, {"a": version.encode()})
    for name in NAMES:
        await world.join(name)
        await world.says(name)
    await world.groups.add("all", NAMES[:2])


async def apply(world: Any, *some: dict[str, Any], prune: bool = False) -> dict[str, Any]:
    assignments = [{"target": "group all", **one, "table": one} for one in some]
    found = await Desired(world.assignments).apply(read({"assignments": assignments}), Asked("ann", prune=prune))
    await world.handover.drain()
    return found


async def look(world: Any) -> list[str]:
    made: list[str] = (await world.assignments.look()).made
    await world.handover.drain()
    return made


async def end(world: Any, job: str, state: str, *names: str, **more: Any) -> None:
    await world.intake.take([world.record(job, name, state, **more) for name in names])


async def counts(world: Any, name: str = "a") -> dict[str, int]:
    found = await assignment_view.show(world.region, world.targeting, name)
    told: dict[str, int] = found["counts"]
    return told


async def test_what_is_missing_is_installed_by_one_ordinary_job(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app >= 1", "note": "why", "options": {"priority": 3}})
    (job,) = await look(world)
    shown = await world.view.show(job)
    assert (shown["type"], shown["package"], shown["version"], shown["by"]) == ("install", "app", "2", "ann")
    assert (shown["folder"], shown["note"]) == ("desired/a", "assignment a: why")
    assert [row["node"] for row in shown["targets"]] == NAMES[:2]
    assert len(world.orders()) == 1
    assert await look(world) == []
    assert await counts(world) == {"waiting": 2}
    await end(world, job, "done", "pc1")
    assert await look(world) == []
    assert await counts(world) == {"holds": 1, "waiting": 1}
    await end(world, job, "done", "pc2")
    assert await look(world) == []
    assert await counts(world) == {"holds": 2}


async def test_who_joins_the_group_gets_it_and_who_leaves_keeps_it(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app"})
    (job,) = await look(world)
    await end(world, job, "done", *NAMES[:2])
    await world.groups.join("all", ["pc3"])
    await world.groups.leave("all", ["pc1"])
    (second,) = await look(world)
    assert [row["node"] for row in (await world.view.show(second))["targets"]] == ["pc3"]
    assert (await counts(world)) == {"holds": 1, "waiting": 1}


async def test_another_version_and_what_is_lacking(world: Any) -> None:
    await region_of(world)
    for name, version in (("pc1", "2"), ("pc2", "1")):
        await world.says(name, packages={"app": version})
    await apply(world, {"name": "a", "has": "app < 2"})
    assert await counts(world) == {"holds": 1, "wrong": 1}
    (job,) = await look(world)
    shown = await world.view.show(job)
    assert (shown["type"], shown["version"], len(shown["targets"])) == ("install", "1", 1)
    await end(world, job, "done", "pc1")
    await apply(world, {"name": "a", "lacks": "app"})
    (job,) = await look(world)
    shown = await world.view.show(job)
    assert (shown["type"], shown["options"]["any_version"], len(shown["targets"])) == ("remove", True, 2)
    await end(world, job, "done", *NAMES[:2])
    assert await look(world) == []
    assert await counts(world) == {"holds": 2}


async def test_drift_is_put_right_and_a_fight_ends(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app = 2", "target": "node pc1"})
    (job,) = await look(world)
    await end(world, job, "done", "pc1")
    assert await look(world) == []
    world.now[0] += SETTLED_MS
    await world.says("pc1", packages={})
    (job,) = await look(world)
    await end(world, job, "done", "pc1")
    made = 0
    for _ in range(2 * MOST):
        world.now[0] += 1
        await world.says("pc1", packages={})
        await look(world)
        world.now[0] += SETTLED_MS // 2
        for job in await look(world):
            made += 1
            world.now[0] += 1
            await end(world, job, "done", "pc1")
    assert made == MOST - 1
    found = await assignment_view.show(world.region, world.targeting, "a")
    (row,) = found["machines"]
    assert (row["state"], row["code"], row["failures"]) == ("failed", "assignment.undone", MOST)
    assert await world.assignments.retry("a", ["pc1"]) == {"assignment": "a", "nodes": ["pc1"]}
    assert len(await look(world)) == 1


async def test_failures_back_off_and_a_cancelled_job_waits_for_a_word(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app"})
    (job,) = await look(world)
    await end(world, job, "failed", "pc1", code="program.failed", detail="exit 3")
    await world.jobs.cancel(job)
    await end(world, job, "cancelled", "pc2", revision=2)
    found = await world.assignments.look()
    assert (found.made, found.wake) == ([], world.now[0] + PAUSE_MS)
    rows = (await assignment_view.show(world.region, world.targeting, "a"))["machines"]
    assert [(row["node"], row["state"], row["code"], row["again"] > 0) for row in rows] == [
        ("pc1", "failed", "program.failed", True),
        ("pc2", "failed", "job.cancelled", False),
    ]
    world.now[0] += PAUSE_MS
    (second,) = await look(world)
    assert [row["node"] for row in (await world.view.show(second))["targets"]] == ["pc1"]
    with pytest.raises(UsageError) as caught:
        await world.assignments.retry("a", ["pc3"])
    assert caught.value.code == "assignment.retry"
    assert (await world.assignments.retry("a", []))["nodes"] == ["pc1", "pc2"]
    assert len(await look(world)) == 1


async def test_a_kill_between_two_looks_makes_no_second_job(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app"})
    (job,) = await look(world)
    jobs = Jobs(world.region, world.changes, world.handover.wake, world.targeting)
    fresh = Assignments(world.region, jobs, world.changes, world.rollouts)
    assert (await fresh.look()).made == []
    assert (await world.view.show(job))["state"] == "open"


async def test_a_job_about_the_package_that_is_open_is_waited_for(world: Any) -> None:
    await region_of(world)
    job = await world.job("install", "app=1", targets=("pc1",))
    await apply(world, {"name": "a", "has": "app = 2"})
    (made,) = await look(world)
    assert [row["node"] for row in (await world.view.show(made))["targets"]] == ["pc2"]
    assert await counts(world) == {"waiting": 2}
    await end(world, job, "done", "pc1")
    assert len(await look(world)) == 1


async def test_what_nobody_said_is_unknown_and_left(world: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    await world.groups.add("all", ["pc1"])
    await apply(world, {"name": "a", "has": "app"})
    assert await look(world) == []
    assert await counts(world) == {"unknown": 1}
    await world.says("pc1")
    assert len(await look(world)) == 1


async def test_two_assignments_of_a_machine_get_one_version_that_does_for_both(world: Any) -> None:
    await region_of(world, "1", "2", "3")
    await apply(world, {"name": "a", "has": "app"}, {"name": "b", "has": "app < 3"})
    (job,) = await look(world)
    assert (await world.view.show(job))["version"] == "2"


async def test_those_that_come_to_contradict_each_other_do_nothing_and_say_so(world: Any) -> None:
    await region_of(world)
    some = {"name": "a", "has": "app = 1"}, {"name": "b", "has": "app = 2", "target": "group other"}
    await world.groups.add("other", ["pc3"])
    await apply(world, *some)
    await world.groups.join("other", ["pc1"])
    made = await look(world)
    found = {row["node"]: row["version"] for job in made for row in [await one(world, job)]}
    assert found == {"pc2": "1", "pc3": "2"}
    assert (await counts(world))["contradicted"] == 1


async def one(world: Any, job: str) -> dict[str, Any]:
    shown = await world.view.show(job)
    (row,) = shown["targets"]
    return {"node": row["node"], "version": shown["version"]}


async def test_paused_deleted_and_changed_ones(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app", "paused": True})
    assert await look(world) == []
    assert await counts(world) == {"missing": 2}
    await apply(world, {"name": "a", "has": "app = 1"})
    (job,) = await look(world)
    await apply(world, {"name": "a", "has": "app = 2"})
    assert (await world.view.show(job))["cancelling"]
    await end(world, job, "cancelled", *NAMES[:2], revision=2)
    (second,) = await look(world)
    assert (await world.view.show(second))["version"] == "2"
    await apply(world, prune=True)
    assert (await world.view.show(second))["cancelling"]
    assert await look(world) == []


async def test_times_that_are_over_are_left_out(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app", "expires_s": 60, "options": {"install_at": world.now[0] + 30_000}})
    world.now[0] += 40_000
    (job,) = await look(world)
    assert "install_at" not in (await world.view.show(job))["options"]


async def test_jobs_that_contradict_an_assignment_are_refused(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app >= 2"})
    (job,) = await look(world)
    await end(world, job, "done", *NAMES[:2])
    for type_, package in (("remove", "app"), ("remove", "app=2"), ("install", "app=1")):
        with pytest.raises(UsageError) as caught:
            await world.job(type_, package, targets=("pc2", "pc3"))
        assert caught.value.code == "job.assigned"
        assert "The assignment a of ann says that pc2 has app >= 2" in caught.value.what
    request = Request(type="install", package="app=1", by="bob", targets=("pc1",), follow=False)
    with pytest.raises(UsageError) as caught:
        await world.rollouts.start(request, ["rest"], Rules())
    assert caught.value.code == "job.assigned"
    await world.job("remove", "app=1", targets=("pc2",))
    await world.job("install", "app=2", targets=("pc1", "pc3"))
    await apply(world, {"name": "a", "has": "app >= 2", "paused": True})
    await world.job("install", "app=1", targets=("pc3",))


async def test_a_group_with_an_assignment_is_not_deleted(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app"})
    with pytest.raises(UsageError) as caught:
        await world.groups.remove("all")
    assert caught.value.code == "group.assigned"


async def test_who_left_the_region_hinders_nobody(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app", "target": "node pc1, pc2"})
    await world.enrolment.remove("pc1")
    (job,) = await look(world)
    assert [row["node"] for row in (await world.view.show(job))["targets"]] == ["pc2"]


async def test_what_a_package_needs_is_ordered_first_and_what_can_not_be_leaves_nothing(world: Any) -> None:
    for name, requires in (("lib", ()), ("app", ("lib",)), ("odd", ("lib", "nothing"))):
        await world.package(name, "1", definition=canonical(Definition(name, "1", requires=requires)))
    for name in NAMES[:2]:
        await world.join(name)
        await world.says(name)
    await apply(world, {"name": "a", "has": "app", "target": "node pc1"})
    made = await look(world)
    assert [(await world.view.show(job))["package"] for job in made] == ["lib", "app"]
    assert await look(world) == []
    await apply(world, {"name": "b", "has": "odd", "target": "node pc2"})
    assert await look(world) == []
    (row,) = (await assignment_view.show(world.region, world.targeting, "b"))["machines"]
    assert (row["state"], row["code"].split(".")[0], row["failures"]) == ("failed", "dependency", 1)
    assert len(await world.view.list_(99)) == 2


async def test_a_machine_whose_owner_holds_the_job_back_is_held(world: Any) -> None:
    await region_of(world)
    await apply(world, {"name": "a", "has": "app"})
    (job,) = await look(world)
    await end(world, job, "waiting", "pc1", code="owner.deferred", detail="{}")
    assert await counts(world) == {"waiting": 1, "held": 1}
    await end(world, job, "rejected", "pc1")
    assert await look(world) == []
    found = await assignment_view.show(world.region, world.targeting, "a")
    assert {row["node"]: row["state"] for row in found["machines"]} == {"pc1": "failed", "pc2": "waiting"}
