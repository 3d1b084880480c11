"""Another run of a job: for whom, with what, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete

from tiercast_protocol.content.jobs.order import open_order
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import OrderBundle
from tiercast_server.database.tables import packages
from tiercast_server.jobs import requests
from tiercast_server.jobs.reruns import Reruns, again

DAY = 86_400_000


async def ended(world: Any, **options: Any) -> str:
    await world.package("app", "1")
    for name in ("pc1", "pc2", "pc3", "pc4"):
        await world.join(name)
    job: str = await world.job(targets=("pc1", "pc2", "pc3", "pc4"), options=options)
    for node, state in (("pc1", "done"), ("pc2", "failed"), ("pc3", "interrupted")):
        await world.intake.take([world.record(job, node, state)])
    return job


@pytest.mark.parametrize(
    ("which", "names"),
    [
        ({"failed": True, "unreached": False}, ["pc2", "pc3"]),
        ({"failed": False, "unreached": True}, ["pc4"]),
        ({"failed": True, "unreached": True}, ["pc2", "pc3", "pc4"]),
    ],
)
async def test_a_new_job_for_those_that_were_meant(world: Any, which: dict[str, bool], names: list[str]) -> None:
    job = await ended(world)
    world.now[0] += 8 * DAY
    await world.jobs.expire()
    made = await Reruns(world.jobs).rerun(job, by="me", **which)
    assert (made["origin"], made["targets"]) == (job, len(names))
    shown = await world.view.show(made["job"])
    assert [row["node"] for row in shown["targets"]] == names
    assert (shown["origin"], shown["by"], shown["state"]) == (job, "me", "open")
    assert shown["expires"] - shown["created"] == 7 * DAY
    await world.handover.drain()
    bundle = world.tree.of(OrderBundle)[-1]
    order = open_order(bundle.order, bundle.signature, world.region.key.public)
    assert (order.job, order.revision, order.type, order.version) == (made["job"], 1, "install", "1")
    first = await world.view.show(job)
    assert (first["state"], first["counts"]) == ("failed", {"done": 1, "failed": 1, "interrupted": 1, "expired": 1})


async def test_what_failed_may_be_run_again_while_the_rest_is_open(world: Any) -> None:
    job = await ended(world)
    made = await Reruns(world.jobs).rerun(job, failed=True, unreached=False, by="me", expires_s=3600)
    assert made["targets"] == 2
    shown = await world.view.show(made["job"])
    assert shown["expires"] - shown["created"] == 3_600_000


async def test_times_that_are_over_are_left_out_and_said(world: Any) -> None:
    soon = world.now[0] + 60_000
    job = await ended(world, install_at=soon, spread_s=600, deadline=soon + DAY)
    world.now[0] = soon + 1
    made = await Reruns(world.jobs).rerun(job, failed=True, unreached=False, by="me")
    assert made["dropped"] == ["install_at"]
    assert (await world.view.show(made["job"]))["options"] == {"spread_s": 600, "deadline": soon + DAY}
    assert again({"shape": 3, "rate": 5}, 0) == ({"rate": 5}, [])


async def test_who_left_the_region_is_named_and_not_ordered(world: Any) -> None:
    job = await ended(world)
    await world.enrolment.remove("pc2")
    made = await Reruns(world.jobs).rerun(job, failed=True, unreached=False, by="me")
    assert (made["targets"], made["gone"]) == (1, ["pc2"])


async def test_what_can_not_be_run_again_is_refused(world: Any) -> None:
    job = await ended(world)
    reruns = Reruns(world.jobs)
    for which, code in (
        ({"failed": False, "unreached": False}, "rerun.which"),
        ({"failed": False, "unreached": True}, "rerun.nobody"),
        ({"failed": True, "unreached": False, "expires_s": -1}, "expiry.invalid"),
    ):
        with pytest.raises(UsageError) as caught:
            await reruns.rerun(job, by="me", **which)
        assert caught.value.code == code
    with pytest.raises(UsageError) as caught:
        await reruns.rerun("j99", failed=True, unreached=False, by="me")
    assert caught.value.code == "job.unknown"
    await world.job("remove", targets=("pc2",))
    with pytest.raises(UsageError) as caught:
        await reruns.rerun(job, failed=True, unreached=False, by="me")
    assert caught.value.code == "job.conflict"


async def test_a_job_about_no_package_is_run_again_and_may_be_copied(world: Any) -> None:
    await world.join("pc1")
    options = {"argv": '["/bin/true"]', "install_window": "daily 22:00-06:00"}
    job = await world.job("run", package="", targets=("pc1",), options=options)
    await world.intake.take([world.record(job, "pc1", "failed")])
    made = await Reruns(world.jobs).rerun(job, failed=True, unreached=False, by="me")
    shown = await world.view.show(made["job"])
    assert (shown["type"], shown["options"], shown["package"]) == ("run", options, "")
    async with world.region.db.read() as connection:
        asked = await requests.asked_with(connection, made["job"])
    assert asked is not None
    assert (asked[0]["type"], asked[0]["targets"], asked[0]["options"]) == ("run", ["pc1"], options)


async def test_content_that_left_the_library_can_not_be_run_again(world: Any) -> None:
    job = await ended(world)
    async with world.region.db.write() as connection:
        await connection.execute(delete(packages))
    with pytest.raises(UsageError) as caught:
        await Reruns(world.jobs).rerun(job, failed=True, unreached=False, by="me")
    assert caught.value.code == "package.gone"
