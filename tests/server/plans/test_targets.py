"""Which machines may begin a step for each by itself, and what such a step may be for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.errors import UsageError
from tiercast_server.plans.life import (
    FINAL,
    GO_ON,
    STOP,
    Begun,
    CancelAsked,
    MachinesReady,
    PlanLife,
    Start,
    Step,
    StepEnded,
    StepRefused,
    SuspendAsked,
)
from tiercast_server.plans.targets import Ends, check_meant, due, left

MACHINES = frozenset(f"pc{n}" for n in range(4))


def ends(well: str = "", bad: str = "", still: str = "") -> Ends:
    parts = [frozenset(f"pc{n}" for n in part) for part in (well, bad, still)]
    return Ends(frozenset[str]().union(*parts), parts[0], parts[1])


def names(numbers: str) -> frozenset[str]:
    return frozenset(f"pc{n}" for n in numbers)


def running(*steps: Step, **states: Any) -> PlanLife:
    return PlanLife(steps, states)


def test_a_machine_goes_on_as_soon_as_it_has_passed() -> None:
    life = running(Step("a"), Step("b", ("a",), per_target=True), a="running")
    assert due(life, "b", {}) == frozenset()
    assert due(life, "b", {"a": ends("0", "1", "23")}) == names("0")
    assert left(life, "b", {"a": ends("0", "1", "23"), "b": ends(still="0")}) == 2
    both = running(Step("a"), Step("x"), Step("b", ("a", "x"), per_target=True), a="running", x="running")
    assert due(both, "b", {"a": ends("01", "", "23"), "x": ends("12", "", "03")}) == names("1")
    assert due(both, "b", {"a": ends("01")}) == frozenset(), "the other one has not begun"


def test_each_kind_of_bad_end() -> None:
    on = running(Step("a", on_failure=GO_ON), Step("b", ("a",), per_target=True), a="running")
    assert due(on, "b", {"a": ends("0", "1", "2")}) == names("01")
    mend = running(
        Step("a", on_failure="m"), Step("b", ("a",), per_target=True), Step("m", per_target=True), a="running"
    )
    assert (due(mend, "b", {"a": ends("0", "1", "2")}), due(mend, "m", {"a": ends("0", "1", "2")})) == (
        names("0"),
        names("1"),
    )
    assert left(mend, "m", {"a": ends("0", "1", "2")}) == 2
    other = running(Step("a"), Step("b", ("a",), per_target=True), Step("x"), a="running", x="running")
    assert due(other, "b", {"a": ends("01"), "x": ends("", "0", "1")}) == names("1"), "stop is for that machine"


def test_a_step_without_a_job_has_failed_everywhere() -> None:
    stop = running(Step("a"), Step("x"), Step("b", ("a",), per_target=True), a="running", x="failed")
    assert due(stop, "b", {"a": ends("0")}) == frozenset()
    on = running(
        Step("a"), Step("x", on_failure=GO_ON), Step("b", ("a", "x"), per_target=True), a="running", x="failed"
    )
    assert due(on, "b", {"a": ends("0", still="1")}) == names("0")
    mend = running(Step("a"), Step("x", on_failure="b"), Step("b", ("a",), per_target=True), a="running", x="failed")
    assert due(mend, "b", {"a": ends("0", still="1")}) == names("0")


def test_what_it_is_for_must_be_able_to_begin() -> None:
    steps = [Step("a", on_failure="m"), Step("b", ("a",), per_target=True), Step("m", per_target=True)]
    check_meant(steps, {"a": names("012"), "b": names("01"), "m": names("2")})
    for wrong, missing in (({"b": names("03")}, "pc3"), ({"m": names("23")}, "pc3")):
        with pytest.raises(UsageError, match=missing) as caught:
            check_meant(steps, {"a": names("012"), "b": names("0"), "m": names("2"), **wrong})
        assert (caught.value.code, "1 of its 2 targets" in caught.value.what) == ("plan.targets", True)
    check_meant([Step("a"), Step("b", ("a",))], {"a": names("0"), "b": names("3")})


@st.composite
def plans(draw: Any) -> tuple[Step, ...]:
    """Steps of both kinds that come after earlier ones only, and whose bad ends run later ones only."""
    count = draw(st.integers(2, 5))
    steps = []
    for at in range(count):
        after = draw(st.lists(st.integers(0, at - 1), unique=True, max_size=2)) if at else []
        later = [f"s{n}" for n in range(at + 1, count)]
        bad = draw(st.sampled_from([STOP, GO_ON, *later]))
        steps.append(Step(f"s{at}", tuple(f"s{n}" for n in after), bad, draw(st.booleans())))
    return tuple(steps)


class World:
    """A plan and the machines of its jobs, as the rows hold them; every round reads all of it anew, as after a kill."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps
        self.life = PlanLife(steps)
        self.jobs: dict[str, dict[str, str]] = {}

    def ends(self) -> dict[str, Ends]:
        return {
            step: Ends(
                frozenset(job),
                frozenset(n for n, state in job.items() if state == "done"),
                frozenset(n for n, state in job.items() if state == "failed"),
            )
            for step, job in self.jobs.items()
        }

    def round(self, *asked: Any) -> None:
        """What `Plans._go_on` does, with dictionaries."""
        life = self.life = PlanLife(
            self.steps,
            dict(self.life.states),
            state=self.life.state,
            cancelling=self.life.cancelling,
            suspended=self.life.suspended,
        )
        found = {
            step.name: nodes
            for step in self.steps
            if life.by_machine(step.name)
            and life.states[step.name] in {"waiting", "running"}
            and not life.cancelling
            and (nodes := due(life, step.name, self.ends()) - self.ends().get(step.name, Ends()).targets)
        }
        over = [
            StepEnded(name, well=set(job.values()) <= {"done"})
            for name, job in self.jobs.items()
            if life.states[name] == "running" and name not in found and "open" not in job.values()
        ]
        if life.suspended and not any(isinstance(event, SuspendAsked) for event in asked):
            found = {}
        for name, nodes in found.items():
            if name in self.jobs:
                self.begin(name, nodes)
        ready = [MachinesReady(name) for name in found if name not in self.jobs]
        for event in [*asked, *ready, *over, Begun()]:
            for command in life.handle(event, now=0):
                if isinstance(command, Start):
                    assert not life.suspended
                    assert not life.cancelling
                    self.begin(command.step, found.get(command.step, MACHINES))

    def begin(self, name: str, nodes: frozenset[str]) -> None:
        job = self.jobs.setdefault(name, {})
        assert not nodes & job.keys(), "no machine begins a step twice"
        step = self.life.steps[name]
        if self.life.by_machine(name):
            for node in nodes:
                for other in step.after:
                    state = self.jobs.get(other, {}).get(node, "")
                    wanted = {"done", "failed"} if self.life.steps[other].on_failure == GO_ON else {"done"}
                    assert state in wanted, "what comes before it has ended well there"
                causes = self.life.causes(name)
                assert not causes or any(self.jobs.get(cause, {}).get(node) == "failed" for cause in causes)
                stops = [one.name for one in self.steps if one.on_failure == STOP]
                assert not any(self.jobs.get(one, {}).get(node) == "failed" for one in stops), "it is stopped there"
        job.update(dict.fromkeys(nodes, "open"))


events = st.one_of(
    st.tuples(st.sampled_from(["well", "badly"]), st.integers(0, 4), st.integers(0, 3)),
    st.tuples(st.sampled_from(["well", "badly"]), st.integers(0, 4), st.integers(0, 3)),
    st.tuples(st.sampled_from(["look", "suspend", "resume"]), st.just(0), st.just(0)),
)


def end(world: World, step: str, node: str, state: str) -> None:
    if world.jobs.get(step, {}).get(node) == "open":
        world.jobs[step][node] = state


@given(plans(), st.lists(events, max_size=30), st.booleans())
def test_any_story_keeps_each_machine_in_order_and_ends(
    steps: tuple[Step, ...], story: list[tuple[str, int, int]], cancelled: bool
) -> None:
    world = World(steps)
    world.round()
    for kind, number, machine in story:
        if kind in {"well", "badly"}:
            step = f"s{number % len(steps)}"
            end(world, step, f"pc{machine}", "done" if kind == "well" else "failed")
        elif kind != "look":
            world.round(SuspendAsked(on=kind == "suspend"))
            continue
        world.round()
    world.round(CancelAsked() if cancelled else SuspendAsked(on=False))
    for _ in range(2 * len(steps) + 2):
        for step, job in world.jobs.items():
            for node in job:
                end(world, step, node, "done")
        world.round()
    assert world.life.state != "running", world.life.states
    assert all(state in FINAL for state in world.life.states.values())
    if cancelled:
        return
    for step in steps:  # nobody who might have begun was forgotten
        if world.life.by_machine(step.name):
            assert due(world.life, step.name, world.ends()) == world.ends().get(step.name, Ends()).targets


def test_a_refused_first_step_ends_the_plan() -> None:
    life = PlanLife((Step("a"), Step("b", ("a",), per_target=True)))
    life.handle(Begun(), now=0)
    life.handle(StepRefused("a"), now=0)
    assert (life.states, life.state) == ({"a": "failed", "b": "skipped"}, "failed")
