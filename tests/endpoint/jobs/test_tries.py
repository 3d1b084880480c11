"""Failures and tries: what is worth another one, and what a failure can no longer change."""

from __future__ import annotations

from tiercast_endpoint.jobs.events import StepFailed
from tiercast_endpoint.jobs.story import Outcome, Plan, Snapshot, Step
from tiercast_endpoint.jobs.tries import failed_with, next_try
from tiercast_protocol.content.jobs.times import Times, Tries

TWICE = Times(transfer=Tries(2), installation=Tries(2))
FULL = Outcome("failed", "disk.full")


def test_each_way_is_counted_apart_and_a_switch_goes_back_first() -> None:
    found = next_try(Snapshot("install", Step.FETCH), TWICE, FULL, 0)
    assert found is not None
    assert (found[1], found[0].tried, found[0].installed, found[0].again) == (Step.WAIT, 1, 0, 60_000)
    assert next_try(found[0], TWICE, FULL, 0) is None
    for step, to in ((Step.BEFORE, Step.HOLD), (Step.AFTER, Step.UNDO), (Step.RUN, Step.STOP)):
        found = next_try(Snapshot("install", step), TWICE, FULL, 0)
        assert found is not None
        assert found[1] is to
    found = next_try(Snapshot("install", Step.AFTER, Plan(actions=True)), TWICE, FULL, 0)
    assert found is not None
    assert found[1] is Step.REVERT
    assert next_try(Snapshot("install", Step.SETTLE), TWICE, FULL, 0) is None


def test_what_fails_while_it_is_cleared_away_changes_no_outcome() -> None:
    ends = Outcome("done")
    for step in (Step.SETTLE, Step.DISCARD, Step.DELETE):
        outcome, _, mendable = failed_with(Snapshot("install", step), StepFailed(step, "disk.error"), ends)
        assert (outcome, mendable) == (Outcome("done", "disk.error"), False)


def test_what_can_not_be_taken_back_is_told() -> None:
    at = Snapshot("install", Step.UNDO, outcome=FULL)
    outcome, after, mendable = failed_with(at, StepFailed(Step.UNDO, "x", "Read-only."), FULL)
    assert (outcome.code, after.outcome, mendable) == ("undo.failed", outcome, False)


def test_a_failure_keeps_the_state_that_it_says() -> None:
    event = StepFailed(Step.APPLY, "action.interrupted", "", "interrupted")
    outcome, _, mendable = failed_with(Snapshot("install", Step.APPLY), event, Outcome("done"))
    assert (outcome.state, mendable) == ("interrupted", True)
