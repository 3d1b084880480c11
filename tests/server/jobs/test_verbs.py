"""The verbs of jobs, with their arguments."""

from typing import Any

import pytest

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.content.package.variables import Variable
from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.verbs import JobVerbs
from tiercast_server.packages.values import Values


async def test_a_job_from_order_to_deletion(world: Any, call: Any) -> None:
    verbs = JobVerbs(world.jobs, world.view)
    await world.package("app", "1")
    await world.join("pc1")
    made = await verbs.create(call("job.create", type="install", package="app", targets=["pc1"], note="n"))
    job = made["job"]
    shown = await verbs.show(call("job.show", job=job))
    assert (shown["by"], shown["note"], shown["state"]) == ("ann", "n", "open")
    await verbs.cancel(call("job.cancel", job=job))
    assert (await verbs.show(call("job.show", job=job)))["cancelling"] is True
    await world.intake.take([world.record(job, "pc1", "cancelled", revision=2)])
    assert (await verbs.receipt(call("job.receipt", job=job, node="pc1")))["state"] == "cancelled"
    assert [snapshot["state"] async for snapshot in verbs.watch(call("job.watch", job=job))] == ["cancelled"]
    assert len(await verbs.list_(call("job.list"))) == 1
    await verbs.delete(call("job.delete", job=job))
    assert await verbs.list_(call("job.list", limit=5)) == []


@pytest.mark.parametrize("wrong", [{"targets": "pc1"}, {"targets": [1]}, {"expires_s": "soon"}, {"options": []}])
async def test_mistyped_arguments(world: Any, call: Any, wrong: dict[str, Any]) -> None:
    arguments = {"type": "install", "package": "app", "targets": ["pc1"], **wrong}
    with pytest.raises(UsageError) as caught:
        await JobVerbs(world.jobs, world.view).create(call("job.create", **arguments))
    assert caught.value.code == "argument.invalid"


async def test_a_dry_run_tells_what_each_target_would_take(world: Any, call: Any) -> None:
    made = Definition("app", "1", variables=(Variable("site", "none", "labels.site"),))
    await world.package("app", "1", definition=canonical(made))
    await world.join("pc1")
    await world.says("pc1", labels={"site": "berlin"})
    verbs = JobVerbs(world.jobs, world.view, values=Values(world.region, None))
    asked = {"package": "app", "targets": ["pc1"]}
    found = await verbs.create(call("job.create", type="install", **asked, dry_run=True))
    assert found["takes"][0]["values"]["site"] == {"text": "berlin", "source": "fact labels.site"}
    for other in ({"type": "remove", "dry_run": True}, {"type": "install"}):
        assert "takes" not in await verbs.create(call("job.create", **asked, **other))
