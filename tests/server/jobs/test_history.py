"""What became of a job and of a machine, in the order of time, with filters."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.jobs.receipt import Receipt
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire import codec
from tiercast_server.database.tables import targets
from tiercast_server.jobs.history import History


@pytest.fixture
async def job(world: Any) -> str:
    await world.package("app", "1")
    for name in ("pc1", "pc2"):
        await world.join(name)
    made: str = await world.job(targets=("pc1", "pc2"), note="friday")
    world.now[0] += 1000
    await world.intake.take([world.record(made, "pc1", "failed", code="disk.short", detail="9")])
    world.now[0] += 1000
    await world.intake.take([world.record(made, "pc2", "fetching", code="suspended", detail='{"by":"anna"}')])
    return made


async def test_a_job_is_told_newest_first(world: Any, call: Any, job: str) -> None:
    history = History(world.region)
    found = await history.job(call("job.history", job=job))
    assert [event["event"] for event in found["events"]] == ["target", "target", "ordered", "created"]
    newest, failed, ordered, created = found["events"]
    assert (newest["node"], newest["detail"], newest["started"]) == ("pc2", "suspended by anna", 0)
    assert (failed["node"], failed["state"], failed["code"]) == ("pc1", "failed", "disk.short")
    assert failed["since"] == failed["at"] > ordered["at"] == created["at"]
    assert (ordered["revision"], created["note"], found["targets"]) == (1, "friday", 2)


async def test_filters_leave_out_and_say_how_many_there_were(world: Any, call: Any, job: str) -> None:
    history = History(world.region)
    only = await history.job(call("job.history", job=job, states=["failed"]))
    assert [event.get("node") for event in only["events"]] == ["pc1"]
    late = await history.job(call("job.history", job=job, since=world.now[0]))
    assert [event.get("node") for event in late["events"]] == ["pc2"]
    one = await history.job(call("job.history", job=job, limit=1))
    assert (sum(event["event"] == "target" for event in one["events"]), one["targets"]) == (1, 2)
    with pytest.raises(UsageError, match="no state 'broken'"):
        await history.job(call("job.history", job=job, states=["broken"]))
    with pytest.raises(UsageError, match="There is no job"):
        await history.job(call("job.history", job="j99"))


async def test_a_job_that_closed_says_when(world: Any, call: Any, job: str) -> None:
    world.now[0] += 1000
    await world.intake.take([world.record(job, "pc2", "done")])
    found = await History(world.region).job(call("job.history", job=job))
    assert {"event": "closed", "at": world.now[0], "state": "failed"} in found["events"]


async def test_a_machine_has_all_its_jobs_and_its_own_life(world: Any, call: Any, job: str) -> None:
    other = await world.job("remove", targets=("pc1",))
    history = History(world.region)
    found = await history.node(call("node.history", name="pc1"))
    assert {event["event"] for event in found["events"]} >= {"invited", "joined", "job"}
    assert [event["job"] for event in found["events"] if event["event"] == "job"] == [other, job]
    assert (found["role"], found["jobs"]) == ("endpoint", 2)
    failed = await history.node(call("node.history", name="pc1", states=["failed"]))
    assert [event["job"] for event in failed["events"]] == [job]
    with pytest.raises(UsageError, match="No node is called"):
        await history.node(call("node.history", name="pc9"))


async def test_beginning_and_end_are_those_of_the_receipt(world: Any, call: Any, job: str) -> None:
    receipt = Receipt(
        job=job, revision=1, attempt=1, seq=9, node="pc1", generation=1, state="failed", code="", detail="",
        started=5, finished=8, package="app", version="1", root=bytes(32),
    )  # fmt: skip
    for said, took in ((codec.encode(receipt), (5, 8)), (b"of a later version", (0, 0))):
        async with world.region.db.write() as connection:
            await connection.execute(targets.update().where(targets.c.node == "pc1").values(receipt=said))
        event = (await History(world.region).job(call("job.history", job=job, states=["failed"])))["events"][0]
        assert (event["started"], event["finished"]) == took
