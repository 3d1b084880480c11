"""The machine of one job: any story keeps the invariants."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from itertools import product
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_endpoint.jobs.gate import Gate
from tiercast_endpoint.jobs.install import (
    FIRST,
    HARMLESS,
    INSTALL,
    PROGRAMS,
    REMOVE,
    RESTING,
    RUN,
    Abort,
    CancelAsked,
    Command,
    Event,
    Finish,
    Install,
    Judged,
    OrderExpired,
    Outcome,
    Perform,
    Plan,
    Record,
    Recovered,
    Rest,
    Running,
    Seek,
    SendingLate,
    Snapshot,
    Step,
    StepDone,
    StepFailed,
    StepOrdered,
    Stopping,
    Tell,
    TimeCame,
    TurnCame,
)
from tiercast_protocol.content.jobs import times as t
from tiercast_protocol.content.jobs.reason import because
from tiercast_protocol.transfer import calendar

FINAL = {"rejected", "done", "failed", "interrupted", "cancelled", "expired"}


@dataclass
class World:
    """The adapter and the machine's disk, in memory: what a crash leaves and what it takes."""

    type: str
    plan: Plan
    gate: Gate = field(default_factory=Gate)
    now: int = 0
    resting: bool = False
    sought: bool = True
    #: When the installation was begun, by the first step of it; again after a crash that says nothing new.
    begun: list[int] = field(default_factory=list)
    cancelled: bool = False
    ran: bool = False
    app: str = ""
    #: What facts and owner say; and, for the story, what was told first.
    judged: Judged = field(default_factory=Judged)
    journal: Snapshot = field(init=False)
    machine: Install = field(init=False)
    performing: Step | None = None
    link: str = "old"
    staged: bool = False
    applied: bool = False
    outcomes: set[Outcome] = field(default_factory=set)
    started: dict[Step, int] = field(default_factory=dict)
    lives: int = 1

    def __post_init__(self) -> None:
        self.journal = Snapshot(self.type)
        self.machine = Install(self.journal, self.gate)

    def feed(self, event: Event, *, crash_after: int | None = None) -> None:
        """Handle `event`; the power goes after `crash_after` of its commands."""
        if isinstance(event, TurnCame):
            if not self.sought:
                return
            self.sought = False
        commands = self.machine.handle(self.judged, now=self.now) or self.machine.handle(event, now=self.now)
        for number, command in enumerate(commands):
            if crash_after is not None and number >= crash_after:
                self.crash()
                return
            self.act(command)

    def act(self, command: Command) -> None:
        match command:
            case Record(snapshot):
                before, self.journal = self.journal, snapshot
                if snapshot.begun and snapshot.begun != before.begun:
                    self.begun.append(snapshot.begun)
                    assert not self.cancelled, "no installation begins after a cancel was acknowledged"
                    assert snapshot.begun >= self.gate.times.not_before
                    assert not self.app
                    assert self.judged.install is None, "nothing begins that a condition or the owner keeps"
                    assert calendar.rate_at(self.gate.times.window, snapshot.begun / 1000, UTC) != 0.0
            case Perform(step):
                assert self.journal.step is step, "a step is journaled before it is performed"
                assert self.performing is None, "one step at a time"
                self.performing = step
                if step in {Step.BEFORE, Step.RUN}:
                    # The first program of all, also when it is begun again after a crash.
                    assert self.now >= self.gate.times.not_before
                    assert calendar.rate_at(self.gate.times.window, self.now / 1000, UTC) != 0.0
                    assert self.judged.install is None
                assert step is not Step.PLAN or self.judged.fetch is None
                if step in PROGRAMS:
                    self.started[step] = self.started.get(step, 0) + 1
                    assert step is not Step.BEFORE or self.link == "old"
                    assert step is not Step.AFTER or self.link == "new"
            case Abort(step):
                assert step is self.performing or self.performing is None
                assert step in HARMLESS or step in PROGRAMS
                self.performing = None
            case Finish(outcome):
                assert self.journal.step is Step.END
                assert outcome.state in FINAL
                assert outcome.state != "done" or self.type != RUN or self.ran
                self.outcomes.add(outcome)
                self.cancelled |= outcome.state == "cancelled"
            case Tell(state, code):
                assert state not in FINAL
                assert code or self.journal.step not in RESTING, "who waits says for what"
            case Rest(until):
                assert self.performing is None
                assert until == 0 or until > self.now
                self.resting, self.sought = True, False
            case Seek():
                self.resting, self.sought = False, True

    def perform(self, *, ok: bool, half: bool) -> Event | None:
        """Do the present step (or half of it, then nobody answers)."""
        step = self.performing
        if step is None:
            return None
        self.ran |= ok and step is Step.RUN
        if ok or half:
            match step:
                case Step.ASSEMBLE:
                    self.staged = True
                case Step.SWITCH:
                    assert self.staged or self.plan.ready
                    self.link = "new"
                case Step.APPLY:
                    assert self.link == "new"
                    self.applied = True
                case Step.REVERT:
                    assert self.link == "new", "what the actions need to be taken back still stands"
                    self.applied = False
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
        self.resting, self.sought = False, self.journal.step in RESTING
        self.machine = Install(self.journal, self.gate)
        self.machine.handle(Running(self.app), now=self.now)
        judged = self.machine.handle(self.judged, now=self.now)
        for command in judged or self.machine.handle(Recovered(), now=self.now):
            self.act(command)

    def check(self) -> None:
        assert len(self.outcomes) <= 1, "exactly one outcome"
        for step, times in self.started.items():
            idempotent = self.plan.after if step is Step.AFTER else self.plan.before
            tries = self.gate.times.installation.most
            assert times <= (self.lives + tries - 1 if idempotent else tries), "nothing is run twice"
        attempts = self.machine.snapshot.installed
        assert attempts <= self.gate.times.installation.most
        assert self.machine.snapshot.tried <= self.gate.times.transfer.most


programs = st.sampled_from([None, False, True])
plans = st.builds(
    Plan, ready=st.booleans(), current=st.just(False), before=programs, after=programs, actions=st.booleans()
)
moves = st.one_of(
    st.tuples(st.just("ok"), st.none() | st.integers(0, 3)),
    st.tuples(st.just("ok"), st.none()),
    st.tuples(st.just("fail"), st.none() | st.integers(0, 3)),
    st.tuples(st.just("half"), st.none()),
    st.tuples(st.sampled_from(["crash", "cancel", "expire", "late", "turn"]), st.none() | st.integers(0, 3)),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(FIRST)), plans, st.lists(moves, max_size=25))
def test_any_story_keeps_the_invariants(type_: str, plan: Plan, story: list[tuple[str, int | None]]) -> None:
    world = World(type_, plan)
    undo_failed = False
    for move, crash_after in story:
        match move:
            case "ok" | "fail":
                undo_failed |= move == "fail" and world.performing in {Step.REVERT, Step.UNDO}
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
                        assert world.machine.handle(StepDone(step), now=0) == []
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
        assert world.link == ("new" if outcome.state == "done" and type_ == INSTALL else "old")
        assert world.applied == (plan.actions and outcome.state == "done" and type_ == INSTALL)
    if outcome.state != "done" and not undo_failed and type_ == INSTALL:
        assert not world.staged


TEXTS = ["", "daily 22:00-06:00 utc", "daily 12:00-12:30 utc; not sat,sun 00:00-24:00 utc"]
HOUR = 3_600_000
gates = st.builds(
    lambda window, at, when, longest, spread, first, second: Gate(
        t.read(
            {
                "install_window": window,
                "install_at": at * HOUR or None,
                "distribute_at": first * HOUR or None,
                "install_when": when,
                "max_duration_s": longest or None,
                "spread_s": spread or None,
                "tries": second,
                "install_tries": second,
                "try_pause_s": 60,
                "send_timeout_s": 1800 * second,
                "install_pause_s": 7200,
            }
        ),
        share=0.5,
        zone=UTC,
    ),
    st.sampled_from(TEXTS), st.integers(0, 60), st.sampled_from(t.WHENS), st.sampled_from([0, 600, 3600]),
    st.sampled_from([0, 1200]), st.integers(0, 30), st.integers(1, 3),
)  # fmt: skip
timed = st.one_of(
    moves,
    st.tuples(st.just("tick"), st.integers(-50, 200)),
    st.tuples(st.sampled_from(["time", "turn", "stop", "ok", "force", "app", "late sending"]), st.none()),
    st.tuples(st.just("judge"), st.integers(0, 3)),
)
HELD, FALSE = because("owner.held", by="alice"), because("condition.false", condition="cpus > 4", values="cpus = 2")
#: Free; kept as the owner does it; kept as facts do it; ended.
JUDGED = (
    Judged(values="cpus = 4"),
    Judged(install=HELD),
    Judged(fetch=FALSE, install=FALSE),
    Judged(fetch=FALSE, install=FALSE, end=Outcome("rejected", "owner.rejected", "Rejected by alice.")),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(FIRST)), plans, gates, st.lists(timed, max_size=40))
def test_no_story_installs_outside_its_times_nor_twice(
    type_: str, plan: Plan, gate: Gate, story: list[tuple[str, int | None]]
) -> None:
    world = World(type_, plan, gate, now=HOUR, judged=JUDGED[0])
    world.feed(TimeCame())
    for move, number in story:
        match move:
            case "ok" | "fail":
                event = world.perform(ok=move == "ok", half=False)
                if event is not None:
                    world.feed(event, crash_after=number)
            case "half":
                world.perform(ok=False, half=True)
                world.crash()
            case "crash":
                world.crash()
            case "cancel" | "force":
                world.feed(CancelAsked(force=move == "force"), crash_after=number)
            case "expire":
                world.feed(OrderExpired(), crash_after=number)
            case "tick":
                world.now = max(HOUR, world.now + (number or 0) * HOUR // 4)
            case "time" if world.resting:
                world.feed(TimeCame())
            case "stop":
                world.feed(Stopping())
            case "late sending":
                world.feed(SendingLate())
            case "app":
                world.app = "" if world.app else "editor"
                world.feed(Running(world.app))
            case "judge":
                world.judged = JUDGED[number or 0]
                world.feed(TimeCame())
            case "turn":
                world.feed(TurnCame())
        world.check()
    alone(world)
    (outcome,) = world.outcomes
    assert outcome.state in FINAL
    assert not world.begun or outcome.state == "cancelled" or "cpus = 4" in outcome.detail, "values that decided"
    before = list(world.begun)
    for event in (TurnCame(), TimeCame(), Stopping(), CancelAsked(force=True), OrderExpired()):
        world.feed(event)
    assert world.begun == before
    assert len(world.outcomes) == 1


prepared = st.one_of(
    st.tuples(st.just("tick"), st.integers(-8, 40)), st.tuples(st.sampled_from(["time", "turn", "crash"]), st.none())
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([INSTALL, REMOVE, RUN]), plans, gates, st.lists(prepared, min_size=3, max_size=30))
def test_who_is_prepared_begins_only_inside_whatever_the_clock_does(
    type_: str, plan: Plan, gate: Gate, story: list[tuple[str, int | None]]
) -> None:
    world = World(type_, plan, gate, now=HOUR)
    if type_ == INSTALL:
        world.journal = Snapshot(INSTALL, Step.HOLD, plan)
        world.staged = True
    world.crash()
    for move, number in story:
        match move:
            case "tick":
                world.now = max(HOUR, world.now + (number or 0) * HOUR // 2)
            case "time" if world.resting:
                world.feed(TimeCame())
            case "turn":
                world.feed(TurnCame())
            case "crash":
                world.crash()
    world.check()
    alone(world)


def alone(world: World) -> None:
    """With working disks and programs, and a clock that goes on, the job ends by itself."""
    world.app, world.judged = "", JUDGED[0]
    world.crash()
    for _ in range(200):
        if world.outcomes:
            return
        if world.performing is not None:
            event = world.perform(ok=True, half=False)
            assert event is not None
            world.feed(event)
        elif world.sought:
            world.feed(TurnCame())
        else:
            assert world.resting, "who neither works nor waits for a turn rests"
            wait = world.machine.wait(world.now)
            if wait is None:
                world.feed(TimeCame())
            elif wait.until:
                world.now = wait.until
            elif wait.code == "agent.stop":
                world.feed(Stopping())
                if world.resting:
                    world.now += HOUR // 4
            elif wait.code == "agent.start":
                world.crash()
            else:
                world.feed(OrderExpired())
    raise AssertionError("the job does not end")


def test_what_is_prepared_waits_for_its_window_and_says_so() -> None:
    gate = Gate(t.read({"install_window": "daily 22:00-23:00 utc"}), zone=UTC)
    world = World(INSTALL, Plan(), gate, now=12 * HOUR)
    run(world, True, True, True)
    assert world.journal.step is Step.HOLD
    assert world.resting
    told = world.machine.handle(TimeCame(), now=13 * HOUR)
    assert told == [Rest(22 * HOUR)], "the same reason is told once"
    world.now = 22 * HOUR
    world.feed(TimeCame())
    assert world.sought
    world.feed(TurnCame())
    assert world.performing is Step.SWITCH
    assert world.begun == [22 * HOUR]


def test_what_is_rejected_while_it_is_fetched_is_taken_away() -> None:
    world = World(INSTALL, Plan())
    run(world, True)
    assert world.performing is Step.FETCH
    world.judged = JUDGED[3]
    world.feed(TimeCame())
    assert world.performing is Step.DISCARD
    event = world.perform(ok=True, half=False)
    assert event is not None
    world.feed(event)
    assert [o.code for o in world.outcomes] == ["owner.rejected"]


def test_what_facts_say_is_told_anew_with_its_values() -> None:
    world = World(INSTALL, Plan(), judged=JUDGED[2])
    world.feed(TimeCame())
    assert world.resting
    assert world.machine.handle(TimeCame(), now=1) == [Rest(0)]
    other = because("condition.false", condition="cpus > 4", values="cpus = 3")
    world.judged = Judged(fetch=other, install=other)
    world.machine.handle(world.judged, now=2)
    told = world.machine.handle(TimeCame(), now=2)
    assert isinstance(told[0], Tell)
    assert "cpus = 3" in told[0].detail


def test_a_cancel_takes_what_is_prepared_away() -> None:
    world = World(INSTALL, Plan(), Gate(t.read({"install_at": 22 * HOUR})), now=HOUR)
    run(world, True, True, True)
    world.feed(CancelAsked())
    assert world.performing is Step.DISCARD
    event = world.perform(ok=True, half=False)
    assert event is not None
    world.feed(event)
    assert [o.state for o in world.outcomes] == ["cancelled"]


def test_a_failed_installation_is_tried_again_after_its_undo() -> None:
    gate = Gate(t.read({"install_tries": 2, "install_pause_s": 60}))
    world = World(INSTALL, Plan(after=True), gate, now=HOUR)
    run(world, True, True, True, True, False, True)
    assert world.journal.step is Step.HOLD
    assert world.link == "old"
    wait = world.machine.wait(world.now)
    assert wait is not None
    assert (wait.code, wait.until) == ("retry.pause", HOUR + 60_000)
    world.now = wait.until
    world.feed(TimeCame())
    world.feed(TurnCame())
    assert (world.performing, world.machine.snapshot.attempt) == (Step.SWITCH, 2)
    for ok in (True, False, True, True):
        event = world.perform(ok=ok, half=False)
        assert event is not None
        world.feed(event)
    assert [o.state for o in world.outcomes] == ["failed"]


def test_the_way_here_has_a_time_of_its_own() -> None:
    gate = Gate(t.read({"send_timeout_s": 60, "tries": 2, "try_pause_s": 60}))
    machine = Install(Snapshot(INSTALL), gate)
    assert machine.handle(SendingLate(), now=10**9) == [], "it has not begun"
    machine.handle(TurnCame(), now=1000)
    assert machine.sending_ends == 61_000
    machine.handle(StepDone(Step.PLAN, Plan()), now=2000)
    assert machine.handle(SendingLate(), now=60_999) == []
    assert machine.handle(SendingLate(), now=61_000)[0] == Abort(Step.FETCH)
    assert (machine.snapshot.step, machine.snapshot.tried) == (Step.WAIT, 1)
    machine = Install(machine.snapshot, gate)  # over a restart
    machine.handle(Recovered(), now=121_000)
    machine.handle(TurnCame(), now=121_000)
    assert machine.sending_ends == 181_000, "each try has its own"
    machine.handle(SendingLate(), now=181_000)
    assert machine.snapshot.outcome is not None
    assert (machine.snapshot.outcome.code, machine.snapshot.step) == ("send.timeout", Step.DISCARD)
    at_work = Install(Snapshot(INSTALL, Step.ASSEMBLE, sending=1), gate)
    assert at_work.handle(SendingLate(), now=10**9) == [], "what is here is built, however long it takes"


def test_only_named_codes_are_tried_again() -> None:
    gate = Gate(t.read({"tries": 3, "try_codes": "disk.full, chunk.missing"}))
    for code, step in (("disk.full", Step.WAIT), ("disk.short", Step.DISCARD)):
        machine = Install(Snapshot(INSTALL, Step.FETCH), gate)
        machine.handle(StepFailed(Step.FETCH, code), now=HOUR)
        assert machine.snapshot.step is step


def test_a_forced_cancel_kills_the_program_and_takes_the_switch_back() -> None:
    machine = Install(Snapshot(INSTALL, Step.AFTER, Plan(after=False)))
    commands = machine.handle(CancelAsked(force=True), now=HOUR)
    assert commands[0] == Abort(Step.AFTER)
    assert machine.snapshot.step is Step.UNDO
    assert machine.snapshot.outcome is not None
    assert machine.snapshot.outcome.code == "cancel.forced"


def test_an_idempotent_program_waits_for_the_window_again_after_a_crash() -> None:
    gate = Gate(t.read({"install_window": "daily 22:00-23:00 utc"}), zone=UTC)
    snapshot = Snapshot(INSTALL, Step.BEFORE, Plan(before=True), begun=22 * HOUR)
    machine = Install(snapshot, gate)
    commands = machine.handle(Recovered(), now=23 * HOUR)
    assert machine.snapshot.step is Step.HOLD
    assert commands[-1] == Rest(46 * HOUR)


def test_an_idempotent_program_of_a_job_waits_for_the_window_again_after_a_crash() -> None:
    gate = Gate(t.read({"install_window": "daily 22:00-23:00 utc"}), zone=UTC)
    machine = Install(Snapshot(RUN, Step.RUN, Plan(before=True), begun=22 * HOUR), gate)
    machine.handle(Recovered(), now=23 * HOUR)
    assert machine.snapshot.step is Step.STOP, "what is left of it is ended first"
    assert machine.handle(StepDone(Step.STOP), now=23 * HOUR)[-1] == Rest(46 * HOUR)
    assert machine.snapshot.step is Step.WAIT


def test_a_program_that_can_not_be_ended_before_its_next_try_is_no_success() -> None:
    machine = Install(Snapshot(RUN, Step.RUN), Gate(t.read({"install_tries": 2})))
    machine.handle(StepFailed(Step.RUN, "program.failed"), now=HOUR)
    assert machine.snapshot.step is Step.STOP
    machine.handle(StepFailed(Step.STOP, "x"), now=HOUR)
    assert machine.snapshot.outcome == Outcome("failed", "program.failed")


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
    assert world.machine.handle(CancelAsked(), now=0) == []


def moves_of(snapshot: Snapshot) -> list[tuple[str, Event]]:
    """Every event that may come, with the word that the picture has for it."""
    step = snapshot.step
    found: list[tuple[str, Event]] = [
        ("failed", StepFailed(step, "x")),
        ("cancelled", CancelAsked()),
        ("expired", OrderExpired()),
        ("crashed", Recovered()),
    ]
    if snapshot.phase:
        found += [(step_, StepOrdered(step_)) for step_ in ("commit", "accept", "undo")]
    if step in RESTING:
        found.append(("turn", TurnCame()))
    elif step is Step.PLAN:
        found.append(("done", StepDone(step, Plan(before=False, after=False))))
        found.append(("done", StepDone(step, Plan())))
        found.append(("done", StepDone(step, Plan(after=False, actions=True))))
        found.append(("done", StepDone(step, Plan(confirm=True))))
        found.append(("done", StepDone(step, Plan(confirm=True, reboot="now"))))
        found.append(("done", StepDone(step, Plan(reboot="now"))))
        found.append(("stands already", StepDone(step, Plan(ready=True))))
        found.append(("stands already", StepDone(step, Plan(ready=True, before=False))))
        found.append(("installed already", StepDone(step, Plan(ready=True, current=True))))
    else:
        found.append(("done", StepDone(step)))
    return found


#: Open for nothing and for all; one more try for whatever fails.
SHUT, AGAIN = Gate(t.read({"install_at": 2})), Gate(t.read({"tries": 2, "install_tries": 2}))


def picture() -> str:
    """All transitions of the machine, found by trying all events in all states."""
    waiting, seen, edges = [Snapshot(INSTALL, phase="prepare"), *map(Snapshot, FIRST)], set(), {}
    while waiting:
        snapshot = waiting.pop()
        if snapshot in seen or snapshot.step is Step.END:
            continue
        seen.add(snapshot)
        for (word, event), gate in product(moves_of(snapshot), (Gate(), SHUT, AGAIN)):
            machine = Install(snapshot, gate)
            machine.handle(event, now=1)
            if gate is AGAIN and word == "failed" and machine.snapshot.failed is not snapshot.failed:
                word = "to be tried again"  # noqa: PLW2901 - one word more
            if machine.snapshot.step is not snapshot.step:
                edges.setdefault((snapshot.step, machine.snapshot.step), set()).add(word)
                waiting.append(machine.snapshot)
            elif isinstance(event, StepOrdered):
                waiting.append(machine.snapshot)
    order = list(Step)
    lines = ["stateDiagram-v2", f"    [*] --> {Step.WAIT}"]
    for (start, end), words in sorted(edges.items(), key=lambda e: (order.index(e[0][0]), order.index(e[0][1]))):
        lines.append(f"    {start} --> {'[*]' if end is Step.END else end}: {', '.join(sorted(words))}")
    return "\n".join(lines)


def test_the_picture_in_the_docs_is_the_machine() -> None:
    docs = Path(__file__).parents[3] / "docs/on-the-endpoint.md"
    assert f"```mermaid\n{picture()}\n```" in docs.read_text(), picture()
