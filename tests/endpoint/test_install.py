"""The machine of one job: any story keeps the invariants."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_endpoint.install import (
    HARMLESS,
    INSTALL,
    PROGRAMS,
    REMOVE,
    Abort,
    CancelAsked,
    Command,
    Event,
    Finish,
    Install,
    OrderExpired,
    Outcome,
    Perform,
    Plan,
    Record,
    Recovered,
    Snapshot,
    Step,
    StepDone,
    StepFailed,
    Tell,
    TurnCame,
)

FINAL = {"done", "failed", "interrupted", "cancelled", "expired"}


@dataclass
class World:
    """The adapter and the machine's disk, in memory: what a crash leaves and what it takes."""

    type: str
    plan: Plan
    journal: Snapshot = field(init=False)
    machine: Install = field(init=False)
    performing: Step | None = None
    link: str = "old"
    staged: bool = False
    outcomes: set[Outcome] = field(default_factory=set)
    started: dict[Step, int] = field(default_factory=dict)
    lives: int = 1

    def __post_init__(self) -> None:
        self.journal = Snapshot(self.type)
        self.machine = Install(self.journal)

    def feed(self, event: Event, *, crash_after: int | None = None) -> None:
        """Handle `event`; the power goes after `crash_after` of its commands."""
        commands = self.machine.handle(event)
        for number, command in enumerate(commands):
            if crash_after is not None and number >= crash_after:
                self.crash()
                return
            self.act(command)

    def act(self, command: Command) -> None:
        match command:
            case Record(snapshot):
                self.journal = snapshot
            case Perform(step):
                assert self.journal.step is step, "a step is journaled before it is performed"
                assert self.performing is None, "one step at a time"
                self.performing = step
                if step in PROGRAMS:
                    self.started[step] = self.started.get(step, 0) + 1
                    assert step is not Step.BEFORE or self.link == "old"
                    assert step is not Step.AFTER or self.link == "new"
            case Abort(step):
                assert step is self.performing or self.performing is None
                assert step in HARMLESS
                self.performing = None
            case Finish(outcome):
                assert self.journal.step is Step.END
                assert outcome.state in FINAL
                self.outcomes.add(outcome)
            case Tell(state):
                assert state not in FINAL

    def perform(self, *, ok: bool, half: bool) -> Event | None:
        """Do the present step (or half of it, then nobody answers)."""
        step = self.performing
        if step is None:
            return None
        if ok or half:
            match step:
                case Step.ASSEMBLE:
                    self.staged = True
                case Step.SWITCH:
                    assert self.staged or self.plan.ready
                    self.link = "new"
                case Step.UNDO:
                    self.link = "old"
                case Step.UNLINK:
                    self.link = "none"
                case Step.DISCARD:
                    assert self.link != "new" or self.plan.current, "a tree in use is never discarded"
                    self.staged = False
        if half:
            return None
        self.performing = None
        if not ok:
            return StepFailed(step, "x.failed")
        return StepDone(step, self.plan if step is Step.PLAN else None)

    def crash(self) -> None:
        self.lives += 1
        self.performing = None
        self.machine = Install(self.journal)
        for command in self.machine.handle(Recovered()):
            self.act(command)

    def check(self) -> None:
        assert len(self.outcomes) <= 1, "exactly one outcome"
        for step, times in self.started.items():
            idempotent = self.plan.before if step is Step.BEFORE else self.plan.after
            assert times <= (self.lives if idempotent else 1), "nothing is run twice"


programs = st.sampled_from([None, False, True])
plans = st.builds(Plan, ready=st.booleans(), current=st.just(False), before=programs, after=programs)
moves = st.one_of(
    st.tuples(st.just("ok"), st.none() | st.integers(0, 3)),
    st.tuples(st.just("ok"), st.none()),
    st.tuples(st.just("fail"), st.none() | st.integers(0, 3)),
    st.tuples(st.just("half"), st.none()),
    st.tuples(st.sampled_from(["crash", "cancel", "expire", "late", "turn"]), st.none() | st.integers(0, 3)),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([INSTALL, REMOVE]), plans, st.lists(moves, max_size=25))
def test_any_story_keeps_the_invariants(type_: str, plan: Plan, story: list[tuple[str, int | None]]) -> None:
    world = World(type_, plan)
    undo_failed = False
    for move, crash_after in story:
        match move:
            case "ok" | "fail":
                undo_failed |= move == "fail" and world.performing is Step.UNDO
                event = world.perform(ok=move == "ok", half=False)
                if event is not None:
                    world.feed(event, crash_after=crash_after)
            case "half":
                world.perform(ok=False, half=True)
                world.crash()
            case "crash":
                world.crash()
            case "cancel":
                world.feed(CancelAsked(), crash_after=crash_after)
            case "expire":
                world.feed(OrderExpired(), crash_after=crash_after)
            case "late":
                for step in Step:
                    if step is not world.machine.snapshot.step:
                        assert world.machine.handle(StepDone(step)) == []
            case _:
                world.feed(TurnCame(), crash_after=crash_after)
        world.check()
    # Left alone with a working disk, every job ends, and the name leads where the outcome says.
    world.feed(TurnCame())
    for _ in range(len(Step)):
        event = world.perform(ok=True, half=False)
        if event is not None:
            world.feed(event)
    world.check()
    (outcome,) = world.outcomes
    if type_ == REMOVE:
        assert (world.link == "none") == (outcome.state == "done") or outcome.state == "failed"
    elif not undo_failed:
        assert world.link == ("new" if outcome.state == "done" else "old")
    if outcome.state != "done" and not undo_failed and type_ == INSTALL:
        assert not world.staged


def run(world: World, *answers: bool) -> None:
    world.feed(TurnCame())
    for ok in answers:
        event = world.perform(ok=ok, half=False)
        assert event is not None
        world.feed(event)


def test_the_plain_way() -> None:
    world = World(INSTALL, Plan(before=False, after=False))
    run(world, True, True, True, True, True, True, True)
    assert world.outcomes == {Outcome("done")}
    assert world.started == {Step.BEFORE: 1, Step.AFTER: 1}


def test_a_package_that_stands_already_moves_nothing() -> None:
    world = World(INSTALL, Plan(ready=True, current=True, before=False))
    run(world, True, True)
    assert [o.code for o in world.outcomes] == ["unchanged"]
    assert world.started == {}


def test_a_failing_run_after_brings_the_old_version_back() -> None:
    world = World(INSTALL, Plan(after=False))
    run(world, True, True, True, True, False, True, True)
    assert [o.state for o in world.outcomes] == ["failed"]
    assert world.link == "old"


def test_a_program_that_was_not_seen_to_finish_is_interrupted() -> None:
    world = World(INSTALL, Plan(before=False))
    run(world, True, True, True)
    assert world.performing is Step.BEFORE
    world.crash()
    event = world.perform(ok=True, half=False)
    assert event is not None
    world.feed(event)
    assert [o.state for o in world.outcomes] == ["interrupted"]
    assert world.started == {Step.BEFORE: 1}


def test_an_idempotent_program_is_run_again() -> None:
    world = World(INSTALL, Plan(before=True))
    run(world, True, True, True)
    world.crash()
    assert world.performing is Step.BEFORE
    assert world.started == {Step.BEFORE: 2}


def test_a_late_cancel_changes_nothing() -> None:
    world = World(INSTALL, Plan(after=False))
    run(world, True, True, True, True)
    assert world.performing is Step.AFTER
    assert world.machine.handle(CancelAsked()) == []


def moves_of(snapshot: Snapshot) -> list[tuple[str, Event]]:
    """Every event that may come, with the word that the picture has for it."""
    step = snapshot.step
    found: list[tuple[str, Event]] = [
        ("failed", StepFailed(step, "x")),
        ("cancelled", CancelAsked()),
        ("expired", OrderExpired()),
        ("crashed", Recovered()),
    ]
    if step is Step.WAIT:
        found.append(("turn", TurnCame()))
    elif step is Step.PLAN:
        found.append(("done", StepDone(step, Plan(before=False, after=False))))
        found.append(("done", StepDone(step, Plan())))
        found.append(("stands already", StepDone(step, Plan(ready=True))))
        found.append(("stands already", StepDone(step, Plan(ready=True, before=False))))
        found.append(("installed already", StepDone(step, Plan(ready=True, current=True))))
    else:
        found.append(("done", StepDone(step)))
    return found


def picture() -> str:
    """All transitions of the machine, found by trying all events in all states."""
    waiting, seen, edges = [Snapshot(INSTALL), Snapshot(REMOVE)], set(), {}
    while waiting:
        snapshot = waiting.pop()
        if snapshot in seen or snapshot.step is Step.END:
            continue
        seen.add(snapshot)
        for word, event in moves_of(snapshot):
            machine = Install(snapshot)
            machine.handle(event)
            if machine.snapshot.step is not snapshot.step:
                edges.setdefault((snapshot.step, machine.snapshot.step), set()).add(word)
                waiting.append(machine.snapshot)
    order = list(Step)
    lines = ["stateDiagram-v2", f"    [*] --> {Step.WAIT}"]
    for (start, end), words in sorted(edges.items(), key=lambda e: (order.index(e[0][0]), order.index(e[0][1]))):
        lines.append(f"    {start} --> {'[*]' if end is Step.END else end}: {', '.join(sorted(words))}")
    return "\n".join(lines)


def test_the_picture_in_the_docs_is_the_machine() -> None:
    docs = Path(__file__).parents[2] / "docs/on-the-endpoint.md"
    assert f"```mermaid\n{picture()}\n```" in docs.read_text(), picture()
