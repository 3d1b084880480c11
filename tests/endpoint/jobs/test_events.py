"""Events and commands: values that compare, and the one that ends preparing."""

from __future__ import annotations

from tiercast_endpoint.jobs.events import StepDone, StepFailed, TurnCame, prepared
from tiercast_endpoint.jobs.story import Plan, Step


def test_who_is_prepared() -> None:
    assert prepared(StepDone(Step.ASSEMBLE))
    assert prepared(StepDone(Step.PLAN, Plan(ready=True)))
    assert not prepared(StepDone(Step.PLAN, Plan(ready=True, current=True)))
    assert not prepared(StepDone(Step.PLAN, Plan()))
    assert not prepared(StepFailed(Step.ASSEMBLE, "disk.full"))
    assert not prepared(TurnCame())


def test_a_failure_is_one_unless_it_says_otherwise() -> None:
    assert StepFailed(Step.FETCH, "x") == StepFailed(Step.FETCH, "x", "", "failed")
