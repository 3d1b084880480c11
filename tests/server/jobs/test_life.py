"""The life of a job: any story of events keeps its invariants."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_server.jobs.life import (
    GRACE_MS,
    CancelAsked,
    Close,
    CloseTargets,
    Counted,
    JobLife,
    Order,
    Reopen,
    TargetJoined,
    TargetsAdded,
    TargetsTaken,
    TimePassed,
    WakeAt,
    closing_state,
)

counts = st.dictionaries(st.sampled_from(sorted(STATES)), st.integers(0, 3), min_size=1)
events = st.one_of(
    st.builds(Counted, counts),
    st.builds(CancelAsked, st.sampled_from([(), ("a",)]), st.booleans()),
    st.just(TargetJoined("n")),
    st.just(TargetsAdded(("m",))),
    st.just(TargetsTaken(("s",))),
    st.just(TimePassed()),
)


@given(st.lists(st.tuples(events, st.integers(0, 3_000))), st.integers(0, 60_000))
def test_any_story_keeps_the_invariants(story: list[tuple[Any, int]], expires: int) -> None:
    life, now, closed, cancels = JobLife(expires=expires), 0, False, 0
    for event, passed in story:
        now += passed
        commands = life.handle(event, now=now)
        if Reopen() in commands:
            assert closed
            if isinstance(event, TargetsTaken):
                assert [one for one in commands[1:] if one != Order("cancel", ("s",))] == []
            else:
                assert isinstance(event, TargetsAdded)
                assert commands == [Reopen(), Order("same", ("m",))]
            closed = False
        for command in commands:
            if isinstance(command, Order):
                assert not closed, "a closed job orders nothing"
                cancels += command.type == "cancel" and not isinstance(event, TargetsTaken)
                assert command.type == "cancel" or (not life.cancelling and now < expires)
            if isinstance(command, CloseTargets):
                assert not closed
                assert command.never_ordered or now >= expires + GRACE_MS
            if isinstance(command, Close):
                assert isinstance(event, Counted)
                assert command.state == closing_state(event.counts) != "open"
            if isinstance(command, WakeAt):
                assert command.at > now
        assert not (closed and life.state == "open"), "once closed, never open but for newcomers"
        closed = life.state != "open"
    asked = [event for event, _ in story if isinstance(event, CancelAsked)]
    assert cancels <= sum(bool(event.nodes) or event.force for event in asked) + 1


def test_the_worst_end_wins() -> None:
    assert closing_state({"done": 3, "failed": 0}) == "done"
    assert closing_state({"done": 3, "fetching": 1, "failed": 2}) == "open"
    assert closing_state({"done": 3, "interrupted": 1, "expired": 1}) == "failed"
    assert closing_state({"done": 3, "cancelled": 1, "expired": 1}) == "expired"
    assert closing_state({"done": 3, "cancelled": 1}) == "cancelled"


def test_a_late_receipt_corrects_the_end() -> None:
    life = JobLife(expires=0)
    assert life.handle(Counted({"expired": 1, "done": 1}), now=1) == [Close("expired")]
    assert life.handle(Counted({"done": 2}), now=2) == [Close("done")]
    assert life.handle(Counted({"done": 2}), now=3) == []


def test_cancelling_twice_is_one_order() -> None:
    life = JobLife(expires=10)
    first = life.handle(CancelAsked(), now=0)
    assert Order("cancel") in first
    assert life.handle(CancelAsked(), now=0) == []
    assert life.handle(TargetJoined("n"), now=0) == []


def test_a_cancel_of_some_does_not_cancel_the_job() -> None:
    life = JobLife(expires=10)
    closing, order = life.handle(CancelAsked(("a", "b")), now=0)
    assert isinstance(closing, CloseTargets)
    assert closing.nodes == ("a", "b")
    assert order == Order("cancel", ("a", "b"))
    assert not life.cancelling
    assert life.handle(TargetJoined("n"), now=1) == [Order("same", ("n",))]


def test_force_may_follow_what_was_asked_for() -> None:
    life = JobLife(expires=10)
    assert life.handle(CancelAsked(), now=0)[-1] == Order("cancel")
    assert life.handle(CancelAsked(), now=0) == []
    assert life.handle(CancelAsked(force=True), now=0)[-1] == Order("cancel", (), force=True)
    assert life.handle(CancelAsked(("a",)), now=0)[-1] == Order("cancel", ("a",))


def test_newcomers_open_what_was_done_but_not_what_was_cancelled_or_expired() -> None:
    life = JobLife(expires=10)
    assert life.handle(TargetsAdded(("a",)), now=0) == [Order("same", ("a",))]
    life.handle(Counted({"done": 2}), now=1)
    assert life.handle(TargetsAdded(("b",)), now=2) == [Reopen(), Order("same", ("b",))]
    assert life.state == "open"
    assert life.handle(TargetsAdded(("c",)), now=10) == []
    assert JobLife(expires=10, state="expired").handle(TargetsAdded(("c",)), now=5) == []
    life.handle(CancelAsked(), now=3)
    assert life.handle(TargetsAdded(("c",)), now=4) == []
