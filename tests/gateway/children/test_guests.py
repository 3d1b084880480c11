"""Places for guests: never more than there are, never faster than is allowed; and what becomes of 500 at once."""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_gateway.children.guests import AWAY_SECONDS, COME_SECONDS, MOST_WAIT, Guests
from tiercast_protocol.node import parentage as p
from tiercast_protocol.node.hop import Parent
from tiercast_protocol.node.standing import Choice, Policy, Standing


def test_a_place_is_taken_lived_in_kept_for_a_while_and_free_again() -> None:
    guests = Guests(1, 600)
    assert guests.ask("a", enter=False, now=0.0).granted
    assert not guests.holds("a")
    assert guests.ask("a", enter=True, now=0.0).granted
    refused = guests.ask("b", enter=True, now=1.0)
    assert (refused.granted, refused.reason) == (False, "all 1 places for guests are taken")
    assert refused.wait >= 5
    guests.came("a")
    assert guests.expire(1e6) == []
    guests.went("a", 1e6)
    assert guests.expire(1e6 + AWAY_SECONDS - 1) == []
    assert guests.expire(1e6 + AWAY_SECONDS) == ["a"]
    assert guests.ask("b", enter=True, now=1e6 + AWAY_SECONDS).granted
    assert guests.expire(1e6 + AWAY_SECONDS + COME_SECONDS) == ["b"]


def test_the_rate_is_kept_and_those_turned_away_are_spread_over_time() -> None:
    guests = Guests(1000, 60)
    granted = [guests.ask(f"n{n}", enter=True, now=0.0) for n in range(100)]
    assert sum(one.granted for one in granted) == 15
    waits = [one.wait for one in granted if not one.granted]
    assert waits == sorted(waits)
    assert waits[-1] >= 80
    assert guests.ask("n0", enter=True, now=0.0).granted  # who holds a place keeps it


def test_nobody_is_let_in_where_the_settings_or_the_moment_say_so() -> None:
    assert not Guests(0, 60).ask("a", enter=True, now=0.0).granted
    answer = Guests(5, 60).ask("a", enter=True, now=0.0, refuse="this node is cut off itself")
    assert (answer.granted, answer.reason) == (False, "this node is cut off itself")
    assert Guests(5, 0).ask("a", enter=False, now=0.0).granted
    assert Guests(0, 0).ask("a", enter=False, now=0.0).wait == MOST_WAIT


def test_places_outlive_the_process() -> None:
    guests = Guests(2, 60)
    guests.restore(["a", "b"], 0.0)
    assert guests.all() == ["a", "b"]
    assert not guests.ask("c", enter=True, now=1.0).granted
    guests.left("a")
    assert guests.ask("c", enter=True, now=1.0).granted


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "enter", "came", "went", "left", "expire"]), st.integers(0, 9), st.floats(0, 90)),
    max_size=80,
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(0, 4), st.integers(1, 100))
def test_any_story_keeps_places_and_rate(story: list[tuple[str, int, float]], places: int, per_minute: int) -> None:
    guests, now, entered = Guests(places, per_minute), 0.0, 0
    for verb, number, passed in story:
        now += passed
        name = f"n{number}"
        if verb in {"ask", "enter"}:
            held = guests.holds(name)
            answer = guests.ask(name, enter=verb == "enter", now=now)
            assert answer.granted or (answer.reason and 5 <= answer.wait <= MOST_WAIT)
            entered += answer.granted and verb == "enter" and not held
        elif verb == "expire":
            guests.expire(now)
        elif verb == "went":
            guests.went(name, now)
        else:
            getattr(guests, verb)(name)
        assert len(guests) <= places
        assert entered <= max(1.0, per_minute / 4) + now * per_minute / 60 + 1


class _World:
    """500 children of a dead gateway, its siblings and the server; time is a heap of events."""

    def __init__(self, children: int, siblings: int, places: int, server_places: int, seed: int) -> None:
        rng = random.Random(seed)
        names = [f"gw{n}" for n in range(siblings)]
        self.hosts = {name: Guests(places, 120) for name in names} | {"server": Guests(server_places, 120)}
        self.most: Counter[str] = Counter()
        self.questions: Counter[str] = Counter()
        self.machines: dict[str, p.Parentage] = {}
        self.heap: list[tuple[float, int, str, p.Event]] = []
        self.count = 0
        for number in range(children):
            some = rng.sample(names, min(3, len(names)))
            choices = tuple(Choice(Parent(one, f"mqtt://{one}")) for one in some)
            standing = Standing(
                Choice(Parent("dead", "mqtt://dead")),
                (*choices, Choice(Parent("server", "mqtt://server"), 1)),
                Parent("dead", "mqtt://dead"),
            )
            name = f"pc{number}"
            self.machines[name] = p.Parentage(standing, Policy(20.0), random.Random(rng.random()))
            self.put(0.0, name, p.ParentLost())

    def put(self, at: float, name: str, event: p.Event) -> None:
        self.count += 1
        heapq.heappush(self.heap, (at, self.count, name, event))

    def run(self, until: float) -> None:
        while self.heap and self.heap[0][0] <= until:
            now, _, name, event = heapq.heappop(self.heap)
            for command in self.machines[name].handle(event, now=now):
                match command:
                    case p.WakeAt(at):
                        self.put(at, name, p.TimerFired())
                    case p.Ask(parent, number, enter) if parent.name in self.hosts:
                        self.questions[parent.name] += 1
                        said = self.hosts[parent.name].ask(name, enter=enter, now=now)
                        answer = p.Answered(parent.name, number, said.granted, 1e6, said.wait, said.reason)
                        self.put(now + 0.05, name, answer)
                    case p.Move(standing):
                        assert self.hosts[standing.present.name].holds(name)
                        self.hosts[standing.present.name].came(name)
                        self.put(now + 0.1, name, p.ParentConnected())
                    case _:
                        pass
            for host, guests in self.hosts.items():
                self.most[host] = max(self.most[host], len(guests))

    def homeless(self) -> list[p.Parentage]:
        return [one for one in self.machines.values() if one.waiting]


@pytest.mark.parametrize("seed", range(3))
def test_500_children_of_a_dead_gateway_all_find_a_place_and_never_run_over_the_server(seed: int) -> None:
    world = _World(children=500, siblings=10, places=64, server_places=64, seed=seed)
    world.run(1200.0)
    assert world.homeless() == []
    assert world.most["server"] <= 64
    assert all(most <= 64 for most in world.most.values())
    # they prefer each other's gateways: the server takes the few that found none
    assert world.most["server"] <= 25
    assert world.questions["server"] <= 6 * 500


def test_where_there_is_no_room_they_wait_with_a_reason_and_ask_seldom() -> None:
    world = _World(children=500, siblings=2, places=64, server_places=64, seed=1)
    world.run(3600.0)
    assert {name: len(guests) for name, guests in world.hosts.items()} == {"gw0": 64, "gw1": 64, "server": 64}
    assert world.most["server"] == 64
    waiting = world.homeless()
    assert len(waiting) == 500 - 3 * 64
    assert all("places for guests are taken" in one.waiting for one in waiting)
    assert world.questions["server"] <= 500 * (3600 / 200)
