"""What a parent holds back does not begin here, also after a restart, and goes on at its word."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tiercast_endpoint.jobs import held
from tiercast_endpoint.jobs.events import Record, Tell
from tiercast_endpoint.jobs.held import Held
from tiercast_endpoint.jobs.install import (
    RESTING,
    CancelAsked,
    Event,
    Finish,
    HeldBack,
    Install,
    Perform,
    Recovered,
    Rest,
    Seek,
    Snapshot,
    Step,
    StepDone,
    TimeCame,
    TurnCame,
)
from tiercast_endpoint.jobs.story import Plan
from tiercast_protocol.content.jobs.breaker import ROLLOUT
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.site import HeldRollout, StartsHeld

ONE = HeldRollout(rollout="r1-ab12", site="berlin", since=5, have="1 of 2", limit="1")
OPTIONS = {ROLLOUT: "r1-ab12"}


async def test_the_newest_list_of_the_present_parent_counts_and_is_kept(tmp_path: Path) -> None:
    parent, acted = ["berlin"], list[int]()
    async with Database.open(tmp_path / "a.db", [(1, held.SCHEMA)]) as db:
        back = Held(db, lambda: parent[0], lambda: acted.append(1))
        assert back.reason(OPTIONS) is None
        await back.take("berlin", StartsHeld(seq=2, held=[ONE]))
        await back.take("berlin", StartsHeld(seq=1))
        reason = back.reason(OPTIONS)
        assert reason is not None
        assert (reason.code, reason.get("site"), len(acted)) == ("breaker.open", "berlin", 1)
        assert back.reason({}) is None
        parent[0] = "hamburg"
        assert back.reason(OPTIONS) is None
        await back.moved()
        assert len(acted) == 2
    async with Database.open(tmp_path / "a.db", [(1, held.SCHEMA)]) as db:
        back = Held(db, lambda: "berlin")
        await back.load()
        assert back.reason(OPTIONS) == reason
        await back.take("berlin", StartsHeld(seq=3))
        assert back.reason(OPTIONS) is None


async def reason_of(tmp_path: Path) -> HeldBack:
    async with Database.open(tmp_path / "b.db", [(1, held.SCHEMA)]) as db:
        back = Held(db, lambda: "berlin")
        await back.take("berlin", StartsHeld(seq=1, held=[ONE]))
        return HeldBack(back.reason(OPTIONS))


async def test_who_has_not_begun_waits_and_says_why(tmp_path: Path) -> None:
    word = await reason_of(tmp_path)
    machine = Install(Snapshot("install"), held=word.reason)
    tell, rest = machine.handle(TimeCame(), now=1)
    assert isinstance(tell, Tell)
    assert (tell.code, rest) == ("breaker.open", Rest())
    assert machine.handle(TurnCame(), now=2) == [Rest()]
    released = machine.handle(HeldBack(None), now=3)
    assert released[-1] == Seek()
    assert machine.handle(TurnCame(), now=4)[-1] == Perform(Step.PLAN)


async def test_what_is_prepared_waits_too_and_can_be_cancelled(tmp_path: Path) -> None:
    word = await reason_of(tmp_path)
    machine = Install(Snapshot("install", Step.PLAN))
    assert machine.handle(word, now=1) == [], "what is being fetched is let come"
    first, *rest = machine.handle(StepDone(Step.PLAN, Plan(ready=True)), now=2)
    assert isinstance(first, Record)
    assert first.snapshot.step is Step.HOLD
    assert rest[-1] == Rest()
    assert machine.handle(CancelAsked(), now=3) != []


HELD = because("breaker.open", site="berlin", rollout="r1-ab12", have="1 of 2", limit="1")
#: What begins an installation, or the way to it.
BEGINS = {Step.PLAN, Step.BEFORE, Step.SWITCH, Step.UNLINK}
MOVES = st.lists(st.sampled_from(["hold", "release", "turn", "time", "done", "crash"]), max_size=30)


@given(st.sampled_from(["install", "remove"]), st.booleans(), MOVES)
def test_nothing_begins_while_it_is_held_and_everything_afterwards(type_: str, ready: bool, story: list[str]) -> None:
    held: Reason | None = None
    machine = Install(Snapshot(type_))
    performing: list[Step] = []

    def feed(event: Event) -> None:
        resting = machine.snapshot.step in RESTING or machine.snapshot.step in {Step.PLAN, Step.ASSEMBLE}
        for command in machine.handle(event, now=1):
            if isinstance(command, Perform):
                begins = command.step in BEGINS and resting and not isinstance(event, Recovered)
                assert not (begins and held is not None), (command, event)
                performing[:] = [command.step]
            if isinstance(command, Finish):
                performing.clear()

    for move in [*story, "release", "turn", *["done"] * 12]:
        match move:
            case "hold" | "release":
                held = HELD if move == "hold" else None
                feed(HeldBack(held))
            case "turn" | "time":
                feed(TurnCame() if move == "turn" else TimeCame())
            case "crash":
                machine = Install(machine.snapshot, held=held)
                performing.clear()
                feed(Recovered())
            case "done" if performing:
                step = performing.pop()
                feed(StepDone(step, Plan(ready=ready) if step is Step.PLAN else None))
            case _:
                feed(TurnCame())
    assert machine.snapshot.step is Step.END
