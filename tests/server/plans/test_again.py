"""What is left of a plan that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tiercast_protocol.errors import UsageError
from tiercast_server.plans.again import rest, without_past
from tiercast_server.plans.checks import Planned, read_steps, waits_for
from tiercast_server.plans.life import GO_ON, STOP, Begun, PlanLife, Start, Step, StepEnded


def left(states: dict[str, Any], *steps: Step) -> list[Step]:
    return [one.step for one in rest([Planned(step, {}) for step in steps], states)]


def test_what_is_done_is_waited_for_no_more() -> None:
    steps = (Step("a"), Step("b", ("a",)), Step("c", ("b",)))
    found = left({"a": "done", "b": "failed", "c": "skipped"}, *steps)
    assert found == [Step("b"), Step("c", ("b",))]
    assert left({"a": "done", "b": "done", "c": "done"}, *steps) == []


def test_a_step_for_a_bad_end_goes_with_its_cause() -> None:
    steps = (Step("a", on_failure="m"), Step("b", ("a",), "m"), Step("m"), Step("t", ("m",)))
    found = left({"a": "done", "b": "failed", "m": "done", "t": "done"}, *steps)
    assert found == [Step("b", (), "m"), Step("m")]
    found = left({"a": "done", "b": "done", "m": "skipped", "t": "skipped"}, *steps)
    assert found == [], "it was never needed, and is not run by itself"


def test_moments_that_are_over_are_left_out() -> None:
    steps = [
        Planned(Step("a"), {"options": {"install_at": 5, "deadline": 50}}),
        Planned(Step("b"), {"type": "restart"}),
    ]
    found, dropped = without_past(steps, 10)
    assert ([one.args for one in found], dropped) == (
        [{"options": {"deadline": 50}}, {"type": "restart"}],
        {"a": ["install_at"]},
    )


def _said(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "after": list(one.after), "on_failure": one.on_failure, "job": {"type": "restart"}}
        for one in steps
    ]


@st.composite
def ended(draw: Any) -> tuple[tuple[Step, ...], dict[str, Any]]:
    """A plan, played to some end."""
    steps = []
    count = draw(st.integers(1, 6))
    for at in range(count):
        after = draw(st.lists(st.integers(0, at - 1), unique=True, max_size=2)) if at else []
        bad = draw(st.sampled_from([STOP, GO_ON, *(f"s{n}" for n in range(at + 1, count))]))
        steps.append(Step(f"s{at}", tuple(f"s{n}" for n in after), bad))
    try:
        read_steps(_said(steps))
    except UsageError:
        assume(condition=False)  # one that is run where another fails, and comes after that very one
    life = PlanLife(tuple(steps))
    running = [one.step for one in life.handle(Begun(), now=0) if isinstance(one, Start)]
    while running:
        said = life.handle(StepEnded(running.pop(), well=draw(st.booleans())), now=0)
        running += [one.step for one in said if isinstance(one, Start)]
    return tuple(steps), dict(life.states)


@given(ended())
def test_what_is_left_is_a_sound_plan_that_can_end(story: tuple[tuple[Step, ...], dict[str, Any]]) -> None:
    steps, states = story
    found = left(states, *steps)
    names = {step.name for step in found}
    assert {name for name, state in states.items() if state == "failed"} <= names, "what failed is run again"
    if not found:
        return
    read_steps(_said(found))
    by_name = {step.name: step for step in found}
    assert any(not waits_for(by_name, name) for name in names)
