"""Choosing a parent: the rules one by one, and any story at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.node import parentage as p
from tiercast_protocol.node.hop import Parent
from tiercast_protocol.node.standing import Choice, Policy, Standing

HOME, A, B, TOP = (Parent(name, f"mqtt://{name}:1883") for name in ("home", "a", "b", "top"))
CHOICES = (Choice(A), Choice(B), Choice(TOP, 1))


def node(**policy: object) -> p.Parentage:
    standing = Standing(Choice(HOME), CHOICES, HOME)
    return p.Parentage(standing, Policy(**{"patience": 20.0, **policy}), random.Random(1))  # type: ignore[arg-type]


def asked(commands: list[p.Command]) -> dict[str, p.Ask]:
    return {c.parent.name: c for c in commands if isinstance(c, p.Ask)}


def wake(commands: list[p.Command]) -> float:
    return next(c.at for c in commands if isinstance(c, p.WakeAt))


def answer(ask: p.Ask, *, granted: bool = True, rate: float = 0.0, wait: float = 0.0) -> p.Answered:
    return p.Answered(ask.parent.name, ask.number, granted, rate=rate, wait=wait, reason="" if granted else "full")


def seeking(machine: p.Parentage, now: float = 0.0) -> tuple[float, dict[str, p.Ask]]:
    """Home was lost at `now`: when the questions went out, and which."""
    at = wake(machine.handle(p.ParentLost(), now=now))
    return at, asked(machine.handle(p.TimerFired(), now=at))


def go_to(machine: p.Parentage, name: str, now: float = 0.0) -> float:
    at, asks = seeking(machine, now)
    commands: list[p.Command] = []
    for other, ask in asks.items():
        commands = machine.handle(answer(ask, granted=other == name), now=at)
    entering = asked(commands)[name]
    assert entering.enter
    commands = machine.handle(answer(entering), now=at)
    assert [c.standing.present.name for c in commands if isinstance(c, p.Move)] == [name]
    machine.handle(p.ParentConnected(), now=at)
    return at


def test_a_parent_that_is_away_is_waited_for_with_a_stretch_that_differs() -> None:
    ats = set()
    for seed in range(20):
        machine = p.Parentage(Standing(Choice(HOME), CHOICES, HOME), Policy(), random.Random(seed))
        at = wake(machine.handle(p.ParentLost(), now=100.0))
        assert 120.0 <= at <= 130.0
        assert asked(machine.handle(p.TimerFired(), now=at - 0.1)) == {}
        ats.add(at)
    assert len(ats) == 20


def test_the_fastest_of_the_cheapest_is_chosen_and_taken_before_the_move() -> None:
    machine = node()
    at, asks = seeking(machine)
    assert set(asks) == {"a", "b", "top"}
    assert not any(ask.enter for ask in asks.values())
    machine.handle(answer(asks["a"], rate=1e6), now=at)
    machine.handle(answer(asks["top"], rate=9e9), now=at)
    commands = machine.handle(answer(asks["b"], rate=5e6), now=at)
    assert set(asked(commands)) == {"b"}
    commands = machine.handle(answer(asked(commands)["b"]), now=at)
    moves = [c for c in commands if isinstance(c, p.Move)]
    assert moves[0].standing.present == B
    assert "home was away" in moves[0].standing.reason


def test_whoever_was_full_after_all_is_followed_by_the_next_best_and_not_asked_again_in_time() -> None:
    machine = node()
    at, asks = seeking(machine)
    commands: list[p.Command] = []
    for ask in asks.values():
        commands = machine.handle(answer(ask), now=at)
    first = asked(commands)["a"]
    commands = machine.handle(answer(first, granted=False, wait=500.0), now=at)
    second = asked(commands)["b"]
    commands = machine.handle(answer(second, granted=False, wait=400.0), now=at)
    third = asked(commands)["top"]
    commands = machine.handle(answer(third, granted=False, wait=300.0), now=at)
    assert asked(commands) == {}
    assert wake(commands) >= at + 300.0
    assert "top: full" in machine.waiting


def test_a_parent_that_comes_back_meanwhile_is_kept() -> None:
    machine = node()
    at, asks = seeking(machine)
    machine.handle(p.ParentConnected(), now=at)
    for ask in asks.values():
        assert machine.handle(answer(ask), now=at) == []
    assert machine.standing.present == HOME


def test_silence_is_an_answer() -> None:
    machine = node()
    at, _ = seeking(machine)
    commands = machine.handle(p.TimerFired(), now=at + p.ASK_SECONDS)
    assert wake(commands) > at + p.ASK_SECONDS
    assert "no answer" in machine.waiting


def test_it_goes_home_when_it_is_called_and_not_before() -> None:
    machine = node()
    at = go_to(machine, "a")
    assert machine.handle(p.TimerFired(), now=at + 1e6) == []
    commands = machine.handle(p.ParentsSet(Choice(HOME), CHOICES, called=7), now=at)
    commands = machine.handle(p.TimerFired(), now=wake(commands))
    ask = asked(commands)["home"]
    assert ask.enter
    commands = machine.handle(answer(ask, granted=False), now=at)
    again = wake(commands)
    assert again > at
    ask = asked(machine.handle(p.TimerFired(), now=again))["home"]
    commands = machine.handle(answer(ask), now=again)
    assert machine.at_home
    assert machine.standing.obeyed == 7
    assert any(isinstance(c, p.Move) for c in commands)


def test_it_goes_home_by_itself_where_the_settings_say_so() -> None:
    machine = node(auto=True)
    at, asks = seeking(machine)
    commands: list[p.Command] = []
    for other, ask in asks.items():
        commands = machine.handle(answer(ask, granted=other == "a"), now=at)
    machine.handle(answer(asked(commands)["a"]), now=at)
    look = wake(machine.handle(p.ParentConnected(), now=at))
    assert set(asked(machine.handle(p.TimerFired(), now=look))) == {"home"}


def test_a_new_home_is_gone_to() -> None:
    machine = node()
    machine.handle(p.ParentConnected(), now=0.0)
    commands = machine.handle(p.ParentsSet(Choice(B), (Choice(A),), called=3), now=1.0)
    ask = asked(machine.handle(p.TimerFired(), now=wake(commands)))["b"]
    machine.handle(answer(ask), now=2.0)
    assert machine.standing.present == B
    assert machine.at_home


def test_a_parent_that_was_replaced_is_found_at_its_new_address() -> None:
    machine = node()
    machine.handle(p.ParentConnected(), now=0.0)
    new = Parent("home", "mqtt://elsewhere:1883")
    assert not any(isinstance(c, p.Move) for c in machine.handle(p.ParentsSet(Choice(new), CHOICES), now=1.0))
    commands = machine.handle(p.ParentLost(), now=2.0)
    assert [c.standing.present for c in commands if isinstance(c, p.Move)] == [new]


def test_a_parent_that_has_no_place_after_all_is_left_and_may_be_asked_again() -> None:
    machine = node()
    at = go_to(machine, "a")
    asks = asked(machine.handle(p.ParentRefused("full", 90.0), now=at))
    assert set(asks) == {"home"}  # the others said no just now
    again, seen, commands = at, dict(asks), list[p.Command]()
    while "a" not in seen:
        for ask in seen.values():
            commands = machine.handle(answer(ask, granted=False, wait=500.0), now=again)
        again = wake(commands)
        seen = asked(machine.handle(p.TimerFired(), now=again))
    assert again >= at + 90.0
    commands = machine.handle(answer(seen["a"]), now=again)
    commands = machine.handle(answer(asked(commands)["a"]), now=again)
    assert [c.standing.present for c in commands if isinstance(c, p.Move)] == [A]


@pytest.mark.parametrize("granted", [True, False])
def test_the_owner_may_choose_among_those_that_the_region_named(granted: bool) -> None:
    machine = node()
    machine.handle(p.ParentConnected(), now=0.0)
    assert machine.handle(p.OwnerChose("nobody"), now=1.0) == []
    ask = asked(machine.handle(p.OwnerChose("b"), now=1.0))["b"]
    machine.handle(answer(ask, granted=granted), now=1.0)
    assert machine.standing.present == (B if granted else HOME)


NAMES = ("home", "a", "b", "top", "stranger")
STORIES = st.lists(
    st.one_of(
        st.just("up"),
        st.just("down"),
        st.tuples(st.just("refused"), st.floats(0, 100)),
        st.tuples(st.just("answer"), st.sampled_from(NAMES), st.booleans(), st.integers(0, 3)),
        st.tuples(st.just("owner"), st.sampled_from(NAMES)),
        st.tuples(st.just("told"), st.integers(0, 9), st.sampled_from(NAMES[:4])),
        st.tuples(st.just("time"), st.floats(0.1, 400)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STORIES, st.booleans(), st.integers(0, 5))
def test_any_story_leaves_it_with_a_parent_or_a_reason_and_something_under_way(
    story: list[object], auto: bool, seed: int
) -> None:
    machine = p.Parentage(Standing(Choice(HOME), CHOICES, HOME), Policy(5.0, auto), random.Random(seed))
    parents = {one.name: one for one in (HOME, A, B, TOP)}
    now, up, timer, number = 0.0, False, None, 0
    out: set[str] = set()

    def feed(event: p.Event) -> None:
        nonlocal up, timer, number, out
        before = machine.standing.present
        commands = machine.handle(event, now=now)
        asks = [c for c in commands if isinstance(c, p.Ask)]
        if asks:
            number, out = asks[0].number, {c.parent.name for c in asks}
            assert len({c.number for c in asks}) == 1
            assert len(asks) == 1 or not any(c.enter for c in asks)
        for command in commands:
            if isinstance(command, p.WakeAt):
                assert command.at >= now
                timer = command.at
            if isinstance(command, p.Move):
                assert isinstance(event, p.Answered) or before.name == command.standing.present.name
                assert command.standing.present.name in parents
                up = False

    feed(p.ParentLost())
    for step in story:
        match step:
            case "up" if not up:
                up = True
                feed(p.ParentConnected())
            case "down" if up:
                up = False
                feed(p.ParentLost())
            case ("refused", float(wait)) if up:
                up = False
                feed(p.ParentRefused("full", wait))
            case ("answer", str(name), bool(granted), int(back)):
                feed(p.Answered(name, number - back, granted, rate=float(back)))
            case ("owner", str(name)):
                feed(p.OwnerChose(name))
            case ("told", int(called), str(name)):
                others = tuple(Choice(one) for one in parents.values() if one.name != name)
                feed(p.ParentsSet(Choice(parents[name]), others, called))
            case ("time", float(passed)):
                now += passed
                if timer is not None and timer <= now:
                    feed(p.TimerFired())
        if not up:
            assert machine.waiting
            assert timer is not None
    # from here on everybody says yes: it finds a parent
    for _ in range(200):
        if up:
            break
        assert timer is not None
        now = max(now, timer)
        feed(p.TimerFired())
        for name in list(out):
            feed(p.Answered(name, number, True))
        if machine.waiting.startswith("on the way"):
            up = True
            feed(p.ParentConnected())
    assert up
    assert machine.waiting == ""


def at(parent: Parent, url: str = "mqtt://elsewhere:1") -> Parent:
    return Parent(parent.name, url)


def test_a_proved_address_of_the_parent_that_is_away_is_gone_to_at_once() -> None:
    machine = node()
    machine.handle(p.ParentLost(), now=0.0)
    commands = machine.handle(p.AddressProved(at(HOME)), now=1.0)
    assert [c.standing.present for c in commands if isinstance(c, p.Move)] == [at(HOME)]
    assert machine.standing.home.parent == at(HOME)
    assert machine.at_home


def test_a_proved_address_of_another_is_asked_for_a_place_and_of_one_who_was_not_known_too() -> None:
    for parent in (at(A), Parent("new", "mqtt://new:1")):
        machine = node()
        machine.handle(p.ParentLost(), now=0.0)
        asks = asked(machine.handle(p.AddressProved(parent), now=1.0))
        assert [(ask.parent, ask.enter) for ask in asks.values()] == [(parent, True)]
        moves = [c for c in machine.handle(answer(asks[parent.name]), now=2.0) if isinstance(c, p.Move)]
        assert moves[0].standing.present == parent


def test_a_parent_that_is_there_is_not_left_for_a_proved_address() -> None:
    machine = node()
    machine.handle(p.ParentConnected(), now=0.0)
    commands = machine.handle(p.AddressProved(at(A)), now=1.0)
    assert [type(c) for c in commands] == [p.Remember]
    commands = machine.handle(p.AddressProved(at(HOME)), now=2.0)
    assert [type(c) for c in commands] == [p.Remember]
    assert machine.standing.present == HOME
    commands = machine.handle(p.ParentLost(), now=3.0)  # lost: it is at the address that was said
    assert [c.standing.present for c in commands if isinstance(c, p.Move)] == [at(HOME)]
