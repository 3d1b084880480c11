"""What rests says why, once; a prepared one waits for its commit before it waits for anything else."""

from __future__ import annotations

from tiercast_endpoint.jobs.events import Judged, Rest, Seek, Tell
from tiercast_endpoint.jobs.gate import Gate
from tiercast_endpoint.jobs.story import Outcome, Snapshot, Step
from tiercast_endpoint.jobs.waits import Waits
from tiercast_protocol.content.jobs import times
from tiercast_protocol.content.jobs.reason import because

HELD = because("owner.held", by="alice")


def code(waits: Waits, at: Snapshot, now: int = 1) -> str:
    found = waits.reason(at, now)
    return "" if found is None else found.code


def test_a_prepared_one_waits_for_the_commit_and_then_for_all_else() -> None:
    waits = Waits(Gate(times.read({"install_at": 500})), None)
    waits.judged = Judged(install=HELD)
    assert code(waits, Snapshot("install", Step.HOLD, phase="prepare")) == "commit.waits"
    assert code(waits, Snapshot("install", Step.HOLD, phase="commit")) == "owner.held"
    waits.judged = Judged()
    assert code(waits, Snapshot("install", Step.HOLD, phase="commit")) == "time.install"
    assert code(waits, Snapshot("install", Step.HOLD, phase="commit"), now=500) == ""


def test_a_committed_one_waits_for_nobody_but_who_accepts() -> None:
    waits = Waits(Gate(times.read({"install_at": 500})), HELD)
    assert code(waits, Snapshot("install", Step.STAND, phase="commit")) == "accept.waits"
    assert code(waits, Snapshot("install", Step.STAND, phase="accept")) == ""
    assert code(waits, Snapshot("install", Step.STAND, phase="undo")) == ""
    assert code(waits, Snapshot("install", Step.SETTLE, phase="commit")) == ""


def test_a_pause_between_tries_goes_before_it() -> None:
    at = Snapshot("install", Step.HOLD, again=50, failed=Outcome("failed", "x"), phase="prepare")
    assert code(Waits(Gate(), None), at) == "retry.pause"


def test_the_same_reason_is_told_once_and_again_after_a_move() -> None:
    waits, at = Waits(Gate(), None), Snapshot("install", Step.HOLD, phase="prepare")
    told = waits.look(at, 1)
    assert isinstance(told[0], Tell)
    assert told[1:] == [Rest(0)]
    assert waits.look(at, 2) == [Rest(0)]
    free = Snapshot("install", Step.HOLD, phase="commit")
    assert [type(one) for one in waits.look(free, 3)] == [Tell, Seek]
    assert waits.look(free, 4) == [Seek()]
    waits.moved()
    assert len(waits.look(at, 5)) == 2
