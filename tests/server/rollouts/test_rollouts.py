"""Rollouts in the region: waves of ordinary jobs, gates, breaker, kills, bad input."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import Request
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts import view as rollout_view
from tiercast_server.rollouts.life import Rules
from tiercast_server.rollouts.rollouts import Rollouts

NAMES = ["pc1", "pc2", "pc3", "pc4"]


async def region_of(world: Any, count: int = 4) -> None:
    await world.package("app", "1")
    await world.join("west", "gateway")
    for name in NAMES[:count]:
        await world.join(name, parent="west")


async def start(world: Any, *waves: str, **more: Any) -> dict[str, Any]:
    rules = Rules(**{key: more.pop(key) for key in list(more) if key in Rules.__dataclass_fields__})
    asked = {"targets": tuple(NAMES), "package": "app"} | more
    made: dict[str, Any] = await world.rollouts.start(Request(type="install", by="ann", **asked), waves, rules)
    await world.handover.drain()
    return made


async def shown(world: Any, rollout: str) -> dict[str, Any]:
    return await rollout_view.show(world.region, rollout)


async def targets_of(world: Any, job: str) -> list[str]:
    return [row["node"] for row in (await world.view.show(job))["targets"]]


async def end(world: Any, job: str, state: str = "done", *names: str) -> None:
    names = names or tuple(await targets_of(world, job))
    await world.intake.take([world.record(job, name, state) for name in names])


async def jobs(world: Any, rollout: str) -> list[str]:
    return [job for wave in (await shown(world, rollout))["waves"] for job in wave["jobs"]]


async def test_waves_are_jobs_one_after_the_other(world: Any) -> None:
    await region_of(world)
    made = await start(world, "1", "50%", "rest")
    assert made["waves"] == [1, 2, 1]
    (first,) = made["jobs"]
    job = await world.view.show(first)
    assert job["folder"] == f"rollouts/{made['rollout']}"
    assert job["note"] == f"{made['rollout']}, wave 1 of 3"
    assert (await world.rollouts.look()).made == []
    await end(world, first)
    (second,) = (await world.rollouts.look()).made
    assert len(await targets_of(world, second)) == 2
    await end(world, second)
    (third,) = (await world.rollouts.look()).made
    now = await shown(world, made["rollout"])
    assert [wave["state"] for wave in now["waves"]] == ["ended", "ended", "running"]
    assert now["gate"] == {}
    await end(world, third)
    assert (await world.rollouts.look()).made == []
    assert (await shown(world, made["rollout"]))["state"] == "done"
    everybody = [name for job in (first, second, third) for name in await targets_of(world, job)]
    assert sorted(everybody) == NAMES


async def test_a_dry_run_shows_the_very_waves_and_orders_nothing(world: Any) -> None:
    await region_of(world)
    dry = await start(world, "1", "50%", "rest", dry_run=True)
    assert [wave["targets"] for wave in dry["waves"]] == [1, 2, 1]
    assert await rollout_view.list_(world.region, 9) == []
    made = await start(world, "1", "50%", "rest")
    (first,) = made["jobs"]
    assert [name for site in dry["waves"][0]["sites"] for name in site["nodes"]] == await targets_of(world, first)


async def test_the_breaker_cancels_what_has_not_begun_and_says_who_failed(world: Any) -> None:
    await region_of(world)
    made = await start(world, "3", "rest", stop_number=1, go_on=0, by_hand=True)
    (job,) = made["jobs"]
    names = await targets_of(world, job)
    await world.intake.take([world.record(job, names[0], "failed", code="program.failed", detail="exit 3")])
    await world.rollouts.look()
    now = await shown(world, made["rollout"])
    assert now["state"] == "stopping"
    assert now["said"] == "1 of 3 targets failed; it stops at 1"
    assert [(row["node"], row["wave"], row["code"]) for row in now["failed"]] == [(names[0], 1, "program.failed")]
    assert (await world.view.show(job))["cancelling"]
    await world.intake.take([world.record(job, name, "cancelled", revision=2) for name in names[1:]])
    assert (await world.rollouts.look()).made == []
    now = await shown(world, made["rollout"])
    assert (now["state"], now["gate"]["code"]) == ("stopped", "breaker.open")
    with pytest.raises(UsageError) as caught:
        await world.rollouts.say(made["rollout"], "next")
    assert caught.value.code == "rollout.ended"


async def test_soak_and_by_hand(world: Any) -> None:
    await region_of(world)
    made = await start(world, "1", "1", "rest", soak_ms=3_600_000, go_on=100_000)
    await end(world, made["jobs"][0])
    found = await world.rollouts.look()
    assert (found.made, found.wake) == ([], world.now[0] + 3_600_000)
    gate = (await shown(world, made["rollout"]))["gate"]
    assert (gate["code"], gate["until"]) == ("gate.shut", world.now[0] + 3_600_000)
    world.now[0] += 3_600_000
    assert len((await world.rollouts.look()).made) == 1
    said = await world.rollouts.say(made["rollout"], "next")
    assert len(said["jobs"]) == 1
    with pytest.raises(UsageError) as caught:
        await world.rollouts.say(made["rollout"], "next")
    assert caught.value.code == "rollout.last"


async def test_pause_resume_and_cancel(world: Any) -> None:
    await region_of(world)
    made = await start(world, "2", "rest")
    assert (await world.rollouts.say(made["rollout"], "pause"))["state"] == "paused"
    await end(world, made["jobs"][0])
    assert (await world.rollouts.look()).made == []
    assert (await shown(world, made["rollout"]))["gate"]["code"] == "rollout.paused"
    (job,) = (await world.rollouts.say(made["rollout"], "resume"))["jobs"]
    assert (await world.rollouts.say(made["rollout"], "cancel"))["state"] == "cancelling"
    assert (await world.view.show(job))["cancelling"]
    await end(world, job, "cancelled")
    await world.rollouts.look()
    after = await shown(world, made["rollout"])
    assert (after["state"], after["ended"]) == ("cancelled", world.now[0])


async def test_a_killed_server_goes_on_where_the_database_stands(world: Any) -> None:
    await region_of(world)
    made = await start(world, "1", "rest")
    await end(world, made["jobs"][0])  # and nobody looked any more
    again = Rollouts(world.region, world.jobs, world.changes)
    assert len((await again.look()).made) == 1
    assert (await again.look()).made == []
    assert len(await jobs(world, made["rollout"])) == 2


async def test_the_wave_and_what_the_rollout_keeps_are_one_transaction(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await region_of(world)
    made = await start(world, "1", "rest")
    await end(world, made["jobs"][0])
    keep = rollout_rows.keep

    async def killed(*_args: Any, **_more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rollout_rows, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        await world.rollouts.look()
    monkeypatch.setattr(rollout_rows, "keep", keep)
    assert await jobs(world, made["rollout"]) == made["jobs"]
    assert len((await world.rollouts.look()).made) == 1


async def test_what_makes_a_wave_impossible_pauses_it_and_says_why(world: Any) -> None:
    await region_of(world)
    made = await start(world, "1", "rest")
    first = (await targets_of(world, made["jobs"][0]))[0]
    other = next(name for name in NAMES if name != first)
    opposite = await world.job("remove", targets=(other,))
    await end(world, made["jobs"][0])
    assert (await world.rollouts.look()).made == []
    now = await shown(world, made["rollout"])
    assert now["state"] == "paused"
    assert opposite in now["said"]
    assert opposite in now["gate"]["says"]
    await end(world, opposite)
    assert len((await world.rollouts.say(made["rollout"], "resume"))["jobs"]) == 1


async def test_who_left_the_region_is_left_out(world: Any) -> None:
    await region_of(world)
    made = await start(world, "1", "rest")
    first = (await targets_of(world, made["jobs"][0]))[0]
    for name in NAMES:
        if name != first:
            await world.enrolment.remove(name)
    await end(world, made["jobs"][0])
    await world.rollouts.look()
    assert (await shown(world, made["rollout"]))["state"] == "done"


async def test_at_its_expiry_it_ends(world: Any) -> None:
    await region_of(world)
    made = await start(world, "1", "rest", expires_s=60)
    world.now[0] += 60_000
    await world.rollouts.look()
    assert (await shown(world, made["rollout"]))["state"] == "expiring"
    world.now[0] += 31_000
    await world.jobs.expire()
    await world.rollouts.look()
    assert (await shown(world, made["rollout"]))["state"] == "expired"


@pytest.mark.parametrize(
    ("waves", "more", "code"),
    [
        (["101%"], {}, "wave.share"),
        (["1"], {}, "wave.left"),
        (["rest"], {"targets": ()}, "job.empty"),
        (["group nobody", "rest"], {}, "group.unknown"),
        (["rest"], {"targets": ("nobody",)}, "node.unknown"),
        (["rest"], {"package": "other"}, "package.unknown"),
        (["rest"], {"confirm": 3}, "confirm.wrong"),
        (["rest"], {"expires_s": 0}, "expiry.invalid"),
        (["rest"], {"options": {"install_at": 1}}, "times.past"),
    ],
)
async def test_bad_input_is_refused_before_anything_runs(
    world: Any, waves: list[str], more: dict[str, Any], code: str
) -> None:
    await region_of(world)
    with pytest.raises(UsageError) as caught:
        await start(world, *waves, **more)
    assert caught.value.code == code
    assert await rollout_view.list_(world.region, 9) == []
    assert await world.view.list_(9) == []


async def test_an_open_opposite_of_any_target_is_refused_at_once(world: Any) -> None:
    await region_of(world)
    await world.job("remove", targets=("pc4",))
    with pytest.raises(UsageError) as caught:
        await start(world, "1", "rest")
    assert caught.value.code == "job.conflict"


async def test_two_rollouts_of_one_package_do_not_share_a_target(world: Any) -> None:
    await region_of(world)
    first = await start(world, "1", "rest", targets=("pc1", "pc2"))
    with pytest.raises(UsageError) as caught:
        await start(world, "rest", targets=("pc2", "pc3"))
    assert caught.value.code == "rollout.conflict"
    assert first["rollout"] in caught.value.what
    await start(world, "rest", targets=("pc3", "pc4"))


async def test_a_job_that_a_rollout_counts_is_not_deleted(world: Any) -> None:
    await region_of(world)
    made = await start(world, "1", "rest", by_hand=True)
    await end(world, made["jobs"][0])
    with pytest.raises(UsageError) as caught:
        await world.jobs.delete(made["jobs"][0])
    assert caught.value.code == "job.rollout"
    await world.rollouts.say(made["rollout"], "cancel")
    await world.jobs.delete(made["jobs"][0])


async def test_a_package_that_is_rolled_out_is_not_deleted(world: Any) -> None:
    await region_of(world)
    made = await start(world, "1", "rest")
    await end(world, made["jobs"][0])
    with pytest.raises(UsageError) as caught:
        await world.library.delete("app=1")
    assert caught.value.code == "package.in-use"
    assert made["rollout"] in caught.value.what
    await world.rollouts.say(made["rollout"], "cancel")
    await world.library.delete("app=1")


async def test_counting_alone_writes_nothing(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await region_of(world)
    made = await start(world, "2", "rest")
    await end(world, made["jobs"][0], "done", (await targets_of(world, made["jobs"][0]))[0])
    monkeypatch.setattr(world.region.db, "write", None)
    found = await world.rollouts.look()
    assert (found.made, found.wake) == ([], world.now[0] + 7 * 86_400_000)


async def test_it_looks_by_itself_when_a_receipt_comes(world: Any) -> None:
    await region_of(world)
    heard: asyncio.Queue[str] = asyncio.Queue()
    made = await start(world, "1", "rest")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.rollouts.run(heard.put))
        await end(world, made["jobs"][0])
        async with asyncio.timeout(60):
            job = await heard.get()
        running.cancel()
    assert job == (await jobs(world, made["rollout"]))[1]
