"""Two phases on one machine: any story of orders, crashes and failures ends in exactly one way, old or new."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_endpoint.jobs.endings import SUPERSEDED
from tiercast_endpoint.jobs.install import (
    INSTALL,
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
    Seek,
    Snapshot,
    Step,
    StepDone,
    StepFailed,
    StepOrdered,
    Tell,
    TimeCame,
    TurnCame,
)
from tiercast_endpoint.jobs.phased import STANDING, entered, with_step
from tiercast_protocol.content.package.phases import ACCEPT, COMMIT, PREPARE, STEPS, UNDO, further


@dataclass
class Machine:
    """The job's machine, its journal, the disk, and the orders that were journaled before it heard of them."""

    plan: Plan
    journal: Snapshot = field(default_factory=lambda: Snapshot(INSTALL, phase=PREPARE))
    ordered: str = PREPARE
    link: str = "old"
    entered: str = "old"
    doing: Step | None = None
    sought: bool = True
    cancelled: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    undo_failed: bool = False

    def __post_init__(self) -> None:
        self.machine = Install(self.journal)

    def feed(self, event: Event, crash_after: int | None = None) -> None:
        if isinstance(event, TurnCame):
            if not self.sought:
                return
            self.sought = False
        for number, command in enumerate(self.machine.handle(event, now=1)):
            if number == crash_after:
                self.crash()
                return
            self.act(command)

    def act(self, command: Command) -> None:
        match command:
            case Record(snapshot):
                self.journal = snapshot
            case Perform(step):
                assert self.journal.step is step, "journaled before it is performed"
                assert self.doing is None, "one step at a time"
                assert not self.outcomes
                if step in {Step.BEFORE, Step.SWITCH}:
                    assert self.ordered in {COMMIT, ACCEPT}, "nothing begins before it is committed, or after an undo"
                    assert not self.cancelled
                self.doing = step
            case Abort():
                self.doing = None
            case Seek():
                self.sought = True
            case Tell(_, code):
                self.told.append(code)
            case Finish(outcome):
                assert outcome in self.outcomes or not self.outcomes, "exactly one outcome, told again after a crash"
                self.outcomes = [outcome]
            case _:
                self.sought = False

    def order(self, step: str, crash_after: int | None = None) -> None:
        """The order is in the journal before the machine hears of it."""
        self.ordered = further(self.ordered, step)
        self.feed(StepOrdered(step), crash_after)

    def end(self, *, ok: bool) -> None:
        step, self.doing = self.doing, None
        if step is None:
            return
        if not ok:
            self.undo_failed |= step in {Step.UNDO, Step.REVERT}
            self.feed(StepFailed(step, "x.failed"))
            return
        match step:
            case Step.SWITCH:
                self.link = "new"
            case Step.UNDO:
                self.link = self.entered = "old"
            case Step.ENTER | Step.SETTLE:
                assert self.link == "new"
                self.entered = "new"
            case Step.DISCARD:
                assert self.link == "old" or self.undo_failed, "a tree in use is never discarded"
        self.feed(StepDone(step, self.plan if step is Step.PLAN else None))

    def crash(self) -> None:
        self.doing, self.sought = None, False
        self.machine = Install(self.journal)
        for event in (Recovered(), StepOrdered(self.ordered)):
            for command in self.machine.handle(event, now=1):
                self.act(command)

    def alone(self) -> None:
        """With working disks, and somebody who accepts or undoes in the end, it ends."""
        self.crash()
        for _ in range(60):
            if self.outcomes:
                return
            if self.doing is not None:
                self.end(ok=True)
            elif self.sought:
                self.feed(TurnCame())
            elif self.machine.snapshot.step is Step.HOLD:
                self.order(COMMIT)
            elif self.machine.snapshot.step is Step.STAND:
                self.order(ACCEPT)
            else:
                self.feed(TimeCame())
        raise AssertionError("the job does not end")


plans = st.builds(
    Plan,
    before=st.sampled_from([None, True]),
    after=st.sampled_from([None, True]),
    actions=st.booleans(),
    confirm=st.booleans(),
    reboot=st.sampled_from(["", "now"]),
)
moves = st.one_of(
    st.tuples(st.sampled_from(["ok", "ok", "ok", "turn"]), st.none()),
    st.tuples(st.sampled_from(["fail", "crash", "cancel", "expire", "time"]), st.none() | st.integers(0, 2)),
    st.tuples(st.sampled_from([COMMIT, COMMIT, ACCEPT, UNDO]), st.none() | st.integers(0, 2)),
)


@settings(max_examples=400, deadline=None)
@given(plans, st.lists(moves, max_size=30))
def test_every_story_ends_old_or_new_and_never_commits_after_an_undo(
    plan: Plan, story: list[tuple[str, int | None]]
) -> None:
    it = Machine(plan)
    it.feed(TurnCame())
    for move, number in story:
        match move:
            case "ok" | "fail":
                it.end(ok=move == "ok")
            case "crash":
                it.crash()
            case "cancel":
                it.cancelled |= it.machine.snapshot.step not in {*STANDING, Step.SETTLE}
                it.feed(CancelAsked())
            case "expire":
                if it.machine.heeds_expiry:
                    it.feed(OrderExpired(), number)
            case "time":
                it.feed(TimeCame())
            case "turn":
                it.feed(TurnCame())
            case _:
                it.order(move, number)
    it.alone()
    (outcome,) = it.outcomes
    if not it.undo_failed:
        assert it.link == ("new" if outcome.state == "done" else "old"), "exactly one final state"
        assert it.entered == it.link, "what is written down is what stands"
    for event in (TurnCame(), StepOrdered(COMMIT), StepOrdered(UNDO), CancelAsked(), OrderExpired(), TimeCame()):
        assert it.machine.handle(event, now=2) == [], "what has ended stays so"


def through(it: Machine) -> None:
    """As far as it goes by itself."""
    while it.doing is not None or it.sought:
        if it.doing is not None:
            it.end(ok=True)
        else:
            it.feed(TurnCame())


def test_prepared_committed_accepted() -> None:
    it = Machine(Plan(before=False, after=False))
    it.feed(TurnCame())
    through(it)
    assert (it.machine.snapshot.step, it.link, it.told[-1]) == (Step.HOLD, "old", "commit.waits")
    it.order(COMMIT)
    through(it)
    assert (it.machine.snapshot.step, it.link, it.told[-1]) == (Step.STAND, "new", "accept.waits")
    it.order(ACCEPT)
    through(it)
    assert it.outcomes == [Outcome("done")]


def test_undone_at_every_step() -> None:
    for steps in range(1, 15):
        it = Machine(Plan(before=True, after=True, actions=True, confirm=True, reboot="now"))
        it.ordered = COMMIT
        it.journal = Snapshot(INSTALL, phase=COMMIT)
        it.machine = Install(it.journal)
        it.feed(TurnCame())
        for _ in range(steps):
            it.end(ok=True)
        it.order(UNDO)
        through(it)
        assert [(one.state, it.link) for one in it.outcomes] == [("cancelled", "old")], steps


def test_another_jobs_work_is_not_taken_back() -> None:
    it = Machine(Plan())
    it.feed(TurnCame())
    it.order(COMMIT)
    through(it)
    it.order(UNDO)
    it.feed(TurnCame())
    assert it.doing is Step.UNDO
    it.doing = None
    it.feed(StepDone(Step.UNDO, superseded=True))
    assert it.machine.snapshot.outcome == SUPERSEDED


def test_an_order_of_a_step_says_something_new_or_nothing() -> None:
    at = Snapshot(INSTALL, Step.HOLD, phase=COMMIT)
    assert with_step(at, PREPARE) is at
    assert with_step(Snapshot(INSTALL, Step.HOLD), COMMIT).phase == "", "a job in one phase has no steps"
    for step in STEPS:
        assert with_step(Snapshot(INSTALL, Step.HOLD, phase=UNDO), step).phase == UNDO
    assert entered(Snapshot(INSTALL)) is Step.SETTLE
    assert entered(at) is Step.ENTER


def test_what_is_not_confirmed_goes_back_alone_and_gives_its_turn_back_meanwhile() -> None:
    for phase in ("", COMMIT):
        it = Machine(Plan(confirm=True), Snapshot(INSTALL, phase=phase))
        it.ordered = COMMIT
        it.feed(TurnCame())
        while it.doing is not Step.CONFIRM:
            it.end(ok=True)
        assert (it.link, it.told[-1], it.sought) == ("new", "confirm.waits", False)
        it.crash()
        assert it.doing is Step.CONFIRM, "also days later, in another life"
        it.end(ok=False)
        assert it.machine.snapshot.step is Step.STAND
        through(it)
        assert [(one.state, one.code) for one in it.outcomes] == [("failed", "x.failed")]
        assert it.link == "old"


def test_what_is_cancelled_before_it_is_confirmed_goes_back() -> None:
    it = Machine(Plan(confirm=True), Snapshot(INSTALL))
    it.ordered = COMMIT
    it.feed(TurnCame())
    while it.doing is not Step.CONFIRM:
        it.end(ok=True)
    it.feed(CancelAsked())
    through(it)
    assert [(one.state, it.link) for one in it.outcomes] == [("cancelled", "old")]


def test_a_restart_comes_before_the_confirmation_and_an_agent_that_falls_waits_on() -> None:
    it = Machine(Plan(confirm=True, reboot="later"), Snapshot(INSTALL))
    it.ordered = COMMIT
    it.feed(TurnCame())
    while it.doing is not Step.REBOOT:
        it.end(ok=True)
    assert (it.link, it.told[-1], it.sought) == ("new", "reboot.waits", False)
    it.crash()
    done: list[Step | None] = []
    for _ in range(2):
        done.append(it.doing)
        it.end(ok=True)
    assert done == [Step.REBOOT, Step.CONFIRM]
    through(it)
    assert it.outcomes == [Outcome("done")]
