"""The life of a plan: any story of ends, refusals, cancels and restarts keeps its invariants."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tiercast_server.plans.life import (
    FINAL,
    GO_ON,
    STOP,
    Begun,
    CancelAsked,
    CancelJob,
    Close,
    PlanLife,
    Settle,
    Start,
    Step,
    StepEnded,
    StepRefused,
)


@st.composite
def plans(draw: Any) -> tuple[Step, ...]:
    """Steps that come after earlier ones only, and whose bad ends run later ones only."""
    count = draw(st.integers(1, 6))
    steps = []
    for at in range(count):
        after = draw(st.lists(st.integers(0, at - 1), unique=True, max_size=3)) if at else []
        later = [f"s{n}" for n in range(at + 1, count)]
        steps.append(Step(f"s{at}", tuple(f"s{n}" for n in after), draw(st.sampled_from([STOP, GO_ON, *later]))))
    return tuple(steps)


events = st.one_of(
    st.just(("restart", 0)),
    st.just(("cancel", 0)),
    st.tuples(st.sampled_from(["well", "badly", "refused"]), st.integers(0, 5)),
    st.tuples(st.sampled_from(["well", "badly"]), st.integers(0, 5)),
)


class Story:
    """A plan, and what was commanded of it."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = {step.name: step for step in steps}
        self.order = steps
        self.life = PlanLife(steps)
        self.started: list[str] = []
        self.ends: dict[str, bool] = {}
        self.closed: list[str] = []

    def tell(self, event: Any, now: int = 0) -> None:
        before = dict(self.life.states)
        for command in self.life.handle(event, now=now):
            match command:
                case Start(step, at):
                    assert at == now
                    assert before[step] == "waiting"
                    assert not self.life.cancelling, "nothing begins after a cancel"
                    self._check_condition(step)
                    self.started.append(step)
                case Settle(step, state):
                    assert state in FINAL
                    assert before[step] not in FINAL, "an end is final"
                case CancelJob(step):
                    assert before[step] == "running"
                case Close(state):
                    self.closed.append(state)
        assert len(set(self.started)) == len(self.started), "a step runs at most once"
        assert (self.life.state == "running") == any(state not in FINAL for state in self.life.states.values())

    def _check_condition(self, name: str) -> None:
        for other in self.steps[name].after:
            assert self.ends.get(other) or (self.ends.get(other) is False and self.steps[other].on_failure == GO_ON)
        causes = [step.name for step in self.order if step.on_failure == name]
        assert not causes or any(self.ends.get(cause) is False for cause in causes)
        assert not any(self.ends.get(s.name) is False and s.on_failure == STOP for s in self.order), "it is stopped"


def play(story: Story, kind: str, number: int, now: int) -> None:
    name = f"s{number % len(story.order)}"
    if kind == "restart":
        story.life = PlanLife(
            story.order, dict(story.life.states), state=story.life.state, cancelling=story.life.cancelling
        )
        story.tell(Begun(), now)
    elif kind == "cancel":
        story.tell(CancelAsked(), now)
    else:
        if story.life.states[name] == "running":
            story.ends[name] = kind == "well"
        story.tell(StepRefused(name) if kind == "refused" else StepEnded(name, well=kind == "well"), now)


@given(plans(), st.lists(events, max_size=20))
def test_any_story_keeps_the_invariants_and_ends(steps: tuple[Step, ...], story: list[tuple[str, int]]) -> None:
    told = Story(steps)
    told.tell(Begun())
    for now, (kind, number) in enumerate(story):
        play(told, kind, number, now)
    for _ in steps:  # whatever runs ends at last, and with that the plan does
        for at, step in enumerate(steps):
            if told.life.states[step.name] == "running":
                play(told, "well", at, 100)
    assert told.life.state != "running"
    assert len(told.closed) == 1
    assert all(state in FINAL for state in told.life.states.values())
    assert told.life.handle(CancelAsked(), now=101) == []


@given(plans(), st.lists(events, max_size=20))
def test_a_restart_changes_nothing(steps: tuple[Step, ...], story: list[tuple[str, int]]) -> None:
    whole, broken = Story(steps), Story(steps)
    for one in (whole, broken):
        one.tell(Begun())
    for now, (kind, number) in enumerate(story):
        if kind != "restart":
            play(whole, kind, number, now)
            play(broken, kind, number, now)
        play(broken, "restart", 0, now)
    assert whole.life.states == broken.life.states
    assert whole.started == broken.started


def ended(steps: tuple[Step, ...], **ends: bool) -> dict[str, str]:
    """The states once every step that begins has ended, well unless said otherwise."""
    story = Story(steps)
    story.tell(Begun())
    while running := [name for name, state in story.life.states.items() if state == "running"]:
        story.ends[running[0]] = ends.get(running[0], True)
        story.tell(StepEnded(running[0], well=ends.get(running[0], True)))
    return {**story.life.states, "plan": story.life.state}


def test_stop_leaves_out_all_that_has_not_begun() -> None:
    steps = (Step("a"), Step("b", ("a",)), Step("c"), Step("d", ("c",)))
    assert ended(steps) == {"a": "done", "b": "done", "c": "done", "d": "done", "plan": "done"}
    assert ended(steps, a=False) == {"a": "failed", "b": "skipped", "c": "done", "d": "skipped", "plan": "failed"}


def test_go_on_takes_a_bad_end_for_an_end() -> None:
    steps = (Step("a", on_failure=GO_ON), Step("b", ("a",)))
    assert ended(steps, a=False) == {"a": "failed", "b": "done", "plan": "done"}


def test_another_step_runs_where_one_failed_and_only_then() -> None:
    steps = (Step("a", on_failure="mend"), Step("b", ("a",)), Step("mend"), Step("tell", ("mend",)), Step("c"))
    well = {"a": "done", "b": "done", "mend": "skipped", "tell": "skipped", "c": "done", "plan": "done"}
    assert ended(steps) == well
    badly = {"a": "failed", "b": "skipped", "mend": "done", "tell": "done", "c": "done", "plan": "failed"}
    assert ended(steps, a=False) == badly


def test_what_a_step_waits_for() -> None:
    life = PlanLife((Step("a", on_failure="m"), Step("b", ("a",)), Step("m")))
    life.handle(Begun(), now=0)
    assert (life.waits_for("b"), life.waits_for("m")) == (["a"], ["a"])
