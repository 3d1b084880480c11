"""The machine of a set: any story of counts and words orders steps that only go on, and none after an undo."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.package.phases import ACCEPT, COMMIT, PREPARE, UNDO, further
from tiercast_protocol.errors import UsageError
from tiercast_server.rollouts.set_life import OrderStep, Said, SetLife, Tallied, Tally, tally

parts = st.tuples(*[st.integers(0, 4)] * 5)


def tally_of(waiting: int, prepared: int, committed: int, done: int, failed: int) -> Tally:
    open_ = waiting + prepared + committed
    return Tally(open_ + done + failed, open_, prepared, committed, done, failed)


events = st.one_of(
    st.builds(Tallied, parts.map(lambda p: tally_of(*p))),
    st.builds(
        Said,
        st.sampled_from([COMMIT, ACCEPT, UNDO]),
        parts.map(lambda p: tally_of(*p)),
        st.sampled_from([(), ("pc-1",)]),
        st.booleans(),
    ),
)


@given(st.integers(0, 100), st.integers(0, 100), st.lists(events))
def test_any_story_only_goes_on(at_least: int, undo_if: int, story: list[Tallied | Said]) -> None:
    life, step = SetLife("j", PREPARE, at_least, undo_if), PREPARE
    refused: set[str] = set()
    for event in story:
        try:
            commands = life.handle(event)
        except UsageError as error:
            refused.add(error.code)
            continue
        for command in commands:
            assert step != UNDO or command.step == UNDO, "nobody goes on after an undo of all"
            if isinstance(event, Tallied):
                assert command.nodes == ()
                assert further(step, command.step) == command.step != step, "by itself each step is ordered once"
                if command.step == COMMIT:
                    ready = event.all.prepared + event.all.committed + event.all.done
                    assert ready * 100 >= at_least * event.all.total > 0
                else:
                    assert event.all.failed * 100 >= undo_if * event.all.total > 0
            if not command.nodes:
                step = further(step, command.step)
        assert life.step == step
    assert refused <= {"set.undone", "set.few", "set.uncommitted"}


def test_it_commits_by_itself_at_the_share_and_not_before() -> None:
    life = SetLife("j", at_least=90)
    assert life.handle(Tallied(tally_of(2, 8, 0, 0, 0))) == []
    assert life.handle(Tallied(tally_of(1, 9, 0, 0, 0))) == [OrderStep(COMMIT)]
    assert life.handle(Tallied(tally_of(1, 0, 9, 0, 0))) == []


def test_without_a_share_nothing_happens_by_itself_and_all_must_be_prepared_by_hand() -> None:
    life, most = SetLife("j"), tally_of(1, 9, 0, 0, 0)
    assert life.handle(Tallied(tally_of(0, 10, 0, 0, 0))) == []
    with pytest.raises(UsageError, match="9 of 10"):
        life.handle(Said(COMMIT, most))
    assert life.step == PREPARE
    assert life.handle(Said(COMMIT, Tally(1, 1, 1), ("pc-1",))) == [OrderStep(COMMIT, ("pc-1",))]
    assert life.step == PREPARE, "a part is not the set"
    assert life.handle(Said(COMMIT, most, force=True)) == [OrderStep(COMMIT)]


def test_a_part_that_fails_undoes_all_of_it() -> None:
    life = SetLife("j", COMMIT, undo_if=10)
    assert life.handle(Tallied(tally_of(0, 0, 10, 0, 1))) == []
    assert life.handle(Tallied(tally_of(0, 0, 9, 0, 1))) == [OrderStep(UNDO)]
    with pytest.raises(UsageError, match="undone"):
        life.handle(Said(COMMIT, tally_of(0, 0, 9, 0, 1), force=True))


def test_only_what_is_committed_is_accepted() -> None:
    life = SetLife("j", COMMIT)
    with pytest.raises(UsageError, match="1 of 3"):
        life.handle(Said(ACCEPT, tally_of(0, 1, 2, 5, 0)))
    assert life.handle(Said(ACCEPT, tally_of(0, 0, 2, 5, 1))) == [OrderStep(ACCEPT)]


def test_targets_are_counted_by_what_they_say() -> None:
    states = {("staged", "commit.waits"): 3, ("installing", "accept.waits"): 2, ("done", ""): 1, ("failed", "x"): 4}
    assert tally(states | {("rejected", "y"): 1, ("cancelled", "undone"): 1, ("waiting", ""): 1}) == Tally(
        13, 6, 3, 2, 1, 5
    )
