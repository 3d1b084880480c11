"""Which step the root half takes next."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_endpoint.halves.allowed import No, Past, begin, end
from tiercast_endpoint.jobs.events import StepDone, StepFailed
from tiercast_endpoint.jobs.story import Plan, Step

ALL = [Step(name) for name in Step]


def does(past: Past, *steps: str, plan: Plan | None = None) -> Past:
    for name in steps:
        begun = begin(past, Step(name), tries=1)
        assert isinstance(begun, Past), begun
        past = end(begun, StepDone(Step(name), plan if name == "plan" else None))
    return past


def code(past: Past, step: Step, tries: int = 1) -> str:
    found = begin(past, step, tries=tries)
    return found.code if isinstance(found, No) else ""


def test_an_installation_and_a_removal() -> None:
    plan = Plan(before=False, after=True)
    past = does(Past("install"), "plan", "assemble", "before", "switch", "after", "settle", plan=plan)
    assert past.over
    assert does(Past("remove"), "take", "unlink", "delete").over
    assert does(Past("run"), "run").over
    assert not does(Past("install"), "plan", plan=Plan(ready=True)).over


@pytest.mark.parametrize(("idempotent", "expected"), [(True, ""), (False, "program.interrupted")])
def test_what_was_not_seen_to_end_runs_again_only_where_it_may(idempotent: bool, expected: str) -> None:
    past = does(Past("install"), "plan", "assemble", plan=Plan(before=idempotent))
    begun = begin(past, Step.BEFORE, tries=1)
    assert isinstance(begun, Past)
    assert code(begun, Step.BEFORE) == expected
    assert code(begun, Step.SWITCH) == "half.order"


def test_tries_are_the_orders() -> None:
    past = does(Past("install"), "plan", "assemble", plan=Plan(before=False))
    begun = begin(past, Step.BEFORE, tries=2)
    assert isinstance(begun, Past)
    failed = end(begun, StepFailed(Step.BEFORE, "program.failed"))
    assert code(failed, Step.BEFORE, 1) == "half.tries"
    assert code(failed, Step.BEFORE, 2) == ""


def test_what_was_switched_is_taken_back_before_it_is_thrown_away() -> None:
    past = does(Past("install"), "plan", "assemble", "switch")
    assert code(past, Step.DISCARD) == "half.order"
    back = does(past, "undo")
    assert (back.done, back.begun) == (("plan", "assemble"), 0)
    assert does(back, "discard").over
    begun = begin(does(Past("install"), "plan", "assemble"), Step.SWITCH, tries=1)
    assert isinstance(begun, Past)
    failed = end(begun, StepFailed(Step.SWITCH, "path.foreign"))
    assert code(failed, Step.DISCARD) == "half.order", "it may have changed something"
    assert code(failed, Step.UNDO) == ""


plans = st.builds(
    Plan,
    ready=st.booleans(),
    before=st.none() | st.booleans(),
    after=st.none() | st.booleans(),
    actions=st.booleans(),
)


@given(
    plan=plans,
    type_=st.sampled_from(["install", "remove", "run", "offer", "message"]),
    story=st.lists(st.tuples(st.sampled_from(ALL), st.sampled_from(["done", "failed", "crash"])), max_size=60),
)
def test_any_questions_keep_the_rules(plan: Plan, type_: str, story: list[tuple[Step, str]]) -> None:
    past, done = Past(type_), list[str]()
    ran: dict[str, int] = {}
    for step, how in story:
        begun = begin(past, step, tries=1)
        if isinstance(begun, No):
            continue
        assert not past.over
        if step in {Step.BEFORE, Step.AFTER, Step.RUN}:
            ran[step] = ran.get(step, 0) + 1
        past = begun
        if how == "crash":
            continue
        event = StepDone(step, plan if step is Step.PLAN else None)
        past = end(begun, event if how == "done" else StepFailed(step, "x"))
        if how == "done":
            done.append(step)
        if step is Step.SETTLE and how == "done":
            assert "switch" in done
            assert plan.ready or "assemble" in done
            assert plan.before is None or "before" in done
            assert plan.after is None or "after" in done
            assert past.over
    if type_ == "run":
        assert ran.get(Step.RUN, 0) <= 1
    if plan.before is False and "undo" not in done:
        assert ran.get(Step.BEFORE, 0) <= 1


def test_a_state_as_written_down_is_the_same() -> None:
    past = replace(does(Past("install"), "plan", "assemble"), begun=7)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(past), type=Past) == past
