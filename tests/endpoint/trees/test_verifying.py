"""Verify and repair on one machine: what was changed by hand is named, and mended without its programs."""

from __future__ import annotations

import pytest

from tiercast_endpoint.jobs.events import StepDone, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.story import Plan, Step
from tiercast_endpoint.trees.verifying import MOST, without_programs, words

JOB = Job("j1", 1, "repair", "app", "2", 1, b"r" * 32, 1, 9, "c", "running", 1)


def test_a_repair_runs_nothing_of_the_package() -> None:
    plan = Plan(ready=True, before=False, after=True, confirm=True, actions=True, requires="b")
    event = without_programs(JOB, StepDone(Step.PLAN, plan))
    assert isinstance(event, StepDone)
    assert event.plan == Plan(ready=True, requires="b")


@pytest.mark.parametrize("event", [StepFailed(Step.PLAN, "x"), StepDone(Step.FETCH)])
def test_what_is_no_plan_stays(event: StepDone | StepFailed) -> None:
    assert without_programs(JOB, event) is event


def test_differences_are_told_in_words_and_how_many_more() -> None:
    one = {"path": "a/b", "what": "was changed"}
    assert words([one]) == "'a/b' was changed"
    assert words([{"path": "", "what": "the name is gone"}]) == "the name is gone"
    assert words([one] * 7).endswith("and 2 more")
    assert words([one] * MOST).endswith(f"and {MOST - 5} more at least")
