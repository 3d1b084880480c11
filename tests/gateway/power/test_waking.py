"""Machines are woken in turn, not forever, and only those that we woke are told of."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_gateway.power.waking import (
    ASLEEP,
    AWAKE,
    FAILED,
    MOST_WAKES,
    WAKING,
    Command,
    Connected,
    Event,
    Forget,
    Left,
    Limits,
    NotSent,
    Restored,
    Say,
    Send,
    TimeCame,
    Unwanted,
    Waking,
    Wanted,
    Woke,
)

LIMITS = Limits(at_once=2, pause_s=1.0, tries=2, patience_s=10.0, again_s=100.0)


def test_they_take_turns_and_who_connects_makes_room() -> None:
    machine = Waking(LIMITS)
    said = [machine.handle(Wanted(node, "j1"), now=0.0) for node in ("a", "b", "c")]
    assert said == [[Send("a", ("j1",))], [], []]
    assert machine.due() == 1.0
    assert machine.handle(TimeCame(), now=1.0) == [Send("b", ("j1",))]
    assert machine.handle(TimeCame(), now=5.0) == [], "two are waking"
    assert machine.handle(Connected("a"), now=6.0) == [Woke("a", ("j1",)), Forget("a"), Send("c", ("j1",))]
    assert [one.state for one in machine.sleepers.values()] == [AWAKE, WAKING, WAKING]


def test_who_does_not_wake_has_failed_and_is_tried_again_later() -> None:
    machine = Waking(LIMITS)
    machine.handle(Wanted("a", "j1"), now=0.0)
    assert machine.handle(TimeCame(), now=10.0) == [Send("a", ("j1",))]
    assert machine.handle(TimeCame(), now=20.0) == [Say("a", 2, 0.0, "")]
    assert machine.sleepers["a"].state == FAILED
    assert machine.handle(Wanted("a", "j1"), now=30.0) == [], "it was for this job that it failed"
    assert machine.due() == 120.0
    assert machine.handle(TimeCame(), now=120.0) == [Send("a", ("j1",))]
    assert machine.handle(NotSent("a", "no address"), now=120.0) == [Say("a", 0, 120.0, "no address")]
    assert machine.handle(Wanted("a", "j2"), now=130.0) == [Send("a", ("j1", "j2"))], "another job tries at once"
    assert machine.handle(Unwanted("a", "j1"), now=131.0) == []
    assert machine.handle(Unwanted("a", "j2"), now=131.0) == [Forget("a")]
    assert machine.due() is None


def test_who_came_by_himself_was_not_woken() -> None:
    machine = Waking(Limits(at_once=1))
    machine.handle(Wanted("a", "j1"), now=0.0)
    machine.handle(Wanted("b", "j1"), now=0.0)
    assert machine.handle(Connected("b"), now=1.0) == [Forget("b")]
    assert machine.handle(Connected("c"), now=1.0) == []


def test_what_goes_down_again_and_again_is_left_alone() -> None:
    machine = Waking(LIMITS)
    for number in range(MOST_WAKES):
        assert machine.handle(Wanted("a", "j1"), now=number * 100.0) == [Send("a", ("j1",))]
        assert machine.handle(Connected("a"), now=number * 100.0 + 5)[0] == Woke("a", ("j1",))
        machine.handle(Left("a"), now=number * 100.0 + 50)
    assert machine.handle(Wanted("a", "j1"), now=1000.0) == []
    assert machine.handle(Wanted("a", "j2"), now=1000.0) == [Send("a", ("j2",))]


def test_an_earlier_life_is_remembered() -> None:
    machine = Waking(LIMITS)
    assert machine.handle(Restored("a", ("j1",), 3.0), now=4.0) == [Send("a", ("j1",))]
    assert machine.handle(Connected("a"), now=5.0) == [Woke("a", ("j1",)), Forget("a")]


nodes, keys = st.sampled_from("abcd"), st.sampled_from(["j1", "j2", ""])
events = st.one_of(
    st.builds(Wanted, nodes, keys),
    st.builds(Unwanted, nodes, keys),
    st.builds(Connected, nodes),
    st.builds(Left, nodes),
    st.builds(NotSent, nodes, st.just("why")),
    st.just(TimeCame()),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(events, st.floats(0.0, 30.0)), max_size=60))
def test_any_story_keeps_the_limits(story: list[tuple[Event, float]]) -> None:
    machine, now, last = Waking(LIMITS), 0.0, -1.0
    wanted: dict[str, set[str]] = {}
    woken: dict[tuple[str, str], int] = {}
    sent_to: set[str] = set()

    def check(commands: list[Command]) -> None:
        nonlocal last
        for command in commands:
            match command:
                case Send(node, keys):
                    assert now - last >= LIMITS.pause_s
                    last = now
                    assert keys
                    assert set(keys) <= wanted.get(node, set()), "nobody is woken whom nobody wants"
                    sent_to.add(node)
                case Woke(node, keys):
                    assert node in sent_to, "only whom we sent a packet did we wake"
                    for key in keys:
                        woken[node, key] = woken.get((node, key), 0) + 1
                        assert woken[node, key] <= MOST_WAKES
                case Say(node, tries, since, _):
                    assert 0 <= tries <= LIMITS.tries
                    assert since <= now

    for event, later in story:
        now += later
        match event:
            case Wanted(node, key):
                wanted.setdefault(node, set()).add(key)
            case Unwanted(node, key):
                wanted.get(node, set()).discard(key)
                woken.pop((node, key), None)
        check(machine.handle(event, now=now))
        waking = [one for one in machine.sleepers.values() if one.state == WAKING]
        assert len(waking) <= LIMITS.at_once
        assert all(one.tries <= LIMITS.tries for one in machine.sleepers.values())
        assert all(
            one.state != ASLEEP or not one.keys or machine.due() is not None for one in machine.sleepers.values()
        )
