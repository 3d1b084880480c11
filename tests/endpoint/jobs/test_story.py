"""The words of the job machine: every step is in every table that it belongs to, and old journals are read."""

from __future__ import annotations

import msgspec

from tiercast_endpoint.jobs.story import (
    HARMLESS,
    INSTALLING,
    ON_FAILURE,
    PREPARING,
    PROGRAMS,
    RESTING,
    STATE_OF,
    Outcome,
    Snapshot,
    Step,
)
from tiercast_protocol.content.jobs.receipt import STATES


def test_every_step_is_told_and_may_fail() -> None:
    assert set(STATE_OF) == set(ON_FAILURE) == set(Step) - {Step.END}
    assert not any(STATES[state] for state in STATE_OF.values())


def test_what_rests_or_prepares_is_harmless_and_what_installs_is_not() -> None:
    assert RESTING - {Step.STAND} | PREPARING == HARMLESS, "who is committed rests too"
    assert not INSTALLING & HARMLESS
    assert set(PROGRAMS) <= INSTALLING


def test_a_snapshot_of_before_there_were_times_is_read() -> None:
    old = {"type": "install", "step": "fetch", "plan": {}, "cancel": False, "outcome": None}
    found = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Snapshot)
    assert found == Snapshot("install", Step.FETCH)
    assert found.attempt == 1


def test_a_snapshot_comes_back_as_it_was() -> None:
    whole = Snapshot("install", Step.HOLD, begun=5, tried=1, installed=2, again=9, failed=Outcome("failed", "x"))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(whole), type=Snapshot) == whole
    assert whole.attempt == 4
