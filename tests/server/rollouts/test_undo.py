"""A rollout taken back: the last wave first, to what each machine had before."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.desired.apply import Asked, Desired
from tiercast_server.desired.document import read
from tiercast_server.jobs.checks import Request
from tiercast_server.rollouts import undo as rollout_undo
from tiercast_server.rollouts import view as rollout_view
from tiercast_server.rollouts.life import WHOLE, Rules

NAMES = ("pc1", "pc2", "pc3", "pc4")


async def end(world: Any, job: str, state: str = "done") -> None:
    rows = (await world.view.show(job))["targets"]
    world.now[0] += 1000
    await world.intake.take([world.record(job, row["node"], state) for row in rows])


async def rolled_out(world: Any, *waves: str, before: tuple[str, ...] = ()) -> str:
    """Version 2 everywhere, where some had version 1 before; the rollout."""
    for version in ("1", "2"):
        await world.package("app", version)
    await world.join("west", "gateway")
    for name in NAMES:
        await world.join(name, parent="west")
    if before:
        await end(world, await world.job(package="app=1", targets=before))
    asked = Request(type="install", package="app=2", by="ann", targets=NAMES)
    made: dict[str, Any] = await world.rollouts.start(asked, waves, Rules())
    rollout: str = made["rollout"]
    jobs = made["jobs"]
    while jobs:
        for job in jobs:
            await end(world, job)
        jobs = (await world.rollouts.look()).made
    return rollout


async def undo(world: Any, rollout: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = await rollout_undo.undo(world.region, world.rollouts, rollout, "ann", 3600, **more)
    return made


async def orders(world: Any, rollout: str) -> list[list[tuple[str, str, list[str]]]]:
    """By wave its jobs: type, version and targets."""
    found = []
    for wave in (await rollout_view.show(world.region, rollout))["waves"]:
        jobs = [await world.view.show(job) for job in wave["jobs"]]
        found.append([(j["type"], j["version"], [t["node"] for t in j["targets"]]) for j in jobs])
    return found


async def test_the_last_wave_comes_back_first_to_what_stood_there(world: Any) -> None:
    rollout = await rolled_out(world, "node pc1, pc3", "rest", before=("pc1", "pc2"))
    dry = await undo(world, rollout, dry_run=True)
    assert [(wave["text"], wave["formers"]) for wave in dry["waves"]] == [
        (f"wave 2 of {rollout}", {"1": 1, "": 1}),
        (f"wave 1 of {rollout}", {"1": 1, "": 1}),
    ]
    assert len(await rollout_view.list_(world.region, 9)) == 1
    made = await undo(world, rollout, go_on=WHOLE)
    assert made["undoes"] == rollout
    first = await orders(world, made["rollout"])
    assert first == [[("remove", "2", ["pc4"]), ("install", "1", ["pc2"])], []]
    for job in made["jobs"]:
        await end(world, job)
    for job in (await world.rollouts.look()).made:
        await end(world, job)
    await world.rollouts.look()
    assert (await orders(world, made["rollout"]))[1] == [("remove", "2", ["pc3"]), ("install", "1", ["pc1"])]
    assert (await rollout_view.show(world.region, made["rollout"]))["state"] == "done"
    with pytest.raises(UsageError) as caught:
        await undo(world, rollout)
    assert caught.value.code == "rollout.nobody"


async def test_without_a_share_all_waves_begin_in_reverse_order(world: Any) -> None:
    rollout = await rolled_out(world, "node pc1", "rest")
    made = await undo(world, rollout)
    assert [[job[2] for job in wave] for wave in await orders(world, made["rollout"])] == [
        [["pc2", "pc3", "pc4"]],
        [["pc1"]],
    ]


async def test_who_had_it_before_or_has_another_by_now_is_left(world: Any) -> None:
    for version in ("1", "2", "3"):
        await world.package("app", version)
    await world.join("west", "gateway")
    for name in NAMES:
        await world.join(name, parent="west")
    await end(world, await world.job(package="app=2", targets=("pc1",)))
    asked = Request(type="install", package="app=2", by="ann", targets=NAMES)
    made = await world.rollouts.start(asked, ["rest"], Rules())
    await end(world, made["jobs"][0])
    await world.rollouts.look()
    await end(world, await world.job(package="app=3", targets=("pc2",)))
    dry = await undo(world, made["rollout"], dry_run=True)
    assert (dry["same"], dry["moved_on"], dry["waves"][0]["targets"]) == (1, 1, 2)


async def test_what_can_not_be_undone_is_refused(world: Any) -> None:
    rollout = await rolled_out(world, "1", "rest", before=("pc1",))
    made = await undo(world, rollout)
    for asked in (rollout, made["rollout"]):
        with pytest.raises(UsageError) as caught:
            await undo(world, asked)
        assert caught.value.code == ("rollout.open" if asked == rollout else "rollout.undo")
    with pytest.raises(UsageError) as caught:
        await rollout_undo.undo(world.region, world.rollouts, rollout, "ann", 0)
    assert caught.value.code == "expiry.invalid"


async def test_a_former_version_that_is_gone_is_an_error(world: Any) -> None:
    rollout = await rolled_out(world, "1", "rest", before=("pc1",))
    await world.library.delete("app=1")
    with pytest.raises(UsageError, match="app=1") as caught:
        await undo(world, rollout)
    assert caught.value.code == "package.gone"


async def test_what_an_assignment_would_put_right_again_is_refused(world: Any) -> None:
    rollout = await rolled_out(world, "rest", before=("pc1",))
    for target, has, named in (("node pc1", "app >= 2", "pc1"), ("node pc1, pc2", "app", "pc2")):
        one = {"name": "a", "target": target, "has": has}
        document = read({"assignments": [{**one, "table": one}]})
        await Desired(world.assignments).apply(document, Asked("ann"))
        with pytest.raises(UsageError) as caught:
            await undo(world, rollout, dry_run=True)
        assert caught.value.code == "job.assigned"
        assert f"says that {named} has {has}" in caught.value.what
