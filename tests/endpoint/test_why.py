"""Why a job of this machine has not ended, as far as the machine knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.install import STATE_OF, Outcome, Snapshot, Step
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.schema import SCHEMA
from tiercast_endpoint.why import Look, Machine, Why, chain
from tiercast_protocol.content.jobs.reason import words
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.post import Post
from tiercast_protocol.wire.messages import Status

HERE = Machine("pc", "low", connected=True)
ALONE = replace(HERE, connected=False)


def a_job(step: Step, name: str = "j1", n: int = 1, package: str = "app", **more: Any) -> Job:
    type_ = "remove" if step in {Step.UNLINK, Step.DELETE} else "install"
    told = {"state": STATE_OF.get(step, "done"), "snapshot": Snapshot(type_, step), **more}
    return Job(name, 1, type_, package, "1", 1, b"r" * 32, 0, 1 << 50, name, at=5, n=n, **told)


def codes(job: Job, *among: Job, machine: Machine = HERE, look: Look | None = None) -> list[str]:
    return [reason.code for reason in chain(job, [job, *among], machine, look or Look())]


def test_a_turn_is_waited_for_behind_a_job_or_behind_the_others() -> None:
    mine = a_job(Step.WAIT, "j2", 2)
    before, other = a_job(Step.FETCH, "j1", 1), a_job(Step.ASSEMBLE, "j0", 0, "tool")
    found = chain(mine, [other, before, mine], HERE, Look(since=7))[0]
    assert words(found) == "waits for its turn: j1 is before it for the same package"
    assert (found.node, found.since) == ("pc", 7)
    found = chain(mine, [other, mine], HERE, Look())[0]
    assert words(found) == "waits for its turn: 1 other jobs are at work"
    told = a_job(Step.HOLD, "j3", 3, code="hold", detail="{}")
    assert words(chain(told, [other, mine, told], HERE, Look())[0]) == (
        "is prepared, and waits for its turn: 1 other jobs are at work"
    )


def test_what_stops_a_step_goes_before_it() -> None:
    assert codes(a_job(Step.FETCH)) == ["fetch"]
    assert codes(a_job(Step.FETCH), machine=ALONE) == ["parent.lost", "fetch"]
    full = chain(a_job(Step.FETCH), [], replace(HERE, no_room=True), Look())
    assert [(reason.code, reason.node) for reason in full] == [("depot.full", "low"), ("fetch", "pc")]
    assert codes(a_job(Step.ASSEMBLE), machine=ALONE) == ["assemble"], "it has all that it needs"
    assert codes(a_job(Step.SWITCH), look=Look(no_room=True)) == ["journal.full", "install"]
    assert codes(a_job(Step.WAIT, code="suspended", detail='{"by":"anna"}')) == ["suspended"]
    assert words(chain(a_job(Step.AFTER), [], HERE, Look())[0]) == "a program of the job runs: run-after"


@given(st.sampled_from(Step), st.booleans(), st.booleans(), st.sampled_from(["", "suspended", "of.a.later.version"]))
def test_why_is_never_empty_for_what_is_not_final(step: Step, connected: bool, no_room: bool, code: str) -> None:
    job = a_job(step, code=code)
    found = chain(job, [job], replace(HERE, connected=connected), Look(no_room=no_room))
    assert bool(found) is (step is not Step.END)
    assert chain(replace(job, finished=9), [job], HERE, Look()) == []


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(tmp_path / "agent.db", SCHEMA) as opened:
        yield opened


async def test_the_socket_tells_of_one_job_or_of_all_open_ones(db: Database) -> None:
    async def nowhere(_peer: str, _payload: bytes) -> None:
        return

    post = Post(db, me="pc", transmit=nowhere)
    why = Why(db, post, lambda: ALONE, lambda: {("j1", 1): Look(since=8)})
    for job in (a_job(Step.FETCH, "j1"), a_job(Step.WAIT, "j2")):
        await db.write(lambda connection, job=job: journal.add_job(connection, job))  # type: ignore[misc]
    told = await why.why({})
    assert told["node"] == "pc"
    assert [[reason["code"] for reason in job["chain"]] for job in told["jobs"]] == [["parent.lost", "fetch"], ["turn"]]
    assert told["jobs"][0]["chain"][0]["since"] == 8
    first = [(await ask({}))["jobs"][0]["chain"][0] for ask in (why.why, why.to_owner, why.at_socket)]
    assert [reason["todo"].rpartition(": ")[2] for reason in first] == [
        "tiercast node candidates pc",
        "tiercast-endpoint parents",
        "tiercast-endpoint parents",
    ]
    assert "tiercast node candidates" in first[1]["administrator"]
    assert told["jobs"][0]["chain"][0]["says"] == "pc can't reach its parent low"
    ended = replace(
        (await db.read(lambda c: journal.revisions(c, "j1")))[0],
        state="failed",
        code="disk.short",
        finished=9,
        detail="9",
    )
    await db.write(lambda connection: journal.save_final(connection, ended, lambda _job: (b"r", b"s")))
    found = (await why.why({"job": "j1"}))["jobs"][0]
    assert (found["chain"], found["result"]["code"], found["result"]["state"]) == ([], "disk.short", "failed")
    await post.send("low", Status(records=[ended.record("pc")]), cause="j1")
    found = (await why.why({"job": "j1"}))["jobs"][0]
    assert [reason["says"] for reason in found["chain"]] == ["has ended, and low has not acknowledged the receipt yet"]
    found = (await why.at_socket({"job": "j1"}))["jobs"][0]["result"]
    assert found["todo"] == "Free the room that is named, and ask an administrator to order it again."
    for wrong in ({"job": "j9"}, {"job": 5}):
        with pytest.raises(UsageError):
            await why.why(wrong)
    assert Outcome("done").code == ""
