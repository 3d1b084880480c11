"""A job that is shown is plain, and says a step only while it has one."""

from __future__ import annotations

from dataclasses import replace

from tiercast_endpoint.jobs.install import Snapshot, Step
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.showing import describe
from tiercast_protocol.content.jobs.receipt import ActionResult, ProgramResult
from tiercast_protocol.wire import codec

JOB = Job("j1", 1, "install", "app", "2", 1, b"r" * 32, 1, 99, "c", "fetching", 1, snapshot=Snapshot("install"))


def test_it_goes_over_any_wire() -> None:
    program = ProgramResult(argv=["/bin/a"], exit=1, timed_out=False, seconds=0.5, output="no")
    ended = replace(
        JOB,
        state="failed",
        code="program.failed",
        detail="It ended with 1.",
        finished=9,
        programs=(program,),
        actions=(ActionResult(action="file /etc/a", did="placed", seconds=0.1),),
    )
    shown = describe(ended)
    assert codec.decode_plain(codec.encode(shown)) == shown
    assert (shown["root"], shown["state"], shown["code"], shown["step"]) == ("72" * 32, "failed", "program.failed", "")
    assert shown["programs"] == [{"argv": ["/bin/a"], "exit": 1, "timed_out": False, "seconds": 0.5, "output": "no"}]
    assert shown["actions"] == [{"action": "file /etc/a", "did": "placed", "seconds": 0.1}]


def test_the_step_of_what_is_at_work() -> None:
    steps = {describe(replace(JOB, snapshot=Snapshot("install", step)))["step"] for step in Step}
    assert "" not in steps
    assert len(steps) > 3
